"""A data directory of the first version, opened by this one: everything is there, and goes on.

`tests/cases/first_layout.tar.xz` was written by that version: thirty people with a click, an
install and a purchase each, one reject, and the two keys in `keys.json`.
"""

import json
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from serving import APP, Server, event, ndjson

pytestmark = pytest.mark.service
ARCHIVE = Path(__file__).parent / "cases" / "first_layout.tar.xz"
PEOPLE = 30
START_MS = 1_790_000_000_000


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("first")
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(folder, filter="data")
    keys = json.loads((folder / "keys.json").read_text())
    server = Server(folder / "data", keys={(role, APP): key for role, key in keys.items()}).start()
    yield server
    server.stop()


def test_events_roll_ups_and_credit_are_there(server: Server) -> None:
    server.settle()
    stored = [json.loads(line) for line in server.get("/v1/events").text.splitlines()]
    assert len({row["event_id"] for row in stored}) == 3 * PEOPLE
    assert {(row["user_id"], row["event_name"]) for row in stored} == {
        (f"u{number}", name) for number in range(PEOPLE) for name in ("ad", "install", "purchase")
    }
    total = server.get("/v1/reports/overview", interval="total").json()["total"]
    assert total == {"events": 3 * PEOPLE, "users": PEOPLE, "revenue": {"USD": "37.50"}}
    for model in ("linear", "time_decay", "markov"):
        report = server.get("/v1/reports/attribution", model=model).json()
        assert report["total"] == {"conversions": 2 * PEOPLE, "value": {"USD": "37.50"}}
        assert {row["channel"] for row in report["rows"]} == {"meta", "google", "tiktok"}
    (cohort,) = [
        row
        for row in server.get("/v1/reports/cohorts", days="0").json()["rows"]
        if row["source"] == "meta"
    ]
    assert (cohort["users"], cohort["retention_0"]) == (PEOPLE // 3, 1.0)
    assert len(server.get("/v1/rejects").json()["rows"]) <= 1, "kept for seven days"


def test_it_goes_on_from_there(server: Server) -> None:
    late = [
        event(n, event_id=f"new-{n}", event_name="purchase", revenue="2.00", currency="USD")
        | {"user_id": f"u{n}", "timestamp": START_MS + 200_000 + n}
        for n in range(PEOPLE)
    ]
    assert server.post(ndjson(late)).json()["stored"] == PEOPLE
    server.settle()
    report = server.get("/v1/reports/attribution", model="linear", conversion="purchase").json()
    # Each click has earned the first purchase already: another is nobody's.
    assert report["total"] == {"conversions": 2 * PEOPLE, "value": {"USD": "97.50"}}
    assert report["unattributed"]["conversions"] == PEOPLE
    assert sum(row["conversions"] for row in report["rows"]) == pytest.approx(PEOPLE)
