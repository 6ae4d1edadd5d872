"""The archive of a data directory that no server uses; a running one makes its own."""

from collections.abc import Iterator
from contextlib import ExitStack, nullcontext
from pathlib import Path

from unmogrowp.pipeline.backup import Staging
from unmogrowp.server.supervisor import ROLES, StartError, owning, prepare


def archive_of(data_dir: Path) -> Iterator[bytes]:
    """A data directory without a server as an archive.

    Raises:
        StartError: There is none, or a server uses it.
    """
    if not (data_dir / "VERSION").exists():
        raise StartError(f"no data is in `{data_dir}`\nhint: name its directory with --data-dir")
    home = prepare(data_dir)
    with ExitStack() as stack:
        for name in ROLES["all"]:
            stack.enter_context(owning(home / f"{name}.lock"))
        staging = Staging.make(home)
        stack.callback(staging.remove)
        staging.take_stored(nullcontext() if (home / "warehouse").exists() else None)
        staging.take_catalog()
        yield from staging.archive()
