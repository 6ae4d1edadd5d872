"""`unmogrowp erase`: a person is gone from every table, every report and every file."""

import base64
import hashlib
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from serving import APP, CLI, Server, cli, event, files_with, ndjson, serving
from unmogrowp.cli import main

pytestmark = pytest.mark.service

# Letters that nothing compresses, so that bytes of them would be found in any file.
WHO = "q7Zk-3vXw9Lr0Tn5Bd8Yc2Mf6Hs1Jp4G"
DEVICE = "Rw4Nt8Kz1Qv6Xm3Pb9Lc5Hd2Fs7Gj0T"


@pytest.fixture
def given(tmp_path: Path) -> Iterator[Server]:
    with serving(tmp_path / "data") as server:
        server.key("read")
        yield server


def send(server: Server) -> None:
    """The person under two ids that meet on one event, a neighbour, and a reject of each."""
    touch = {"event_type": "click", "event_name": "click", "source": "ads"}
    paid = {"event_name": "purchase", "revenue": "2.50", "currency": "USD"}
    rows = [
        event(1, **touch, device_id=DEVICE) | {"user_id": None},
        event(2, device_id=DEVICE) | {"user_id": WHO, "event_name": "install"},
        event(3) | {"user_id": WHO, **paid},
        event(4, **touch) | {"user_id": "neighbour"},
        event(5) | {"user_id": "neighbour", **paid},
        event(6) | {"user_id": WHO, "timestamp": "yesterday"},
        event(7) | {"user_id": "neighbour", "timestamp": "yesterday"},
    ]
    answer = server.post(ndjson(rows)).json()
    assert (answer["stored"], len(answer["rejected"])) == (5, 2)


def deletions(folder: Path) -> list[str]:
    """What the engine remembers of deletions, if it says whose rows they were."""
    return [name for name in files_with(folder, "app_id") if "/mutation_" in name]


def until_gone(find: Callable[[], list[str]]) -> None:
    deadline = time.monotonic() + 150
    while left := find():
        assert time.monotonic() < deadline, left
        time.sleep(0.5)


def test_a_person_is_gone_from_everything(given: Server) -> None:
    send(given)
    given.settle()
    assert files_with(given.data_dir, WHO, DEVICE), "the search finds what is there"
    said = cli("erase", "--app", APP, "--user-id", WHO, "--yes", "--json", data_dir=given.data_dir)
    receipt = json.loads(said)
    assert receipt["rows"]["events"] == 3
    assert receipt["rows"]["rejects"] == 1
    assert receipt["rows"]["credits"] == 2
    assert WHO not in said
    check_receipt(given, receipt)

    stored = [json.loads(line) for line in given.get("/v1/events").text.splitlines()]
    assert {row["user_id"] for row in stored} == {"neighbour"}
    rejects = given.get("/v1/rejects").json()["rows"]
    assert ["neighbour" in row["raw"] for row in rejects] == [True]
    overview = given.get("/v1/reports/overview", interval="total").json()["total"]
    assert (overview["events"], overview["users"]) == (2, 1)
    assert overview["revenue"] == {"USD": "2.50"}
    credit = given.get("/v1/reports/attribution", model="linear").json()
    assert credit["total"] == {"conversions": 1, "value": {"USD": "2.50"}}
    paths = given.get("/v1/reports/paths").json()
    assert paths["total"]["paths"] == 1
    # The engine lets replaced parts go a little later, and what it was told to delete.
    until_gone(lambda: [*files_with(given.data_dir, WHO, DEVICE), *deletions(given.data_dir)])


def check_receipt(given: Server, receipt: dict[str, object]) -> None:
    """It is genuine as it is, and not once anything in it is changed."""
    home = given.data_dir.parent
    for changed, said, code in (
        ({}, "genuine, signed by", 0),
        ({"rows": {"events": 4}}, "not genuine", 1),
        ({"signature": ""}, "not genuine", 1),
        ({"public_key": base64.b64encode(bytes(32)).decode()}, "not genuine", 1),
    ):
        path = home / "receipt.json"
        path.write_text(json.dumps(receipt | changed))
        command = [*CLI, "erase", "--check", str(path)]
        done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
        assert (done.returncode, said in done.stdout) == (code, True), changed
    assert str(receipt["public_key"]) in cli("doctor", data_dir=given.data_dir)
    mode = (given.data_dir / "receipts.key").stat().st_mode & 0o777
    assert mode == 0o600
    digest = hashlib.sha256(f"{receipt['salt']}{WHO}".encode()).hexdigest()
    assert receipt["id_sha256"] == digest


