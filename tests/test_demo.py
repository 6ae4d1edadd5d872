"""The demo as a newcomer meets it, only shorter."""

import io
import os
import pty
import re
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from unmogrowp import demo, sending
from unmogrowp.errors import UnmogrowpError

SDK_EVENTS = 7 * demo.SDK_USERS


@pytest.mark.service
def test_the_demo_stores_what_it_sends_and_shows_five_models(tmp_path: Path) -> None:
    words = ["demo", "--events", "20000", "--seed", "5"]
    done = subprocess.run(
        [sys.executable, "-m", "unmogrowp.cli", *words],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    total = f"{20_000 + SDK_EVENTS:,}"
    assert f"events sent {total} = events stored {total}" in done.stdout
    header = re.compile(r"channel +first_touch +last_touch +linear +position_based +time_decay")
    assert len(header.findall(done.stdout)) == 2
    for channel in ("google_ads", "podcast", "newsletter", "(unattributed)"):
        assert re.search(rf"^{re.escape(channel)} ", done.stdout, re.MULTILINE), channel
    assert "Cohorts by channel" in done.stdout
    assert re.search(r"on http://127\.0\.0\.1:\d+$", done.stdout, re.MULTILINE)
    assert "20,000 simulated events sent" in done.stderr
    assert not list(tmp_path.iterdir()), "it leaves nothing behind"


def test_without_a_terminal_progress_is_a_line_a_tenth() -> None:
    stream = io.StringIO()
    progress = sending.Progress(1_000, "events sent", stream)
    for _ in range(100):
        progress.advance(10)
    progress.finish()
    lines = stream.getvalue().splitlines()
    assert len(lines) == 10
    assert "1,000 events sent" in lines[-1]
    assert "\r" not in stream.getvalue()


def test_on_a_terminal_progress_is_one_bar() -> None:
    ours, theirs = pty.openpty()
    seen: list[bytes] = []
    reader = threading.Thread(target=lambda: seen.append(os.read(ours, 65_536)))
    with os.fdopen(theirs, "w") as terminal:
        progress = sending.Progress(4, "events sent", terminal)
        progress.advance(2)
        reader.start()
        reader.join()
    os.close(ours)
    assert seen[0].startswith("\r███████████████·".encode())


def test_sums_by_currency_add_up_to_one_number() -> None:
    values = [None, 3, "12.50", {"USD": "2.50", "EUR": "1"}]
    assert [demo.amount(value) for value in values] == [0.0, 3.0, 12.5, 3.5]


def test_a_missing_sdk_is_named_before_anything_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "posthog", None)
    with pytest.raises(
        UnmogrowpError, match="`posthog`, which is not installed\nhint: pip install"
    ):
        demo.require_sdks()
