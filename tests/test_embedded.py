"""What the engine in this process answers as Arrow, in memory of its own."""

import gc
import subprocess
import sys
from pathlib import Path

import pytest

from unmogrowp.errors import SinkBusy, SinkRefused

pa = pytest.importorskip("pyarrow")
pytest.importorskip("chdb")
pytest.importorskip("clickhouse_connect")

from unmogrowp.warehouse import Warehouse  # noqa: E402

pytestmark = pytest.mark.service


def test_values_arrive_as_they_were_given(warehouse: Warehouse) -> None:
    given = {"texts": ["a'b", "c\\d", "{x:String}", ""], "number": 2**63, "text": "é\n\t"}
    sql = "SELECT {texts:Array(String)} AS texts, {number:UInt64} AS number, {text:String} AS text"
    assert warehouse.arrow(sql, given).to_pylist() == [given]


def test_times_are_understood_as_in_any_other_query(warehouse: Warehouse) -> None:
    at = {"at": "2026-01-02 03:04:05.678901"}
    sql = "SELECT toUnixTimestamp64Micro({at:DateTime64(6, 'UTC')}) AS us"
    found = warehouse.arrow(sql, at).to_pylist()
    assert found == warehouse.rows(sql, at) == [{"us": 1_767_323_045_678_901}]


def test_an_answer_is_what_another_format_says(warehouse: Warehouse) -> None:
    sql = (
        "SELECT number, toString(number) AS text, toDate(number % 999) AS day, number / 7 AS part, "
        "if(number % 3 = 0, NULL, number) AS some, toLowCardinality(toString(number % 7)) AS label "
        "FROM numbers(200000) ORDER BY number"
    )
    assert warehouse.arrow(sql, {}).to_pylist() == warehouse.rows(sql)


def test_nothing_has_columns_as_well(warehouse: Warehouse) -> None:
    table = warehouse.arrow("SELECT 1::Int64 AS one, 'a' AS text WHERE 0", {})
    assert (table.num_rows, table.column_names) == (0, ["one", "text"])


def test_an_answer_that_breaks_off_leaves_nothing_behind(warehouse: Warehouse) -> None:
    late = "SELECT number, throwIf(number = 150000, 'too late') AS late FROM numbers(200000)"
    for _ in range(3):
        with pytest.raises(SinkRefused, match="too late"):
            warehouse.arrow(late, {})
        assert warehouse.arrow("SELECT 1::Int64 AS one", {}).to_pylist() == [{"one": 1}]


def test_what_is_refused_says_so(warehouse: Warehouse) -> None:
    with pytest.raises(SinkRefused, match="Unknown expression identifier `nope`"):
        warehouse.arrow("SELECT nope", {})
    # Whoever asks too much may ask again later.
    with pytest.raises(SinkBusy, match="memory"):
        warehouse.arrow(
            "SELECT groupArray(number) FROM numbers(1e8) SETTINGS max_memory_usage=1", {}
        )
    assert warehouse.arrow("SELECT 1 AS one", {}).to_pylist() == [{"one": 1}]


OUTLIVES = """
import gc, sys
from unmogrowp import _core
from unmogrowp.warehouse import Warehouse

warehouse = Warehouse("chdb://" + sys.argv[1])
sql = "SELECT number, reverse(toString(number)) AS text FROM numbers(300000) ORDER BY number"
tables = [warehouse.arrow(sql, {}) for _ in range(5)]
batches = [_core.Batches.read(table) for table in tables]
columns = [table["text"].slice(299_990) for table in tables]
del tables
warehouse.close()
gc.collect()
# Whatever was freed is somebody else's by now.
other = Warehouse("chdb://" + sys.argv[1])
for _ in range(5):
    other.arrow("SELECT repeat('x', 100) AS x FROM numbers(300000)", {})
assert all(column[-1].as_py() == "999992" for column in columns)
assert all(len(one) == 300_000 for one in batches)
print("whole")
"""


def test_an_answer_outlives_the_warehouse(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", OUTLIVES, str(tmp_path / "warehouse")],
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (done.stdout, done.returncode) == ("whole\n", 0), done.stderr


def test_memory_goes_with_the_answer(warehouse: Warehouse) -> None:
    def resident() -> int:
        words = Path("/proc/self/statm").read_text().split()
        return int(words[1]) * 4096

    def ask() -> None:
        table = warehouse.arrow("SELECT number FROM numbers(4000000)", {})
        assert table.nbytes >= 32_000_000

    for _ in range(3):
        ask()
    gc.collect()
    before = resident()
    for _ in range(20):
        ask()
    gc.collect()
    # Twenty answers would be 640 MB.
    assert resident() - before < 200_000_000
