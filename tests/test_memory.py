"""What one call frees is there for the next one."""

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from serving import event, ndjson

ROWS = 40_000
# How many pages a call asks the machine for, as a rule: now and then a thread has a heap of its
# own, which is filled once. Nothing else there is as large as its columns.
PAGES = """
import resource, statistics, sys
import unmogrowp as ug

def pages():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

with open(sys.argv[1], "rb") as file:
    body = file.read()
calls = []
for _ in range(15):
    before = pages()
    assert len(ug.parse(body).events) == int(sys.argv[2])
    calls.append(pages() - before)
print(int(statistics.median(calls)))
"""

pytestmark = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="glibc alone is told")


@pytest.fixture(scope="module")
def body(tmp_path_factory: pytest.TempPathFactory) -> Path:
    more = {"session_id": "s" * 36, "properties": {"screen": "p" * 40}}
    path = tmp_path_factory.mktemp("memory") / "body.ndjson"
    path.write_bytes(ndjson([event(number, **more) for number in range(ROWS)]))
    return path


def pages_a_call(body: Path, **settings: str) -> int:
    found = subprocess.run(
        [sys.executable, "-c", PAGES, str(body), str(ROWS)],
        env={**os.environ, **settings},
        check=True,
        capture_output=True,
        text=True,
    )
    return int(found.stdout)


def test_freed_memory_is_used_again(body: Path) -> None:
    assert pages_a_call(body) < 200


def test_who_wants_it_given_back_is_heard(body: Path) -> None:
    wishes = {"MALLOC_TRIM_THRESHOLD_": "131072", "MALLOC_MMAP_THRESHOLD_": "131072"}
    assert pages_a_call(body, **wishes) > 1_000
