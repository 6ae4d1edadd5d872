"""Requests over `_core.Intake`, what is stored over `_core.SpoolReader`."""

import json
import os
import random
import select
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path

import pytest

from unmogrowp import _core
from unmogrowp.errors import Refused, SpoolError
from unmogrowp.table import Table

RECEIVED_AT_US = 1_767_225_600_000_000
PATIENCE_S = 30

# Sends requests of three events, eight at a time, and prints the first number of each answered
# one. Every number is an event id, so sending one again is a duplicate.
CHILD = """
import json, select, sys, uuid
from unmogrowp import _core

intake = _core.Intake(sys.argv[1], spool_bytes_max=1 << 30, ids_max=1_000_000)
number = int(sys.argv[2])
flying = set()
while True:
    while len(flying) < 8:
        lines = [
            json.dumps({"event_id": str(uuid.UUID(int=n)), "event_name": "e",
                        "timestamp": 1767225600, "user_id": f"u{n}"})
            for n in range(number, number + 3)
        ]
        intake.submit(number, "\\n".join(lines).encode(), encoding=None, inlet="native",
                      app_id="app", truncate_ip=False, received_at_us=1767225600000000)
        flying.add(number)
        number += 3
    select.select([intake.fileno()], [], [])
    for token, status, body, _ in intake.drain():
        answer = json.loads(body)
        assert status == 200 and answer["stored"] + answer["duplicate"] == 3, body
        flying.remove(token)
        print(token, flush=True)
"""


def event(number: int, **fields: object) -> bytes:
    record = {
        "event_id": str(uuid.UUID(int=number)),
        "event_name": "e",
        "timestamp": 1_767_225_600,
        "user_id": f"u{number}",
    }
    return json.dumps(record | fields).encode()


def submit(intake: _core.Intake, token: int, body: bytes, **options: object) -> None:
    given = {
        "encoding": None,
        "inlet": "native",
        "app_id": "app",
        "truncate_ip": False,
        "received_at_us": RECEIVED_AT_US,
    }
    intake.submit(token, body, **(given | options))


def drain(intake: _core.Intake) -> list[tuple[int, int, bytes, int | None]]:
    ready, _, _ = select.select([intake.fileno()], [], [], PATIENCE_S)
    assert ready, "no answer"
    return intake.drain()


def send(intake: _core.Intake, body: bytes, **options: object) -> dict[str, object]:
    submit(intake, 1, body, **options)
    [(token, status, answer, _)] = drain(intake)
    assert (token, status) == (1, 200)
    return json.loads(answer)


def batches(directory: Path, **want: int) -> list[_core.Batch]:
    reader = _core.SpoolReader(str(directory))
    found, after = [], None
    while (batch := reader.next(after, **want)) is not None:
        found.append(batch)
        after = batch.last
    return found


def numbers(batch: _core.Batch) -> list[int]:
    ids = Table(batch.events()).column("event_id").to_pylist()
    return [int.from_bytes(value) for value in ids]


def stored(directory: Path) -> list[int]:
    return [number for batch in batches(directory) for number in numbers(batch)]


def test_duplicates_are_known_across_requests_and_restarts(tmp_path):
    body = event(1) + b"\n" + event(2) + b"\n" + event(1)
    intake = _core.Intake(str(tmp_path))
    expected = {"received": 3, "stored": 2, "duplicate": 1, "rejected": []}
    assert send(intake, body) == expected
    assert send(intake, body) == expected | {"stored": 0, "duplicate": 3}
    intake.close()
    intake = _core.Intake(str(tmp_path))
    assert send(intake, event(2) + b"\n" + event(3))["stored"] == 1
    assert stored(tmp_path) == [1, 2, 3]
    assert intake.status()["ids"] == 2


def test_answer_names_every_reject(tmp_path):
    intake = _core.Intake(str(tmp_path))
    answer = send(intake, event(1) + b"\n" + event(2, currency="XX1") + b"\n")
    assert answer["received"] == 2
    [reject] = answer["rejected"]
    assert set(reject) == {"index", "event_id", "code", "field", "message"}
    assert reject["index"] == 1
    assert reject["event_id"] == str(uuid.UUID(int=2))
    assert reject["code"] == "invalid_currency"
    assert [batch.rejects for batch in batches(tmp_path)] == [1]


def test_refusal_carries_what_http_needs(tmp_path):
    intake = _core.Intake(str(tmp_path), limits={"records": 1})
    with pytest.raises(Refused) as caught:
        submit(intake, 1, event(1) + b"\n" + event(2))
    refused = caught.value
    assert (refused.status, refused.retry_after) == (413, None)
    assert refused.title == "the request is too large"
    assert "`1`" in refused.detail
    assert stored(tmp_path) == []


def test_full_spool_says_when_to_come_back(tmp_path):
    intake = _core.Intake(str(tmp_path), spool_bytes_max=1)
    with pytest.raises(Refused) as caught:
        submit(intake, 1, event(1))
    assert caught.value.status == 503
    assert caught.value.retry_after > 0


def test_unknown_limit_is_an_error(tmp_path):
    with pytest.raises(ValueError, match="`size`"):
        _core.Intake(str(tmp_path), limits={"size": 1})


def test_unknown_inlet_is_an_error(tmp_path):
    intake = _core.Intake(str(tmp_path))
    with pytest.raises(ValueError, match="`fax`"):
        submit(intake, 1, event(1), inlet="fax")


