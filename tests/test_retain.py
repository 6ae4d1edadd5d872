"""How long an app keeps its events: whole months go, from every table, and nobody else's."""

import datetime as dt
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("chdb")
pytest.importorskip("clickhouse_connect")

from clickhouse_over_http import clickhouse
from house import House
from serving import event
from unmogrowp.warehouse.schema import ROLLUPS

pytestmark = pytest.mark.service

TABLES = ("events", *ROLLUPS, "credits", "touchpoints", "identities")
MONTH = dt.timedelta(days=31)


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    # A server of its own: one process has one embedded engine, and other tests have that.
    with clickhouse(tmp_path / "clickhouse") as dsn:
        house = House(tmp_path, dsn)
        house.create("brief", "lasting")
        yield house
        house.close()


def months_ago(count: int) -> str:
    return (dt.datetime.now(dt.UTC) - count * MONTH).isoformat()


def life(user: str, when: str) -> list[dict[str, object]]:
    """A click and an install of somebody."""
    who = {"user_id": user, "timestamp": when}
    click = event(
        1, event_id=f"{user} {when} 1", event_name="ad", event_type="click", source="meta"
    )
    paid = {"revenue": "1", "currency": "EUR"}
    install = event(2, event_id=f"{user} {when} 2", event_name="install", **paid)
    return [click | who, install | who]


def counts(house: House, app: str) -> dict[str, int]:
    sql = "SELECT count() AS rows FROM {table} FINAL WHERE app_id = {{app:String}}"
    found = {}
    for table in TABLES:
        (row,) = house.warehouse.rows(sql.format(table=table), {"app": app})
        found[table] = int(str(row["rows"]))
    return found


def retain(house: House, app: str, text: str) -> None:
    house.pipeline.catalog.set_app(app, {"retention": text})
    assert house.pipeline.retain_once() is False


def test_only_old_months_of_the_app_that_says_so_go(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    for app in ("brief", "lasting"):
        house.send(app, life("old", months_ago(6)) + life("new", months_ago(1)))
    # A month that nobody shares goes as a whole.
    house.send("brief", life("ancient", months_ago(12)))
    house.attribute()
    lasting, before = counts(house, "lasting"), counts(house, "brief")
    assert before == {name: rows * 3 // 2 for name, rows in lasting.items()}
    with caplog.at_level(logging.INFO):
        retain(house, "brief", "90d")
    after = counts(house, "brief")
    assert after == {name: rows // 3 for name, rows in before.items()}
    assert counts(house, "lasting") == lasting
    assert house.credit("brief") == ({"meta": 1.0}, 0)
    (line,) = [one.getMessage() for one in caplog.records if "retention" in one.getMessage()]
    assert "`brief`" in line
    assert "4 of events" in line


def test_what_is_young_enough_stays_and_the_second_time_nothing_is_left_to_do(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    house.send("brief", life("new", months_ago(2)))
    house.attribute()
    before = counts(house, "brief")
    for text in ("none", "90d", "90d"):
        retain(house, "brief", text)
        assert counts(house, "brief") == before
    assert not [one for one in caplog.records if "retention" in one.getMessage()]


def test_somebody_who_comes_back_is_new(house: House) -> None:
    house.send("brief", life("old", months_ago(6)))
    house.attribute()
    retain(house, "brief", "90d")
    assert counts(house, "brief") == dict.fromkeys(TABLES, 0)
    house.send("brief", life("old", months_ago(0)))
    house.attribute()
    assert house.credit("brief") == ({"meta": 1.0}, 0)


def test_old_open_journeys_go_and_no_older_row_of_theirs_comes_back(house: House) -> None:
    """Merges may be to come: a row that was replaced must stay so."""
    house.warehouse.command("SYSTEM STOP MERGES opens")

    def ad(n: int, source: str, user: str, months: int) -> dict[str, object]:
        more = {"event_type": "click", "source": source, "timestamp": months_ago(months)}
        return event(n, event_name="ad", user_id=user, **more)

    house.send("brief", [ad(1, "new", "ana", 1), ad(2, "gone", "leo", 6)])
    house.attribute()
    # Her older touch takes the first place, and the newer one moves to the second.
    house.send("brief", [ad(3, "old", "ana", 6)])
    house.attribute()
    assert house.paths("brief") == {("new",): (0, 1), ("old",): (0, 1), ("gone",): (0, 1)}
    house.warehouse.command("SYSTEM START MERGES opens")
    retain(house, "brief", "90d")
    assert house.paths("brief") == {("new",): (0, 1)}
    sql = "SELECT countIf(has(channel, 'old') OR has(channel, 'gone')) AS old, "
    sql += "uniqExact(person) AS people FROM opens"
    assert house.warehouse.rows(sql) == [{"old": 0, "people": 1}]
