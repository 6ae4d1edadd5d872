"""`ug.parse_pieces` on files: what a second core brings, and memory beside the size of the file."""

import os
import shutil
import statistics
import subprocess
import sys
from pathlib import Path

import zstandard

import corpus

EVENTS = 200_000
TIMES = (4, 16)
ROUNDS = 5
# Well below what was measured, so that only a real loss of speed falls short.
TIMES_FASTER_MIN = 1.5
RSS_MIB_MAX = 400

SCRIPT = """
import os, resource, sys, time
import unmogrowp as ug
os.sched_setaffinity(0, range(int(sys.argv[2])))
started = time.perf_counter()
events = sum(len(piece.events) for piece in ug.parse_pieces(sys.argv[1]))
took = time.perf_counter() - started
print(events, took, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10)
"""


def run(path: Path, cores: int) -> tuple[int, float, int]:
    """Events, seconds and the most MiB of one pass over a file on so many cores."""
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(path), str(cores)],
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, "UNMOGROWP_THREADS": str(cores)},
    )
    events, seconds, mib = done.stdout.split()
    return int(events), float(seconds), int(mib)


def repeated(path: Path, times: int) -> Path:
    """A file of so many copies of another."""
    made = path.with_name(f"{times}.ndjson")
    with made.open("wb") as out:
        for _ in range(times):
            with path.open("rb") as file:
                shutil.copyfileobj(file, out, 1 << 20)
    return made


def test_files_on_two_cores(tmp_path: Path) -> None:
    """Interleaved; the ratio of each pair, then the median."""
    corpus.write(tmp_path, EVENTS)
    few, many = (repeated(tmp_path / "mixed.ndjson", times) for times in TIMES)
    packed = few.with_suffix(".zst")
    with few.open("rb") as source, packed.open("wb") as out:
        zstandard.ZstdCompressor().copy_stream(source, out)
    for path in (few, packed):
        pairs = [(run(path, 1), run(path, 2)) for _ in range(ROUNDS)]
        ratio = statistics.median(one[1] / two[1] for one, two in pairs)
        rate = statistics.median(two[0] / two[1] for _, two in pairs)
        print(f"\n{path.suffix}: two cores {ratio:.2f} × one, {rate:,.0f} events/s", end="")
        if path is few:
            assert ratio >= TIMES_FASTER_MIN
    sizes = [path.stat().st_size >> 20 for path in (few, many)]
    peaks = [run(path, 2)[2] for path in (few, many)]
    print(f"\nmost memory: {peaks[0]} MiB for {sizes[0]} MiB, {peaks[1]} MiB for {sizes[1]} MiB")
    assert max(peaks) <= RSS_MIB_MAX
