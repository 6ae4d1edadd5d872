"""`unmogrowp backup` and `restore`: what was acknowledged before is there, once, and adds up."""

import io
import json
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from serving import APP, Server, cli, event, ndjson, serving, until
from unmogrowp.cli import main

pytestmark = pytest.mark.service


@pytest.fixture
def given(tmp_path: Path) -> Iterator[Server]:
    with serving(tmp_path / "data") as server:
        # Made now: a key that comes after a backup is not in it.
        server.key("read")
        yield server


def story(number: int) -> list[dict[str, object]]:
    """A click, an install and a purchase of one person."""
    touch = {"event_type": "click", "event_name": "click", "source": f"s{number % 3}"}
    user = {"user_id": f"u{number}"}
    return [
        event(3 * number, **touch, **user),
        event(3 * number + 1, **user) | {"event_name": "install"},
        event(3 * number + 2, revenue="1.25", currency="USD", **user) | {"event_name": "purchase"},
    ]


class Sender(threading.Thread):
    """Sends stories until told to stop; knows which were acknowledged."""

    def __init__(self, server: Server, first: int) -> None:
        super().__init__()
        self.acknowledged: list[bytes] = []
        self._ended = threading.Event()
        self._url, self._headers = server.url, server.headers("write")
        self._first = first

    def run(self) -> None:
        with httpx.Client(timeout=60) as client:
            for number in range(self._first, self._first + 20_000):
                if self._ended.is_set():
                    return
                body = ndjson(story(number))
                url = self._url + "/v1/events"
                answer = client.post(url, content=body, headers=self._headers)
                assert answer.json()["rejected"] == []
                self.acknowledged.append(body)

    def stop(self) -> None:
        self._ended.set()
        self.join()


def totals(server: Server) -> tuple[int, int, float]:
    """Events in the base table and in the roll-up, and conversions in the credit."""
    base = len(server.get("/v1/events").text.splitlines())
    overview = server.get("/v1/reports/overview", interval="total").json()
    credit = server.get("/v1/reports/attribution", model="linear").json()
    return base, overview["total"]["events"], credit["total"]["conversions"]


def test_a_backup_under_load_has_what_was_acknowledged_before(
    given: Server, tmp_path: Path
) -> None:
    archive = tmp_path / "backup.tar"
    senders = [Sender(given, first) for first in (0, 100_000)]
    for sender in senders:
        sender.start()
    until(lambda: all(len(s.acknowledged) > 150 for s in senders), 60, "there was some load")
    before = [list(sender.acknowledged) for sender in senders]
    cli("backup", str(archive), data_dir=given.data_dir)
    for sender in senders:
        sender.stop()
    assert not list(given.data_dir.glob("backup-*")), "it leaves nothing behind"
    given.settle()
    sent = 3 * sum(len(sender.acknowledged) for sender in senders)
    assert totals(given)[:2] == (sent, sent), "the server itself goes on as before"

    copy = tmp_path / "copy"
    assert main(["restore", str(archive), "--data-dir", str(copy)]) == 0
    restored = Server(copy, keys=dict(given.keys)).start()
    try:
        restored.settle()
        stored, counted, credited = totals(restored)
        least = 3 * sum(map(len, before))
        assert least <= stored == counted <= sent
        ids = {json.loads(line)["user_id"] for line in restored.get("/v1/events").text.splitlines()}
        for bodies in before:
            assert {json.loads(b.splitlines()[0])["user_id"] for b in bodies} <= ids
        assert credited == 2 * stored / 3
        # Whatever was acknowledged before the backup is known again, once it is sent again.
        again = [restored.post(body).json() for bodies in before for body in bodies[-50:]]
        assert all(answer["duplicate"] == 3 for answer in again)
        for sender in senders:
            for body in sender.acknowledged:
                restored.post(body)
        restored.settle()
        assert totals(restored) == (sent, sent, 2 * sent / 3)
    finally:
        restored.stop()


