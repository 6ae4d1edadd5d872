"""The same warehouse code over HTTP: a whole server on a ClickHouse by DSN."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from clickhouse_over_http import clickhouse, free_port
from serving import Server, event, ndjson, serving, until

pytestmark = pytest.mark.service


@pytest.fixture
def dsn(tmp_path: Path) -> Iterator[str]:
    with clickhouse(tmp_path / "clickhouse") as found:
        yield found


def test_a_server_stores_and_reports_over_http(
    tmp_path: Path, dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UNMOGROWP_WAREHOUSE__DSN", dsn)
    with serving(tmp_path / "data") as server:
        assert server.post(ndjson(events())).json()["stored"] == 3
        server.settle()
        check(server)
    assert not (tmp_path / "data" / "warehouse").exists()


def test_a_warehouse_that_is_away_costs_reads_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = free_port()
    monkeypatch.setenv("UNMOGROWP_WAREHOUSE__DSN", f"http://127.0.0.1:{port}")
    folder = tmp_path / "clickhouse"
    with serving(tmp_path / "data") as server:
        first, *rest = events()
        assert server.post(ndjson([first])).json()["stored"] == 1
        expect_away(server)
        with clickhouse(folder, port):
            server.settle()
            assert len(server.get("/v1/events").text.splitlines()) == 1
        assert server.post(ndjson(rest)).json()["stored"] == 2
        expect_away(server)
        with clickhouse(folder, port):
            server.settle()
            check(server)


def test_of_two_data_directories_one_stops_and_goes_on_once_the_other_is_gone(
    tmp_path: Path, dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UNMOGROWP_WAREHOUSE__DSN", dsn)
    ad, install, purchase = events()
    with serving(tmp_path / "one") as one:
        assert one.post(ndjson([ad])).json()["stored"] == 1
        one.settle()
        with serving(tmp_path / "two") as two:
            for number in (install, event(9, event_name="open", user_id="zoe")):
                assert two.post(ndjson([number])).json()["stored"] == 1
                two.settle()
            # It takes events and keeps them to itself.
            assert one.post(ndjson([purchase])).json()["stored"] == 1
            until(lambda: ready(one)["degraded"] == ["store"], 10, "the first one stopped")
            assert "another data directory" in ready(one)["store"]["problem"]
            assert ready(two)["degraded"] == []
            assert len(two.get("/v1/events").text.splitlines()) == 3
        one.stop()
        one.start()
        one.settle()
        assert ready(one)["degraded"] == []
        assert len(one.get("/v1/events").text.splitlines()) == 4
        total = one.get("/v1/reports/overview").json()["total"]
        assert total == {"events": 4, "users": 3, "revenue": {"USD": "2.50"}}
        assert one.get("/v1/reports/attribution").json()["total"]["conversions"] == 2


def expect_away(server: Server) -> None:
    answer = server.get("/v1/reports/overview")
    assert answer.status_code == 503
    assert int(answer.headers["retry-after"]) > 0
    until(lambda: ready(server)["degraded"] == ["store"], 10, "the store said why it waits")
    assert "warehouse" in ready(server)["store"]["problem"]


def ready(server: Server) -> dict:
    return httpx.get(server.url + "/health/ready", timeout=30).json()


def events() -> list[dict[str, object]]:
    hour = "2026-10-01T1"
    return [
        event(1, event_name="ad", event_type="click", source="meta", user_id="ana")
        | {"timestamp": f"{hour}0:00:00Z"},
        event(2, event_name="install", user_id="ana") | {"timestamp": f"{hour}1:00:00Z"},
        event(3, event_name="purchase", user_id="ben", revenue="2.5", currency="USD")
        | {"timestamp": f"{hour}2:00:00Z"},
    ]


def check(server: Server) -> None:
    assert len(server.get("/v1/events").text.splitlines()) == 3
    report = server.get("/v1/reports/attribution").json()
    assert [(row["channel"], row["conversions"]) for row in report["rows"]] == [("meta", 1.0)]
    assert report["unattributed"] == {"conversions": 1, "value": {"USD": "2.50"}}
    total = server.get("/v1/reports/overview").json()["total"]
    assert total == {"events": 3, "users": 2, "revenue": {"USD": "2.50"}}
