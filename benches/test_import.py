"""Import time over a bare interpreter and beside Polars; size of the portable wheel."""

import resource
import statistics
import subprocess
import sys
from pathlib import Path

import pytest

ROUNDS = 9
IMPORT_MS_MAX = 10.0
SHARE_OF_POLARS_MAX = 1 / 20
WHEEL_BYTES_MAX = 5_000_000


def seconds(code: str) -> float:
    """CPU time of a fresh interpreter: a busy machine stretches the clock, not this."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-I", "-c", code], check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def test_import_is_nearly_free() -> None:
    """Interleaved whole processes; the bare interpreter is taken off each of its round."""
    seconds("import unmogrowp, polars")
    ours, polars = [], []
    for _ in range(ROUNDS):
        bare = seconds("pass")
        ours.append(seconds("import unmogrowp") - bare)
        polars.append(seconds("import polars") - bare)
    ms = statistics.median(ours) * 1000
    share = statistics.median(o / p for o, p in zip(ours, polars, strict=True))
    print(f"\nimport: claim ≤ {IMPORT_MS_MAX} ms, measured {ms:.1f} ms; ", end="")
    print(f"claim ≤ {SHARE_OF_POLARS_MAX:.3f} of polars, measured {share:.3f}")
    assert ms <= IMPORT_MS_MAX
    assert share <= SHARE_OF_POLARS_MAX


def test_wheel_is_small() -> None:
    wheels = sorted(Path("dist").glob("unmogrowp-*-cp311-abi3-manylinux*.whl"))
    if not wheels:
        pytest.fail("no wheel in dist/\nhint: run `make build` first")
    size = wheels[-1].stat().st_size
    print(f"\nwheel: claim ≤ {WHEEL_BYTES_MAX} bytes, measured {size}")
    assert size <= WHEEL_BYTES_MAX