def test_closed_intake_leaves_its_answers_and_its_directory(tmp_path):
    intake = _core.Intake(str(tmp_path))
    for number in range(1, 51):
        submit(intake, number, event(number))
    intake.close()
    assert sorted(token for token, *_ in intake.drain()) == list(range(1, 51))
    with pytest.raises(Refused):
        submit(intake, 51, event(51))
    _core.Intake(str(tmp_path)).close()


def test_batches_are_cut_at_rows_and_read_again_alike(tmp_path):
    intake = _core.Intake(str(tmp_path))
    for number in range(1, 21):
        send(intake, event(number))
    found = batches(tmp_path, rows_max=3)
    assert all(batch.rows <= 3 for batch in found)
    assert [number for batch in found for number in numbers(batch)] == list(range(1, 21))
    reader = _core.SpoolReader(str(tmp_path))
    for batch in found:
        again = reader.range(batch.first, batch.last)
        assert numbers(again) == numbers(batch)
        assert (again.first, again.last, again.rows) == (batch.first, batch.last, batch.rows)


def test_months_split_a_batch(tmp_path):
    intake = _core.Intake(str(tmp_path))
    times = ["2025-12-31T23:59:59.999999Z", "2026-01-01T00:00:00Z", "2025-12-01T00:00:00Z"]
    numbers = [int.from_bytes(bytes([i]) * 8) for i in (0xA1, 0xB2, 0xC3)]
    send(
        intake, b"\n".join(event(n, timestamp=time) for n, time in zip(numbers, times, strict=True))
    )
    [batch] = batches(tmp_path)
    assert batch.months == [202512, 202601]
    blocks = [_core.native_events(batch.events(), month, 7) for month in batch.months]
    first, second, third = (number.to_bytes(8) for number in numbers)
    # The earlier comes first, as in the warehouse's table.
    assert 0 < blocks[0].index(third) < blocks[0].index(first)
    assert second not in blocks[0]
    assert [half in blocks[1] for half in (first, second, third)] == [False, True, False]


def test_confirmed_segments_go_and_their_ids_stay_known(tmp_path):
    intake = _core.Intake(str(tmp_path))
    send(intake, event(1))
    intake.close()
    intake = _core.Intake(str(tmp_path))
    send(intake, event(2))
    reader = _core.SpoolReader(str(tmp_path))
    assert reader.shipped() is None
    reader.confirm(reader.durable())
    assert reader.shipped() == reader.durable()
    deadline = time.monotonic() + PATIENCE_S
    while intake.status()["segments"] > 1:
        assert time.monotonic() < deadline
    assert intake.status()["unshipped_bytes"] == 0
    assert stored(tmp_path) == [2]
    intake.close()
    intake = _core.Intake(str(tmp_path))
    assert send(intake, event(1) + b"\n" + event(2))["duplicate"] == 2


def test_metrics_are_well_formed(tmp_path):
    intake = _core.Intake(str(tmp_path))
    send(intake, event(1) + b"\nnonsense")
    metrics = intake.metrics()
    named = {line.split()[2] for line in metrics.splitlines() if line.startswith("# TYPE ")}
    for line in metrics.splitlines():
        if not line.startswith("#"):
            name, value = line.rsplit(" ", 1)
            base = name.split("{")[0]
            for suffix in ("_bucket", "_sum", "_count"):
                base = base if base in named else base.removesuffix(suffix)
            assert base in named, line
            assert float(value) >= 0
    assert "unmogrowp_events_stored_total 1" in metrics
    assert 'unmogrowp_events_rejected_total{code="invalid_json"} 1' in metrics
    assert 'unmogrowp_fdatasync_seconds_bucket{le="+Inf"}' in metrics


def test_reader_of_no_spool_finds_nothing(tmp_path):
    reader = _core.SpoolReader(str(tmp_path / "none"))
    assert reader.next(None) is None
    assert reader.durable() is None
    with pytest.raises(SpoolError, match="hint:"):
        reader.range((1, 64), (1, 100))


def child(directory: Path, start: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", CHILD, str(directory), str(start)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ.copy())


def test_second_owner_is_refused_within_eight_seconds(tmp_path):
    with child(tmp_path, 1) as owner:
        assert owner.stdout.readline()
        start = time.monotonic()
        with pytest.raises(SpoolError, match="another process"):
            _core.Intake(str(tmp_path))
        assert time.monotonic() - start < 8
        owner.kill()


def test_killed_under_load_nothing_acknowledged_is_lost_or_doubled(tmp_path):
    dice = random.Random(7)
    acknowledged: set[int] = set()
    start = 1
    for _ in range(3):
        with child(tmp_path, start) as victim:
            for _ in range(dice.randrange(100, 400)):
                acknowledged.add(int(victim.stdout.readline()))
            victim.send_signal(signal.SIGKILL)
            # Answers that were printed before the kill count too; the last line may be torn.
            tail = victim.stdout.read()
            acknowledged.update(int(line) for line in tail[: tail.rfind("\n") + 1].split())
        # Send again what was in flight, and some of what was answered.
        start = max(1, max(acknowledged) - 60)
    expected = {number + i for number in acknowledged for i in range(3)}
    assert expected <= set(stored(tmp_path)), "acknowledged and lost"
    intake = _core.Intake(str(tmp_path))
    found = stored(tmp_path)
    assert len(found) == len(set(found)), "stored twice"
    assert expected <= set(found), "acknowledged and lost in recovery"
    body = b"\n".join(event(number) for number in sorted(expected))
    assert send(intake, body)["duplicate"] == len(expected)
    assert stored(tmp_path) == found
