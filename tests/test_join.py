"""A data directory that meets a warehouse on a server which knows more than it does."""

import io
from pathlib import Path

import pytest

pytest.importorskip("chdb")
pytest.importorskip("clickhouse_connect")

from clickhouse_over_http import clickhouse
from house import House
from serving import event
from test_attribute import at, by_library, click
from unmogrowp.pipeline.backup import restore
from unmogrowp.warehouse import Span
from unmogrowp.warehouse.overview import overview

pytestmark = pytest.mark.service


def story(number: int) -> list[list[dict[str, object]]]:
    """What somebody does, in two bodies that are as long for anybody."""
    who = {"user_id": f"u{number}"}
    return [
        [click(10 * number, "meta", **who, **at(1))],
        [event(10 * number + 1, event_name="install", **who, **at(2))],
    ]


def tell(house: House, number: int) -> None:
    for body in story(number):
        house.send("app", body)
        house.attribute()


def counted(house: House) -> object:
    return overview(house.warehouse, Span("app"), interval="total")["total"]["events"]


def test_a_new_data_directory_loses_nothing_to_what_another_sent(tmp_path: Path) -> None:
    with clickhouse(tmp_path / "clickhouse") as dsn:
        lost = House(tmp_path / "lost", dsn)
        lost.create("app")
        tell(lost, 1)
        lost.close()
        house = House(tmp_path / "new", dsn)
        house.create("app")
        # Under the same positions of a spool and the same numbers of rounds.
        tell(house, 2)
        assert counted(house) == 4
        assert house.credit("app") == by_library([*lost.sent, *house.sent], "app")
        house.close()


def test_a_restored_data_directory_goes_on_where_the_warehouse_is(tmp_path: Path) -> None:
    with clickhouse(tmp_path / "clickhouse") as dsn:
        before = House(tmp_path / "before", dsn)
        before.create("app")
        tell(before, 1)
        waiting, install = story(2)
        before.send("app", waiting, is_shipped=False)
        archive = b"".join(before.pipeline.backup())
        before.ship()
        before.attribute()
        tell(before, 3)
        before.close()
        restore(io.BytesIO(archive), tmp_path / "restored")
        house = House(tmp_path / "restored", dsn)
        house.send("app", install)
        house.attribute()
        tell(house, 4)
        assert counted(house) == 8
        assert house.credit("app") == by_library([*before.sent, *house.sent], "app")
        house.close()
