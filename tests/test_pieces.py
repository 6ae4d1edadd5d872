"""`ug.parse_pieces` gives for a stream what `ug.parse` gives for the whole."""

import gzip
import io
import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import brotli
import pyarrow.parquet as pq
import pytest
import zstandard

import unmogrowp as ug

LINE = '{{"event_name":"open","timestamp":{second},"user_id":"u{number}","source":"s{mod}"}}'


def body(count: int, *, bad_every: int = 7) -> bytes:
    """Lines, one in so many of them bad, with blank ones and one that is no object in between."""
    lines = []
    for number in range(count):
        if number % bad_every == 3:
            lines.append(f'{{"event_name":"open","event_id":"bad{number}"}}')
        elif number % bad_every == 5:
            lines += ["", "[1, 2"]
        else:
            second = 1_767_225_600 + number
            lines.append(LINE.format(second=second, number=number, mod=number % 11))
    return "\n".join(lines).encode()


def rows(tables: list[ug.Table]) -> list[dict[str, object]]:
    return [row for table in tables for row in table.to_pyarrow().to_pylist()]


def same(pieces: list[ug.Parsed], whole: ug.Parsed) -> None:
    assert rows([piece.events for piece in pieces]) == rows([whole.events])
    assert rows([piece.rejects for piece in pieces]) == rows([whole.rejects])


@pytest.mark.parametrize("piece_bytes", [1, 1_000, 70_000, 1 << 30])
@pytest.mark.parametrize("name", ["e.ndjson", "e.ndjson.gz", "e.ndjson.zst", "e.ndjson.br"])
def test_pieces_together_are_the_whole(tmp_path: Path, name: str, piece_bytes: int) -> None:
    plain = body(6_000)
    packed = {
        ".ndjson": lambda data: data,
        ".gz": gzip.compress,
        ".zst": zstandard.ZstdCompressor().compress,
        ".br": lambda data: brotli.compress(data, quality=3),
    }
    path = tmp_path / name
    path.write_bytes(packed[path.suffix](plain))
    pieces = list(ug.parse_pieces(path, piece_bytes=piece_bytes))
    assert (len(pieces) > 1) == (piece_bytes < len(plain))
    same(pieces, ug.parse(plain))


def test_a_source_may_be_a_file_or_chunks() -> None:
    plain = body(4_000)
    whole = ug.parse(plain)
    chunks = [plain[at : at + 1_237] for at in range(0, len(plain), 1_237)]
    for source in (
        io.BytesIO(plain),
        io.BytesIO(gzip.compress(plain)),
        chunks,
        iter([b"", *chunks]),
    ):
        same(list(ug.parse_pieces(source, piece_bytes=50_000)), whole)
    same(list(ug.parse_pieces([plain])), whole)


@pytest.mark.parametrize("shape", ["array", "batch", "pretty", "bom"])
def test_one_value_comes_as_one_piece(shape: str) -> None:
    lines = [LINE.format(second=1_767_225_600, number=n, mod=n) for n in range(3_000)]
    bodies = {
        "array": "[" + ",\n".join(lines) + "]",
        "batch": '{"batch":[' + ",\n".join(lines) + "]}",
        "pretty": json.dumps(json.loads(lines[0]), indent=1),
        "bom": "\ufeff" + "\n".join(lines),
    }
    plain = bodies[shape].encode()
    pieces = list(ug.parse_pieces([plain], piece_bytes=70_000))
    assert (len(pieces) > 1) == (shape == "bom")
    same(pieces, ug.parse(plain))


def test_memory_is_that_of_a_few_pieces(tmp_path: Path) -> None:
    path = tmp_path / "many.ndjson.gz"
    with gzip.open(path, "wb", compresslevel=1) as file:
        for _ in range(40):
            file.write(body(20_000) + b"\n")
    script = """
import resource, sys
import unmogrowp as ug
seen = peak = 0
for piece in ug.parse_pieces(sys.argv[1], piece_bytes=1 << 20):
    seen += len(piece.events)
    if seen < 60_000:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(seen, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak)
"""

    done = subprocess.run(
        [sys.executable, "-c", script, str(path)], check=True, capture_output=True, text=True
    )
    seen, growth_kib = map(int, done.stdout.split())
    assert seen == 40 * len(ug.parse(body(20_000)).events)
    assert growth_kib < 30 << 10, "it does not grow with the file"


