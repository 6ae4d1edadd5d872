"""Fixtures that several tests share."""

import itertools
import os
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

from serving import Server, serving
from unmogrowp.warehouse import Warehouse

# The first example may import a library; speed is the benches' matter.
hypothesis.settings.register_profile("suite", deadline=None)
hypothesis.settings.load_profile("suite")

apps = itertools.count(1)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One running server for the tests of a module."""
    with serving(tmp_path_factory.mktemp("server") / "data") as running:
        yield running


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    """A data directory of a test's own."""
    return tmp_path / "data"


@pytest.fixture(scope="session")
def warehouse(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Warehouse]:
    """The one embedded warehouse of this process: an engine has one directory."""
    opened = Warehouse(f"chdb://{tmp_path_factory.mktemp('warehouse')}")
    opened.migrate()
    yield opened
    opened.close()


@pytest.fixture
def app() -> str:
    """An app that no other test has."""
    return f"app{next(apps)}"


def pytest_sessionfinish(session: pytest.Session) -> None:
    """In the gate a skipped test is a failed one: every part can be installed."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if os.environ.get("CI") and reporter is not None and reporter.stats.get("skipped"):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
