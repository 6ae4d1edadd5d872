"""`ug.parse`: bytes in, typed events and rejects out."""

import datetime as dt
import gzip
import io
import ipaddress
import json
import os
import re
import subprocess
import sys
import uuid
from pathlib import Path

import pytest

import unmogrowp as ug

CASES = Path(__file__).parent / "cases" / "parse"
CORPUS = Path(__file__).parent.parent / "benches" / "corpus.py"
SMALLEST = {"event_name": "open", "timestamp": 1767225600, "user_id": "u1"}
LINE = json.dumps(SMALLEST).encode()
EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)

# How each bad kind of the corpus is refused.
KINDS = {
    "truncated": {("invalid_json", None)},
    "missing_timestamp": {("missing_field", "timestamp")},
    "missing_identity": {("missing_field", "user_id")},
    "bad_device_id": {("invalid_uuid", "gaid"), ("invalid_uuid", "idfv")},
    "bad_timestamp": {("invalid_timestamp", "timestamp"), ("timestamp_out_of_range", "timestamp")},
    "bad_ip": {("invalid_ip", "ip")},
    "revenue_string": {("invalid_number", "revenue")},
    "revenue_no_currency": {("missing_field", "currency")},
    "not_object": {("not_an_object", None)},
    "invalid_utf8": {("invalid_utf8", None)},
    "trailing_garbage": {("invalid_json", None)},
    "nan_literal": {("invalid_json", None)},
    "name_wrong_type": {("wrong_type", "event_name")},
    "empty_name": {("missing_field", "event_name")},
    "control_char": {("invalid_json", None)},
    "dup_key_conflict": {("duplicate_key", "event_id")},
}


def cases():
    for path in sorted(CASES.glob("*.json")):
        for case in json.loads(path.read_text()):
            yield pytest.param(case, id=f"{path.stem}: {case['name']}")


def body_of(case):
    if "body" in case:
        return case["body"].encode()
    if "hex" in case:
        return bytes.fromhex(case["hex"])
    return json.dumps(SMALLEST | case["event"], ensure_ascii=False).encode()


def cell(name, value):
    """A cell as the tables of cases spell it."""
    if isinstance(value, dt.datetime):
        return (value - EPOCH) // dt.timedelta(microseconds=1)
    if isinstance(value, bytes) and name == "ip":
        address = ipaddress.IPv6Address(value)
        return str(address.ipv4_mapped or address)
    return str(uuid.UUID(bytes=value)) if isinstance(value, bytes) else value


def rejects_of(parsed):
    columns = (parsed.rejects.column(name).to_pylist() for name in ("row", "code", "field"))
    return list(zip(*columns, strict=True))


@pytest.mark.parametrize("case", list(cases()))
def test_case(case):
    given = dict(case.get("context", {}))
    received = given.pop("received_at_us", None)
    if received is not None:
        given["received_at"] = EPOCH + dt.timedelta(microseconds=received)
    if "error" in case:
        with pytest.raises(ValueError, match=case["error"]):
            ug.parse(body_of(case), **given)
        return
    parsed = ug.parse(body_of(case), **given)
    expected = [(r["row"], r["code"], r["field"]) for r in case.get("rejects", [])]
    assert rejects_of(parsed) == expected
    if "names" in case:
        assert parsed.events.column("event_name").to_pylist() == case["names"]
    for name, value in case.get("columns", {}).items():
        assert cell(name, parsed.events.column(name).to_pylist()[0]) == value


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    out = tmp_path_factory.mktemp("corpus")
    subprocess.run([sys.executable, CORPUS, out, "5000", "11"], check=True, stdout=subprocess.PIPE)
    return out


@pytest.mark.parametrize("name", ["clean", "mixed"])
def test_a_good_corpus_has_no_rejects(corpus, name):
    parsed = ug.parse(corpus / f"{name}.ndjson")
    assert (len(parsed.events), len(parsed.rejects)) == (5000, 0)


def test_every_bad_kind_of_the_corpus_is_refused_and_nothing_else(corpus):
    parsed = ug.parse(corpus / "dirty.ndjson")
    truth = dict(line.split("\t") for line in (corpus / "dirty.truth.tsv").read_text().splitlines())
    found = {str(row): (code, field) for row, code, field in rejects_of(parsed)}
    assert found.keys() == truth.keys()
    assert len(parsed.events) == 5000 - len(truth)
    for row, kind in truth.items():
        assert found[row] in KINDS[kind], (row, kind)


