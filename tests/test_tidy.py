"""The house rules that a machine can check."""

import ast
import re
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
BANNED = {"utils", "util", "helpers", "helper", "common", "misc", "manager", "base"}
# Words that are other people's for what the glossary calls lookback.
BANNED_WORDS = re.compile(r"attribution_" + "window")


def tracked() -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    paths = (ROOT / line for line in listed.stdout.splitlines())
    return [path for path in paths if path.is_file()]


SOURCES = [path for path in tracked() if path.suffix in {".rs", ".py"}]
RUST = [path for path in SOURCES if path.suffix == ".rs"]
PYTHON = [path for path in SOURCES if path.suffix == ".py"]


def named(paths: list[Path]) -> str:
    return ", ".join(str(path.relative_to(ROOT)) for path in paths)


@pytest.mark.parametrize(("paths", "lines_max"), [(RUST, 700), (PYTHON, 600)])
def test_a_file_fits_its_budget(paths: list[Path], lines_max: int) -> None:
    long = [path for path in paths if len(path.read_text().splitlines()) > lines_max]
    assert not long, f"over {lines_max} lines: {named(long)}"


def test_a_line_fits_a_hundred_columns() -> None:
    wide = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in SOURCES
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if len(line) > 100 and "noqa" not in line
    ]
    assert not wide, wide


def test_a_python_function_fits_a_screen() -> None:
    long = []
    for path in PYTHON:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                length = (node.end_lineno or 0) - node.lineno + 1
                if length > 70:
                    long.append(f"{path.relative_to(ROOT)}:{node.name} {length}")
    assert not long, long


def test_no_file_is_named_after_nothing() -> None:
    vague = [path for path in SOURCES if path.stem in BANNED or path.parent.name in BANNED]
    assert not vague, named(vague)


def test_no_banned_word() -> None:
    found = [path for path in SOURCES if BANNED_WORDS.search(path.read_text())]
    assert not found, named(found)


def test_core_is_pure() -> None:
    impure = re.compile(r"std::(fs|net|process)\b|SystemTime|Instant::now|\brand::|pyo3")
    found = [p for p in RUST if "rust/core/src" in str(p) and impure.search(p.read_text())]
    assert not found, named(found)


def test_every_pyclass_is_frozen() -> None:
    loose = [
        path
        for path in RUST
        for attribute in re.findall(r"#\[pyclass[^\]]*\]", path.read_text())
        if "frozen" not in attribute
    ]
    assert not loose, named(loose)


def test_every_call_into_the_core_goes_through_the_door() -> None:
    detaches = [
        p
        for p in RUST
        if "rust/python/src" in str(p) and p.name != "door.rs" and ".detach(" in p.read_text()
    ]
    assert not detaches, named(detaches)


def test_crates_depend_downwards() -> None:
    allowed = {
        "scan": set(),
        "core": {"scan"},
        "spool": {"scan"},
        "simulate": set(),
        "intake": {"core", "spool", "scan"},
        "listener": {"core", "intake"},
        "python": {"core", "spool", "scan", "intake", "listener", "simulate"},
    }
    for crate, below in allowed.items():
        manifest = tomllib.loads((ROOT / "rust" / crate / "Cargo.toml").read_text())
        ours = {n.removeprefix("unmogrowp-") for n in manifest["dependencies"] if "unmogrowp" in n}
        assert ours <= below, f"{crate} reaches up to {ours - below}"


def test_contributing_names_every_room() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text()
    folders = {path.relative_to(ROOT).parent for path in SOURCES}
    rooms = {str(Path(*folder.parts[:3])).removesuffix("/src") for folder in folders}
    own = (room for room in sorted(rooms) if room != "." and not room.endswith("/tests"))
    missing = [room for room in own if f"`{room}/`" not in text]
    assert not missing, missing


def test_the_public_face_is_small() -> None:
    import unmogrowp

    # What the notebook needs, one name a model.
    assert len(unmogrowp.__all__) <= 30
    assert all(hasattr(unmogrowp, name) for name in unmogrowp.__all__)
