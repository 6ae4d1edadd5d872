"""`unmogrowp replay`: what was recorded or refused reaches a running server once more."""

import gzip
import json
import os
from pathlib import Path

import pytest
import zstandard

from serving import APP, Server, cli, event, ndjson, serving
from unmogrowp.cli import main

pytestmark = pytest.mark.service

Said = dict[str, int]


def replay(server: Server, *words: str | Path) -> Said:
    said = cli("replay", "--app", APP, "--json", *map(str, words), data_dir=server.data_dir)
    answer: Said = json.loads(said)
    return answer


@pytest.mark.parametrize("suffix", ["", ".gz", ".zst"])
def test_a_recorded_file_is_stored_once_however_often_it_is_sent(server, tmp_path, suffix):
    """Longer than one body, so that it is cut between lines."""
    count = 6_000
    events = [event(n, event_id=f"recorded{suffix}-{n}", note="x" * 300) for n in range(count)]
    body = ndjson(events)
    packed = {"": bytes, ".gz": gzip.compress, ".zst": zstandard.compress}[suffix](body)
    path = tmp_path / f"recorded.ndjson{suffix}"
    path.write_bytes(packed)
    first = replay(server, path)
    assert (first["received"], first["stored"], first["rejected"]) == (count, count, 0)
    again = replay(server, path)
    assert (again["stored"], again["duplicate"]) == (0, count)


def test_what_is_exported_can_be_sent_again(server, tmp_path):
    events = [event(n, event_id=f"exported-{n}", event_name="exported") for n in range(50)]
    server.post(ndjson(events))
    server.settle()
    path = tmp_path / "exported.ndjson"
    words = ("export", "--app", APP, "--event-name", "exported", "-o", str(path))
    cli(*words, data_dir=server.data_dir)
    assert replay(server, path) == {
        "received": 50,
        "stored": 0,
        "duplicate": 50,
        "rejected": 0,
        "reasons": [],
    }


def test_what_was_refused_is_stored_once_its_cause_is_mended(tmp_path, monkeypatch):
    data_dir = tmp_path / "data"
    deep = event(1, properties={"a": {"b": {"c": 1}}})
    monkeypatch.setenv("UNMOGROWP_LIMITS__DEPTH", "3")
    with serving(data_dir) as server:
        pretty = json.dumps([deep, event(2)], indent=2).encode()
        assert server.post(pretty).json()["rejected"][0]["code"] == "too_deep"
        server.settle()
        server.stop()
        monkeypatch.delenv("UNMOGROWP_LIMITS__DEPTH")
        server.start()
        assert replay(server, "--rejects")["stored"] == 1
        server.settle()
        stored = [json.loads(line) for line in server.get("/v1/events").text.splitlines()]
        assert [row.get("properties") for row in stored] == [deep["properties"], None]


def test_the_key_of_a_replay_opens_nothing_afterwards(server, tmp_path):
    path = tmp_path / "one.ndjson"
    path.write_bytes(ndjson([event(77)]))
    replay(server, path)
    keys = json.loads(cli("keys", "list", "--app", APP, "--json", data_dir=server.data_dir))
    made = [key for key in keys if key["revoked_at"]]
    assert made
    assert made[-1]["role"] == "write"


def test_a_rate_is_kept(server, tmp_path):
    """Of 3 bodies the third may only go when 2 bodies' events have had their time."""
    events = [event(n, event_id=f"slow-{n}", note="x" * 3_000) for n in range(900)]
    path = tmp_path / "slow.ndjson"
    path.write_bytes(ndjson(events))
    started = os.times().elapsed
    assert replay(server, "--rate", "600", path)["stored"] == 900
    assert os.times().elapsed - started >= 1.0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "name files, or say --rejects"),
        (["--url", "http://127.0.0.1:9", "x.ndjson"], "give a write key"),
        (["--rate", "0", "x.ndjson"], "--rate must be at least 1"),
        (["missing.ndjson"], "no file `missing.ndjson`"),
    ],
)
def test_a_mistake_is_told(words, said, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code = main(["replay", "--app", APP, *words])
    assert code == (1 if "missing" in said else 2)
    assert said in capsys.readouterr().err


def test_a_line_without_an_end_is_told(server, tmp_path, capsys):
    path = tmp_path / "endless.ndjson"
    path.write_bytes(b"x" * (12 << 20))
    code = main(["replay", "--app", APP, "--data-dir", str(server.data_dir), str(path)])
    assert code == 1
    assert "a line is longer" in capsys.readouterr().err


def test_help_says_that_a_replay_may_be_repeated(capsys):
    with pytest.raises(SystemExit):
        main(["replay", "--help"])
    assert "may be repeated" in " ".join(capsys.readouterr().out.split())