def test_rejects_point_at_their_bytes(corpus):
    body = (corpus / "dirty.ndjson").read_bytes()
    lines = body.split(b"\n")
    rejects = ug.parse(body).rejects
    places = zip(*(rejects.column(n).to_pylist() for n in ("row", "start", "stop")), strict=True)
    for row, start, stop in places:
        assert body[start:stop] == lines[row]


def test_a_corpus_keeps_every_value(corpus):
    """Beside the standard library, over every field of every event."""
    body = (corpus / "mixed.ndjson").read_bytes()
    events = ug.parse(body).events
    sent = [json.loads(line) for line in body.splitlines()]
    ids = {"event_id", "idfa", "gaid", "idfv"}
    for name in events.schema:
        found = events.column(name).to_pylist()
        if name == "timestamp":
            continue
        wanted = [event.get(name) for event in sent]
        if name == "properties":
            found = [json.loads(text) for text in found]
        elif name == "revenue_micros":
            wanted = [
                e["revenue"] and round(e["revenue"] * 10**6) if "revenue" in e else None
                for e in sent
            ]
        elif name in ids:
            wanted = [uuid.UUID(text).bytes if text else None for text in wanted]
        elif name == "ip":
            found = [cell(name, value) for value in found]
            wanted = [str(ipaddress.ip_address(text)) for text in wanted]
        assert found == wanted, name


def test_times_agree_with_the_standard_library(corpus):
    body = (corpus / "mixed.ndjson").read_bytes()
    found = ug.parse(body).events.column("timestamp").to_pylist()
    for moment, line in zip(found, body.splitlines(), strict=True):
        sent = json.loads(line)["timestamp"]
        if isinstance(sent, int):
            assert moment == EPOCH + dt.timedelta(milliseconds=sent)
        else:
            assert moment == dt.datetime.fromisoformat(sent)


class Reader:
    def read(self):
        return LINE


def test_every_source_gives_the_same(tmp_path):
    plain = tmp_path / "events.ndjson"
    plain.write_bytes(LINE)
    packed = tmp_path / "events.ndjson.gz"
    packed.write_bytes(gzip.compress(LINE))
    sources = [
        LINE,
        bytearray(LINE),
        memoryview(LINE),
        plain,
        str(plain),
        packed,
        gzip.compress(LINE),
        io.BytesIO(LINE),
        Reader(),
        [LINE[:9], LINE[9:]],
        (bytearray([byte]) for byte in LINE),
    ]
    for source in sources:
        parsed = ug.parse(source)
        assert parsed.events.column("user_id").to_pylist() == ["u1"]
        assert len(parsed.rejects) == 0


def test_files_are_unpacked_by_name_or_magic(tmp_path):
    zstandard = pytest.importorskip("zstandard")
    brotli = pytest.importorskip("brotli")
    packed = {
        "a.zst": zstandard.compress(LINE),
        "b.br": brotli.compress(LINE),
        "c.gz": gzip.compress(LINE),
        "d.data": zstandard.compress(LINE),
        "e.gz": LINE,
    }
    for name, data in packed.items():
        (tmp_path / name).write_bytes(data)
        assert len(ug.parse(tmp_path / name).events) == 1, name
    (tmp_path / "f.gz").write_bytes(gzip.compress(LINE)[:-9])
    with pytest.raises(ValueError, match="gzip data is broken"):
        ug.parse(tmp_path / "f.gz")


@pytest.mark.parametrize(
    ("data", "part"),
    [
        (LINE.decode(), "pass JSON as bytes"),
        (17, "expected bytes, got `int`"),
        (io.StringIO("{}"), "expected bytes, got `str`"),
        ([LINE, "{}"], "expected bytes, got `str`"),
        (None, "expected bytes, got `NoneType`"),
    ],
)
def test_what_is_not_bytes_is_a_type_error(data, part):
    with pytest.raises(TypeError, match=part):
        ug.parse(data)


def test_a_missing_file_is_the_usual_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        ug.parse(tmp_path / "none.ndjson")


def test_a_time_without_zone_is_refused():
    with pytest.raises(ValueError, match="must have a time zone"):
        ug.parse(LINE, received_at=dt.datetime(2026, 1, 1))  # noqa: DTZ001


def test_parsed_is_frozen_and_says_what_is_wrong():
    parsed = ug.parse(LINE + b"\n{}" * 7)
    first, second, *_, last = repr(parsed).splitlines()
    assert first == "Parsed: 1 events, 7 rejects"
    assert (
        second == "  row 1: missing_field, `event_name` or `event_type` must be there and not empty"
    )
    assert last == "  … 2 more rejects"
    with pytest.raises(AttributeError):
        parsed.events = parsed.rejects