def test_what_was_deleted_is_forgotten_at_the_next_start(given: Server) -> None:
    """By an erasure that was killed behind its deletion, or one of an older version."""
    send(given)
    given.settle()
    given.stop()
    deletion = "ALTER TABLE events DELETE WHERE app_id = 'killed' SETTINGS mutations_sync = 2"
    cut_short = (
        "from unmogrowp.warehouse import Warehouse\n"
        f"Warehouse('chdb://{given.data_dir / 'warehouse'}').command({deletion!r})"
    )
    subprocess.run([sys.executable, "-c", cut_short], check=True, timeout=60)
    assert deletions(given.data_dir), "the search finds what is there"
    given.start()
    until_gone(lambda: deletions(given.data_dir))


def test_events_that_come_later_are_new(given: Server) -> None:
    send(given)
    cli("erase", "--app", APP, "--device-id", DEVICE, "--yes", data_dir=given.data_dir)
    late = event(20) | {"user_id": WHO, "event_name": "install"}
    assert given.post(ndjson([late])).json()["stored"] == 1
    given.settle()
    report = given.get("/v1/reports/attribution", model="last_touch", conversion="install").json()
    assert report["unattributed"]["conversions"] == 1, "the erased click earns nothing"
    assert report["rows"] == []


def test_nobody_else_is_touched(given: Server) -> None:
    send(given)
    given.settle()
    before = given.get("/v1/events").text
    said = cli("erase", "--app", APP, "--user-id", "nobody", "--yes", data_dir=given.data_dir)
    assert "nothing was known" in said
    assert given.get("/v1/events").text == before
    given.create_app("com.example.other")
    words = ("erase", "--app", "com.example.other", "--user-id", WHO, "--yes")
    assert "nothing was known" in cli(*words, data_dir=given.data_dir)
    assert given.get("/v1/events").text == before


def test_an_id_of_many_people_erases_none(
    given: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    """Neither one that was seen with too many, nor one that links nobody by rule."""
    given.set_app("cut=device_id:tablet")
    rows = [event(n, device_id="kiosk") | {"user_id": f"guest-{n}"} for n in range(60)]
    rows += [event(n, device_id="tablet") | {"user_id": f"guest-{n}"} for n in (60, 61)]
    given.post(ndjson(rows))
    given.settle()
    for device, people in (("kiosk", 60), ("tablet", 2)):
        words = ["erase", "--app", APP, "--device-id", device, "--yes"]
        assert main([*words, "--data-dir", str(given.data_dir)]) == 1
        assert f"is shared by `{people}` people" in capsys.readouterr().err
    assert len(given.get("/v1/events").text.splitlines()) == 62


def test_only_an_admin_may_erase(given: Server) -> None:
    url, query = given.url + "/v1/persons", {"app_id": APP, "id_kind": "user_id", "id": "u1"}
    for role, status in (("write", 403), ("read", 403), ("admin", 200)):
        answer = httpx.delete(url, params=query, headers=given.headers(role), timeout=60)
        assert answer.status_code == status, role
    assert httpx.delete(url, params=query).status_code == 401
    headers = given.headers("admin")
    other = httpx.delete(url, params=query | {"app_id": "com.other"}, headers=headers)
    assert other.status_code == 403
    for wrong in ({"id": ""}, {"id_kind": "name"}, {"idfa": "x"}):
        answer = httpx.delete(url, params=query | wrong, headers=headers)
        assert answer.status_code == 400, wrong


def test_where_nobody_can_be_asked_it_must_be_said(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["erase", "--app", APP, "--user-id", "u1"]) == 2
    assert "cannot be undone\nhint: say --yes" in capsys.readouterr().err
