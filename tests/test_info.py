"""`ug.info`, and that the vector instructions it names change no answer."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import unmogrowp as ug

CORPUS = Path(__file__).parent.parent / "benches" / "corpus.py"
PATHS = ["avx512", "avx2", "neon", "scalar"]

PARSED = """
import hashlib, sys, unmogrowp as ug
parsed = ug.parse(sys.argv[1])
columns = [parsed.events.column(name).to_pylist() for name in parsed.events.schema]
rejects = [parsed.rejects.column(name).to_pylist() for name in parsed.rejects.schema]
print(ug.info().simd, hashlib.sha256(repr((columns, rejects)).encode()).hexdigest())
"""


@pytest.fixture(scope="module")
def dirty(tmp_path_factory):
    out = tmp_path_factory.mktemp("corpus")
    subprocess.run([sys.executable, CORPUS, out, "3000", "5"], check=True, stdout=subprocess.PIPE)
    return out / "dirty.ndjson"


def parsed_with(path: str, dirty: Path) -> tuple[str, str]:
    env = os.environ | {"UNMOGROWP_SIMD": path}
    command = [sys.executable, "-c", PARSED, str(dirty)]
    run = subprocess.run(command, env=env, check=True, stdout=subprocess.PIPE, text=True)
    simd, digest = run.stdout.split()
    return simd, digest


def test_every_instruction_set_gives_the_same_tables(dirty):
    found = {path: parsed_with(path, dirty) for path in PATHS}
    assert len({digest for _, digest in found.values()}) == 1
    assert found["scalar"][0] == "scalar"
    # A set that this machine lacks is not used; the best it has stands in.
    best = parsed_with("", dirty)[0]
    assert all(simd in {path, best} for path, (simd, _) in found.items())


def test_info_names_version_and_threads():
    assert ug.info().version == ug.__version__
    assert ug.info().threads >= 1
    env = os.environ | {"UNMOGROWP_THREADS": "3"}
    command = [sys.executable, "-c", "import unmogrowp as ug; print(ug.info().threads)"]
    run = subprocess.run(command, env=env, check=True, stdout=subprocess.PIPE, text=True)
    assert run.stdout == "3\n"
