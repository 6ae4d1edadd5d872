"""The OpenAPI document and the server say the same, whatever is asked."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from serving import event, ndjson, serving

pytestmark = pytest.mark.service
EXAMPLES = 6
SEED = 1


@pytest.mark.timeout(300)
def test_schemathesis_finds_nothing_with_all_its_checks(tmp_path: Path) -> None:
    command = shutil.which("schemathesis", path=Path(sys.executable).parent)
    assert command is not None
    with serving(tmp_path / "data") as server:
        server.post(ndjson([event(number) for number in range(50)]))
        server.settle()
        keys = {f"{role.upper()}_KEY": server.key(role) for role in ("write", "read", "admin")}
        config = Path(__file__).with_name("schemathesis.toml")
        words = ["--config-file", config, "run", f"{server.url}/schema/openapi.json"]
        words += ["--max-examples", str(EXAMPLES), "--seed", str(SEED), "--no-color"]
        done = subprocess.run(
            [command, *words],
            check=False,
            capture_output=True,
            text=True,
            timeout=280,
            cwd=tmp_path,
            env={**os.environ, **keys},
        )
        assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-1000:]
        assert "21/21" in done.stdout
