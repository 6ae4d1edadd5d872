"""The same warehouse code over HTTP: a whole server on a ClickHouse by DSN."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from serving import Server, event, ndjson, serving

pytestmark = pytest.mark.service


@pytest.fixture
def dsn(tmp_path: Path) -> Iterator[str]:
    script = Path(__file__).with_name("clickhouse_over_http.py")
    folder = tmp_path / "clickhouse"
    folder.mkdir()
    command = [sys.executable, "-W", "ignore", str(script), str(folder)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield f"http://127.0.0.1:{process.stdout.readline().strip()}"
    finally:
        process.terminate()
        process.wait(timeout=10)
        process.stdout.close()


def test_a_server_stores_and_reports_over_http(
    tmp_path: Path, dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UNMOGROWP_WAREHOUSE__DSN", dsn)
    with serving(tmp_path / "data") as server:
        assert server.post(ndjson(events())).json()["stored"] == 3
        server.settle()
        check(server)
    assert not (tmp_path / "data" / "warehouse").exists()


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
