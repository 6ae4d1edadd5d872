"""A key that sends too much is told when to come back; others do not notice."""

import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from serving import LISTENERS, Server, event, ndjson, serving

pytestmark = pytest.mark.service


@pytest.fixture(params=LISTENERS)
def limited(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> Iterator[Server]:
    monkeypatch.setenv("UNMOGROWP_LIMITS__KEY_EVENTS_PER_S", "50")
    with serving(tmp_path / "data", *LISTENERS[request.param]) as server:
        yield server


def test_a_key_over_its_rate_is_told_when_to_come_back(limited: Server) -> None:
    first = limited.post(ndjson([event(number) for number in range(150)]))
    assert first.json()["stored"] == 150, "a burst is let in whole, and paid for afterwards"
    refused = limited.post(ndjson([event(200)]))
    assert refused.status_code == 429
    assert refused.headers["content-type"] == "application/problem+json"
    assert refused.json()["title"] == "too many events from this key"
    wait_s = int(refused.headers["retry-after"])
    assert 1 <= wait_s <= 3
    mine = limited.keys.pop(("write", limited.app))
    assert limited.post(ndjson([event(300)])).json()["stored"] == 1, "another key has its own rate"
    limited.keys["write", limited.app] = mine
    deadline = time.monotonic() + wait_s + 5
    while limited.post(ndjson([event(200)])).status_code == 429:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    limited.settle()
    stored = limited.get("/v1/events").text.splitlines()
    assert len(stored) == 152, "what was refused was not stored, what came back was"
    metrics = httpx.get(limited.url + "/metrics").text
    assert 'status="429"' in metrics
