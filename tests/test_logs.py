"""What a process of the server logs."""

import json
import logging

import pytest

from unmogrowp.server import requests
from unmogrowp.server.logs import Lines


def logged(message: str, error: BaseException | None = None) -> dict[str, str]:
    """A line, read back."""
    info = (type(error), error, None) if error else None
    record = logging.LogRecord("unmogrowp", logging.WARNING, "", 0, message, None, info)
    line = Lines("ingest").format(record)
    assert "\n" not in line
    found: dict[str, str] = json.loads(line)
    return found


def test_a_line_says_of_which_request_it_is() -> None:
    token = requests.current.set(None)
    try:
        requests.begin("edge-7")
        found = logged("a line\nof two")
    finally:
        requests.current.reset(token)
    assert found.pop("time").endswith("+00:00")
    assert found == {
        "level": "warning",
        "process": "ingest",
        "message": "a line\nof two",
        "request_id": "edge-7",
    }


def test_what_nobody_expected_comes_with_its_traceback() -> None:
    found = logged("failed", ValueError("odd"))
    assert "ValueError: odd" in found["error"]
    assert "request_id" not in found


@pytest.mark.parametrize("given", ["", "a b", "x" * 65, "ä", "1\r\nSet-Cookie: a"])
def test_an_id_that_could_harm_a_log_is_replaced(given: str) -> None:
    assert requests.begin(given) != given