def test_damage_ends_it_after_the_pieces_before(tmp_path: Path) -> None:
    path = tmp_path / "cut.ndjson.gz"
    path.write_bytes(gzip.compress(body(20_000))[:-2_000])
    pieces = ug.parse_pieces(path, piece_bytes=100_000)
    first = next(pieces)
    assert len(first.events) > 100
    with pytest.raises(ValueError, match="hint: "):
        list(pieces)
    with pytest.raises(ValueError, match="empty"):
        list(ug.parse_pieces([]))
    with pytest.raises(ValueError, match="array or batch is broken"):
        list(ug.parse_pieces([b"[{}, "]))


def test_what_a_source_raises_comes_through() -> None:
    def failing() -> Iterator[bytes]:
        yield body(100)
        raise RuntimeError("the bucket is gone")

    with pytest.raises(RuntimeError, match="the bucket is gone"):
        list(ug.parse_pieces(failing(), piece_bytes=100))
    with pytest.raises(TypeError, match="expected bytes"):
        list(ug.parse_pieces(["text"]))  # type: ignore[list-item]
    with pytest.raises(FileNotFoundError):
        ug.parse_pieces("nowhere.ndjson")
    with pytest.raises(ValueError, match="piece_bytes"):
        ug.parse_pieces([b"{}"], piece_bytes=0)


def test_it_may_be_left_in_the_middle(tmp_path: Path) -> None:
    path = tmp_path / "left.ndjson"
    path.write_bytes(body(20_000))
    pieces = ug.parse_pieces(path, piece_bytes=10_000)
    assert len(next(pieces).events) > 0
    assert 0 < pieces.read_bytes <= path.stat().st_size
    del pieces


def test_its_place_may_be_asked_while_another_thread_waits_for_a_piece() -> None:
    begun = threading.Event()
    lines = body(50).splitlines(keepends=True)

    def slow() -> Iterator[bytes]:
        begun.set()
        for line in lines:
            time.sleep(0.005)
            yield line

    pieces = ug.parse_pieces(slow())
    found: list[ug.Parsed] = []
    waiting = threading.Thread(target=lambda: found.extend(pieces), daemon=True)
    waiting.start()
    assert begun.wait(10)
    assert pieces.place[1] in {0, len(body(50))}
    waiting.join(10)
    assert not waiting.is_alive()
    same(found, ug.parse(body(50)))


def test_it_goes_on_from_the_place_of_a_piece(tmp_path: Path) -> None:
    plain = body(6_000)
    path = tmp_path / "e.ndjson.gz"
    path.write_bytes(gzip.compress(plain))
    first = ug.parse_pieces(path, piece_bytes=70_000)
    seen = [next(first), next(first)]
    rest = list(ug.parse_pieces(path, piece_bytes=70_000, start=first.place))
    same([*seen, *rest], ug.parse(plain))


def parts(folder: Path, kind: str) -> list[dict[str, object]]:
    tables = [pq.read_table(path) for path in sorted(folder.glob(f"{kind}-*.parquet"))]
    return [row for table in tables for row in table.to_pylist()]


def test_a_parse_that_was_killed_goes_on(tmp_path: Path) -> None:
    plain = body(120_000)
    path = tmp_path / "big.ndjson.zst"
    path.write_bytes(zstandard.ZstdCompressor().compress(plain))
    folder = tmp_path / "events"
    command = [sys.executable, "-m", "unmogrowp.cli", "parse", str(path), "--piece-mib", "1"]
    command += ["-o", str(folder)]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        deadline = time.monotonic() + 30
        while not (folder / "progress.json").exists():
            assert time.monotonic() < deadline
            time.sleep(0.002)
        process.kill()
    killed = json.loads((folder / "progress.json").read_text())
    assert killed["file"] == 0, "it was not done"
    for _ in range(2):
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        whole = ug.parse(plain)
        assert f"{len(whole.events):,} events, {len(whole.rejects):,} rejects" in done.stderr
        assert parts(folder, "events") == rows([whole.events])
        assert parts(folder, "rejects") == rows([whole.rejects])
    cut = subprocess.run([*command, "--truncate-ip"], check=False, capture_output=True, text=True)
    assert cut.returncode == 2, "what is there has whole addresses"
    assert "--truncate-ip" in cut.stderr
    path.write_bytes(b"{}")
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 2
    assert "other files" in done.stderr