def test_a_directory_without_a_server_is_backed_up_too(given: Server, tmp_path: Path) -> None:
    for number in range(20):
        given.post(ndjson(story(number)))
    given.kill()
    (given.data_dir / "server.json").unlink()
    archive = tmp_path / "backup.tar"
    cli("backup", str(archive), data_dir=given.data_dir)
    copy = tmp_path / "copy"
    said = json.loads(cli("restore", str(archive), "--json", data_dir=copy))
    assert (said["layout"], said["has_warehouse"]) == (1, True)
    restored = Server(copy, keys=dict(given.keys)).start()
    try:
        restored.settle()
        assert totals(restored) == (60, 60, 40)
    finally:
        restored.stop()
    given.start()


def test_only_the_owner_may_take_a_backup(given: Server) -> None:
    for role, status in (("write", 403), ("read", 403), ("admin", 403)):
        answer = httpx.get(given.url + "/v1/backup", headers=given.headers(role))
        assert answer.status_code == status, role
    assert httpx.get(given.url + "/v1/backup").status_code == 401


def test_a_running_directory_without_its_mark_is_not_copied(given: Server, tmp_path: Path) -> None:
    """Two programs must not use one warehouse."""
    (given.data_dir / "server.json").rename(tmp_path / "server.json")
    archive = tmp_path / "backup.tar"
    assert main(["backup", str(archive), "--data-dir", str(given.data_dir)]) == 1
    assert not archive.exists()
    (tmp_path / "server.json").rename(given.data_dir / "server.json")


@pytest.fixture
def archive(given: Server, tmp_path: Path) -> Path:
    given.post(ndjson(story(1)))
    path = tmp_path / "backup.tar"
    cli("backup", str(path), data_dir=given.data_dir)
    return path


def test_a_damaged_archive_is_refused_and_leaves_nothing(
    archive: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = archive.read_bytes()
    flipped = bytearray(whole)
    with tarfile.open(archive) as tar:
        member = next(m for m in tar if m.name.endswith(".segment"))
    flipped[member.offset_data + 5] ^= 1
    cases = {
        "flipped": bytes(flipped),
        "cut": whole[: len(whole) // 2],
        "unfinished": whole[: -3 * 512],
        "other": b"no archive at all" * 100,
        "empty": b"",
    }
    for name, body in cases.items():
        path = tmp_path / f"{name}.tar"
        path.write_bytes(body)
        copy = tmp_path / f"copy-{name}"
        assert main(["restore", str(path), "--data-dir", str(copy)]) == 1, name
        assert not copy.exists()
        assert "archive" in capsys.readouterr().err
    assert not list(tmp_path.glob(".copy-*"))


def test_an_archive_writes_nowhere_else(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, kind in (("../evil", tarfile.REGTYPE), ("/evil", tarfile.REGTYPE), ("l", None)):
        path = tmp_path / "evil.tar"
        with tarfile.open(path, "w") as tar:
            info = tarfile.TarInfo(name)
            if kind is None:
                info.type, info.linkname = tarfile.SYMTYPE, "../../outside"
                tar.addfile(info)
            else:
                info.size = 4
                tar.addfile(info, io.BytesIO(b"evil"))
        assert main(["restore", str(path), "--data-dir", str(tmp_path / "copy")]) == 1
        assert "not ours" in capsys.readouterr().err
    assert not (tmp_path / "evil").exists()


def test_a_directory_with_something_in_it_is_left_alone(
    archive: Path, given: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["restore", str(archive), "--data-dir", str(given.data_dir)]) == 1
    assert "is not empty" in capsys.readouterr().err


def test_an_archive_of_a_newer_version_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    newer = tmp_path / "newer.tar"
    body = json.dumps(
        {
            "format": 1,
            "layout": 99,
            "version": "9.0",
            "created_at": "2030-01-01T00:00:00+00:00",
            "has_warehouse": True,
        }
    ).encode()
    with tarfile.open(newer, "w") as tar:
        info = tarfile.TarInfo("manifest.json")
        info.size = len(body)
        tar.addfile(info, io.BytesIO(body))
    assert main(["restore", str(newer), "--data-dir", str(tmp_path / "copy")]) == 1
    assert "unmogrowp `9.0`, which is newer" in capsys.readouterr().err


def test_the_restored_app_is_the_app(archive: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    cli("restore", str(archive), data_dir=copy)
    assert json.loads(cli("apps", "list", "--json", data_dir=copy))[0]["id"] == APP
