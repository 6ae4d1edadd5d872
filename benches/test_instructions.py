"""How many instructions an event takes: the same on every machine, whatever else it is doing.

Counted by callgrind, which knows no AVX-512: a loss in that path shows in the gates by time only.
Each count is that of two rounds less that of one, so that the start of the program is not in it.
"""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

import corpus

HOME = Path(__file__).parents[1]
BENCH = ["--profile", "quick", "--locked", "-p", "unmogrowp-benches", "--bin", "parse_speed"]
EVENTS = 4_000
VALGRIND = ("valgrind", "--tool=callgrind")
# An event's, as counted, and what a compiler may add.
SLACK = 1.03
PATHS = {"avx2": 5_410, "scalar": 9_240}
# Of an event for the spool, in bodies of one and of about a hundred.
PACKED = {1: 11_410, 65_536: 6_130}
LARGE = 16 << 20
# Of what serde_json takes to decode the same lines.
SHARE_OF_SERDE_MAX = {"avx2": 0.39, "scalar": 0.66}


@pytest.fixture(scope="module")
def program() -> Path:
    subprocess.run(["cargo", "build", "--quiet", *BENCH], cwd=HOME, check=True)
    target = Path(os.environ.get("CARGO_TARGET_DIR", HOME / "target"))
    return target / "quick" / "parse_speed"


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("corpus")
    corpus.write(out, EVENTS)
    return out / "mixed.ndjson"


def instructions(program: Path, file: Path, name: str, path: str, body: int = LARGE) -> float:
    """Of one event in bodies of about so many bytes."""

    def counted(rounds: int) -> int:
        out = file.with_name(f"{name}-{rounds}.out")
        subprocess.run(
            [
                *VALGRIND,
                f"--callgrind-out-file={out}",
                program,
                file,
                str(body),
                str(rounds),
                name,
            ],
            check=True,
            capture_output=True,
            env={**os.environ, "UNMOGROWP_SIMD": path},
        )
        totals = next(line for line in out.read_text().splitlines() if line.startswith("totals:"))
        return int(totals.split()[1])

    return (counted(2) - counted(1)) / EVENTS


@pytest.mark.skipif(shutil.which("valgrind") is None, reason="needs valgrind")
@pytest.mark.parametrize("path", PATHS)
def test_parsing_takes_no_more_instructions_than_it_did(
    program: Path, mixed: Path, path: str
) -> None:
    ours = instructions(program, mixed, "parse", path)
    theirs = instructions(program, mixed, "serde_json", path)
    most, share = PATHS[path] * SLACK, SHARE_OF_SERDE_MAX[path]
    print(f"\nparse, {path}: claim ≤ {most:,.0f} instructions an event, counted {ours:,.0f}")
    print(f"claim ≤ {share} of serde_json's {theirs:,.0f}, counted {ours / theirs:.3f}")
    assert ours <= most
    assert ours / theirs <= share


@pytest.mark.skipif(shutil.which("valgrind") is None, reason="needs valgrind")
@pytest.mark.parametrize("body", PACKED)
def test_packing_takes_no_more_instructions_than_it_did(
    program: Path, mixed: Path, body: int
) -> None:
    counted, most = instructions(program, mixed, "pack", "avx2", body), PACKED[body] * SLACK
    print(f"\npack, bodies of {body} B: claim ≤ {most:,.0f} an event, counted {counted:,.0f}")
    assert counted <= most
