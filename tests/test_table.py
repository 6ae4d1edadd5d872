"""`Table`: Arrow out to every library, Arrow in from every library."""

import datetime as dt
import subprocess
import sys

import pytest

import unmogrowp as ug

pa = pytest.importorskip("pyarrow")


@pytest.fixture
def table() -> ug.Table:
    moment = dt.datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=dt.UTC)
    return ug.Table.read(
        pa.table(
            {
                "n": pa.array([1, None, 3], pa.int64()),
                "text": pa.array(["a", "<b>", None]),
                "label": pa.array(["x", "y", "x"]).dictionary_encode(),
                "when": pa.array([moment, None, moment], pa.timestamp("us", "UTC")),
            }
        )
    )


def test_values_come_out_as_python_objects(table: ug.Table) -> None:
    assert table.column("n").to_pylist() == [1, None, 3]
    assert table.column("label").to_pylist() == ["x", "y", "x"]
    assert table.column("when").to_pylist()[0].isoformat() == "2026-01-02T03:04:05.678901+00:00"


def test_an_unknown_column_names_the_known_ones(table: ug.Table) -> None:
    with pytest.raises(KeyError, match="n, text, label, when"):
        table.column("m")


def test_head_shares_and_shortens(table: ug.Table) -> None:
    assert len(table.head(2)) == 2
    assert table.head(2).column("text").to_pylist() == ["a", "<b>"]


def test_every_library_takes_it(table: ug.Table) -> None:
    duckdb = pytest.importorskip("duckdb")
    shown = table  # DuckDB finds a table by the name of a variable.
    assert shown.to_polars()["n"].to_list() == [1, None, 3]
    assert shown.to_pyarrow()["text"].to_pylist() == ["a", "<b>", None]
    assert shown.to_pandas()["label"].tolist() == ["x", "y", "x"]
    assert duckdb.sql("select sum(n) from shown").fetchall() == [(4,)]


def test_every_library_gives_one(table: ug.Table) -> None:
    for given in (table.to_polars(), table.to_pandas(), table.to_pyarrow()):
        assert ug.Table.read(given).column("n").to_pylist()[0] == 1


def test_a_wrong_object_is_told_what_to_do(table: ug.Table) -> None:
    with pytest.raises(TypeError, match="hint: pass a Polars"):
        ug.Table.read({"n": [1]})
    with pytest.raises(TypeError, match=r"hint: call `.collect\(\)`"):
        ug.Table.read(table.to_polars().lazy())


def test_html_is_escaped_and_script_free(table: ug.Table) -> None:
    shown = table._repr_html_()
    assert "&lt;b&gt;" in shown
    assert "<script" not in shown


def test_repr_counts_rows_and_columns(table: ug.Table) -> None:
    assert repr(table).startswith("Table: 3 rows × 4 columns\nn ")


def test_a_missing_library_is_named(table: ug.Table, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "polars", None)
    with pytest.raises(ImportError, match="hint: pip install polars"):
        table.to_polars()


CHDB = """
import chdb
import pyarrow as pa
import unmogrowp as ug

rows = chdb.query(
    "SELECT arrayJoin(['ana', 'ben']) AS user_id, (arrayJoin([0, 1]) = 1)::Bool AS is_conversion,"
    " toDateTime64('2026-03-01 00:00:00', 3, 'UTC') + is_conversion AS timestamp,"
    " if(is_conversion, NULL, user_id) AS channel", "ArrowTable")
credit = ug.compare(ug.journeys(rows), [ug.Linear()]).to_pyarrow()
print(chdb.query("SELECT channel, linear_conversions FROM Python(credit) ORDER BY channel", "CSV"))
"""


@pytest.mark.service
def test_tables_come_from_chdb_and_go_there() -> None:
    """In a process of its own, which has an engine of its own."""
    said = subprocess.check_output([sys.executable, "-c", CHDB], text=True)
    assert said.split() == ['"(unattributed)",0', '"ana",1', '"ben",1']
