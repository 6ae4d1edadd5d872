"""A folder that a long parse fills file by file, and in which it says how far it is."""

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

from unmogrowp.cli.files import replacing, write_table
from unmogrowp.cli.options import UsageError

if TYPE_CHECKING:
    from unmogrowp.events import Parsed

PROGRESS = "progress.json"


def is_folder(output: Path) -> bool:
    """Whether an output is a folder: a name without an ending, or one that is there."""
    return not output.suffix or output.is_dir()


@dataclass
class Parts:
    """What is in the folder, and of which files.

    A part is written before the progress that counts it: one that was broken off in between is
    written again, byte for byte.
    """

    folder: Path
    sources: list[list[str | int]]
    """Name, bytes and time of change of each file."""
    options: dict[str, str | bool | None]
    """What else decides what an event becomes."""
    file: int = 0
    """How many files are done."""
    rows: int = 0
    bytes: int = 0
    """How far the next one is."""
    parts: int = 0
    events: int = 0
    rejects: int = 0

    @classmethod
    def of(cls, folder: Path, files: list[Path], options: dict[str, str | bool | None]) -> Self:
        """Go on where the folder says, or begin.

        Raises:
            UsageError: It holds parts of other files, or was begun with other options.
        """
        sources: list[list[str | int]] = []
        for path in files:
            # One that is not there is missed where it is read.
            stat = path.stat() if path.exists() else None
            sources.append([str(path), *([stat.st_size, stat.st_mtime_ns] if stat else [])])
        progress = folder / PROGRESS
        if not progress.exists():
            return cls(folder, sources, options)
        kept = json.loads(progress.read_text())
        if kept["sources"] != sources:
            raise UsageError(
                f"`{folder}` holds what became of other files, or these have changed since\n"
                "hint: choose another folder, or remove this one"
            )
        if kept["options"] != options:
            raise UsageError(
                f"`{folder}` was begun with another `--app` or `--truncate-ip`\n"
                "hint: give the same ones, or choose another folder"
            )
        return cls(folder, **kept)

    def keep(self, piece: "Parsed", place: tuple[int, int]) -> None:
        """Write a piece, and that it is done."""
        self.folder.mkdir(parents=True, exist_ok=True)
        name = f"{self.parts:06}.parquet"
        write_table(piece.events.to_pyarrow(), self.folder / f"events-{name}")
        if len(piece.rejects):
            write_table(piece.rejects.to_pyarrow(), self.folder / f"rejects-{name}")
        self.rows, self.bytes = place
        self.parts += 1
        self.events += len(piece.events)
        self.rejects += len(piece.rejects)
        self._save()

    def next_file(self) -> None:
        """A file is done."""
        self.file, self.rows, self.bytes = self.file + 1, 0, 0
        self._save()

    def _save(self) -> None:
        values = dataclasses.asdict(self)
        del values["folder"]
        with replacing(self.folder / PROGRESS) as part:
            part.write_text(json.dumps(values))