def test_rejects_have_their_columns_even_without_rows():
    names = ["row", "event_id", "code", "field", "message", "start", "stop"]
    assert list(ug.parse(LINE).rejects.schema) == names


@pytest.mark.parametrize("library", ["polars", "pandas", "pyarrow", "duckdb"])
def test_events_reach_every_library(library):
    module = pytest.importorskip(library)
    events = ug.parse(b"\n".join([LINE] * 3)).events
    if library == "duckdb":
        rows = module.connect().execute("select count(*), min(user_id) from events").fetchall()
        assert rows == [(3, "u1")]
    else:
        frame = getattr(events, f"to_{library}")()
        assert len(frame) == 3


SAME = """
import sys, hashlib, unmogrowp as ug
parsed = ug.parse(sys.argv[1])
import pyarrow as pa
for table in (parsed.events, parsed.rejects):
    sink = pa.BufferOutputStream()
    arrow = table.to_pyarrow()
    with pa.ipc.new_stream(sink, arrow.schema) as stream:
        stream.write_table(arrow)
    print(len(table), hashlib.sha256(sink.getvalue()).hexdigest())
"""


def test_the_number_of_threads_changes_no_byte(corpus, tmp_path):
    """Over a body of several pieces."""
    big = tmp_path / "big.ndjson"
    big.write_bytes((corpus / "dirty.ndjson").read_bytes() * 11)
    answers = set()
    for threads in ("1", "3"):
        env = os.environ | {"UNMOGROWP_THREADS": threads}
        command = [sys.executable, "-c", SAME, str(big)]
        answers.add(subprocess.run(command, env=env, check=True, stdout=subprocess.PIPE).stdout)
    assert len(answers) == 1
    assert answers.pop().startswith(b"54")


INTERRUPTED = """
import signal, sys, threading, time, unmogrowp as ug
# Whoever started the tests may ignore it.
signal.signal(signal.SIGINT, signal.default_int_handler)
body = open(sys.argv[1], "rb").read() * 60
ug.parse(body[:1000].rsplit(b"\\n", 1)[0])
times = []
def interrupt():
    times.append(time.perf_counter())
    signal.raise_signal(signal.SIGINT)
threading.Timer(0.15, interrupt).start()
try:
    for _ in range(100):
        ug.parse(body)
except KeyboardInterrupt:
    print(time.perf_counter() - times[0])
"""


def test_control_c_ends_a_long_parse(corpus):
    command = [sys.executable, "-c", INTERRUPTED, str(corpus / "mixed.ndjson")]
    run = subprocess.run(command, check=True, stdout=subprocess.PIPE, timeout=60)
    assert float(run.stdout) < 0.2


def test_other_threads_run_while_parsing(corpus):
    """The interpreter is free: a thread gets its turn many times during one call."""
    import threading

    body = (corpus / "mixed.ndjson").read_bytes() * 20
    turns, done = 0, threading.Event()

    def count():
        nonlocal turns
        while not done.is_set():
            turns += 1

    thread = threading.Thread(target=count)
    thread.start()
    ug.parse(body)
    before = turns
    ug.parse(body)
    after = turns
    done.set()
    thread.join()
    assert after - before > 100


REJECTS = (Path(__file__).parent.parent / "docs" / "rejects.md").read_text()
EXAMPLES = re.findall(r"^\| `(\w+)` \|.*\| (.*) \|$", REJECTS, re.MULTILINE)


def test_the_docs_list_every_code_that_the_cases_know():
    rejects = json.loads((CASES / "rejects.json").read_text())
    known = {case["rejects"][0]["code"] for case in rejects} | {"event_too_large"}
    assert [code for code, _ in EXAMPLES] == [*dict(EXAMPLES)]
    assert {code for code, _ in EXAMPLES} == known
    assert len(known) == 16


@pytest.mark.parametrize(("code", "example"), [e for e in EXAMPLES if e[1].startswith("`")])
def test_an_example_of_the_docs_is_refused_as_they_say(code, example):
    line = example.strip("`").replace("…", LINE.decode().strip("{}"))
    assert (
        ug.parse(line.encode() + b"\n{}", app_id="a").rejects.column("code").to_pylist()[0] == code
    )


def test_an_event_above_a_megabyte_is_refused_alone():
    fat = LINE[:-1] + b',"x":"' + b"x" * 1_000_000 + b'"}'
    parsed = ug.parse(LINE + b"\n" + fat + b"\n" + LINE)
    assert rejects_of(parsed) == [(1, "event_too_large", None)]
    assert len(parsed.events) == 2
