"""A data directory into one archive while its server runs, and out of one.

What belongs together is taken while the pipeline stands still between two of its steps: the
warehouse, whose parts never change and so are only linked, and the record of what was shipped.
The spool is linked before the pipeline goes on: whatever was acknowledged by then is in the
warehouse or in a segment, and no segment that is still needed can go. Segments come before the id
log, since their ids move there before they go. Apps and keys come last, so that no event lacks
its app.
"""

import hashlib
import io
import os
import re
import shutil
import sqlite3
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, closing, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import BinaryIO

import msgspec

from unmogrowp import __version__
from unmogrowp.config import LAYOUT
from unmogrowp.errors import UnmogrowpError
from unmogrowp.pipeline.receipt import KEY_FILE
from unmogrowp.pipeline.state import State

FORMAT = 1
PREFIX = "backup-"
MANIFEST, SUMS = "manifest.json", "SHA256SUMS"
CHUNK_BYTES = 1 << 20
# Written once and never changed: `<partition>_<first>_<last>_<level>`.
_PART = re.compile(r"[0-9a-z]+_\d+_\d+_\d+(_\d+)?")
# Of the process at hand, or half made.
_PASSING = re.compile(r"status|lock|(delete_)?tmp.*")


class BackupError(UnmogrowpError):
    """An archive that cannot be made or used."""


class Manifest(msgspec.Struct, frozen=True):
    """What an archive says of itself, before everything else."""

    format: int
    layout: int
    version: str
    created_at: str
    has_warehouse: bool


@dataclass(frozen=True, slots=True)
class Staging:
    """A folder beside the data that holds links and copies until they are in the archive."""

    home: Path
    folder: Path

    @classmethod
    def make(cls, home: Path) -> "Staging":
        """A new one."""
        return cls(home, Path(tempfile.mkdtemp(prefix=PREFIX, dir=home)))

    def take_stored(self, still: AbstractContextManager[None] | None) -> None:
        """Link the embedded warehouse, copy the record of what was shipped, link the spool.

        Args:
            still: Keeps the warehouse's files as they are; None where there is no warehouse.
        """
        if still is not None:
            with still:
                _link_tree(self.home / "warehouse", self.folder / "warehouse")
        _copy_database(self.home / "store.db", self.folder / "store.db")
        self._take_spool()

    def _take_spool(self) -> None:
        """What is not in the warehouse yet, then the ids of what is."""
        spool, to = self.home / "spool", self.folder / "spool"
        to.mkdir()
        for segment in sorted(spool.glob("*.segment")):
            _link(segment, to / segment.name)
        for name in ("shipped", "durable"):
            with suppress(FileNotFoundError):
                shutil.copyfile(spool / name, to / name)
        (to / "ids").mkdir()
        for ids in sorted((spool / "ids").glob("*")):
            _link(ids, to / "ids" / ids.name)

    def take_catalog(self) -> None:
        """Copy apps and keys, and what receipts are signed with."""
        _copy_database(self.home / "catalog.db", self.folder / "catalog.db")
        if (self.home / KEY_FILE).exists():
            shutil.copy(self.home / KEY_FILE, self.folder / KEY_FILE)
        (self.folder / "VERSION").write_text(f"{LAYOUT}\n")

    def remove(self) -> None:
        """Let the links go."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def archive(self) -> Iterator[bytes]:
        """The folder as the bytes of a tar archive, with its manifest first and its sums last."""
        manifest = Manifest(
            FORMAT,
            LAYOUT,
            __version__,
            datetime.now(UTC).isoformat(timespec="seconds"),
            (self.folder / "warehouse").exists(),
        )
        sums: dict[str, str] = {}
        yield from _member(MANIFEST, msgspec.json.encode(manifest), sums)
        for path in sorted(self.folder.rglob("*")):
            yield from _tar(path, str(path.relative_to(self.folder)), sums)
        listed = "".join(f"{digest}  {name}\n" for name, digest in sums.items())
        yield from _member(SUMS, listed.encode(), {})
        yield bytes(2 * tarfile.BLOCKSIZE)


def remove_leftovers(home: Path) -> None:
    """Remove the folders of backups whose process ended before they did."""
    for folder in home.glob(f"{PREFIX}*"):
        shutil.rmtree(folder, ignore_errors=True)


def restore(archive: BinaryIO, home: Path) -> Manifest:
    """Make a data directory from an archive; it appears when it is whole.

    Args:
        archive: What `Staging.archive` gave.
        home: Where it goes; must not exist, or be empty.

    Raises:
        BackupError: The archive is not whole, or of a newer version; or `home` holds something.
    """
    home = home.absolute()
    if home.exists() and any(home.iterdir()):
        raise BackupError(f"`{home}` is not empty\nhint: name a new directory with --data-dir")
    home.parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=f".{home.name}.", dir=home.parent))
    try:
        manifest = _extract(archive, folder)
        if not (folder / "warehouse").exists():
            _part(folder)
        # Nobody but its owner may read such a folder, and renamed it takes an empty one's place.
        folder.rename(home)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return manifest


def _part(home: Path) -> None:
    """The warehouse was left where it is, and may know more than what is restored."""
    state = State(home / "store.db")
    state.renew()
    state.close()


def _extract(archive: BinaryIO, folder: Path) -> Manifest:
    manifest: Manifest | None = None
    sums: dict[str, str] = {}
    listed: str | None = None
    try:
        with tarfile.open(fileobj=archive, mode="r|") as tar:
            for member in tar:
                if member.name == MANIFEST:
                    manifest = _read_manifest(_body(tar, member), sums)
                elif member.name == SUMS:
                    listed = _body(tar, member).decode()
                else:
                    _place(tar, member, folder, sums)
    except (tarfile.TarError, UnicodeDecodeError, EOFError) as error:
        raise BackupError(
            f"the archive is damaged: {str(error).lower()}\nhint: use another"
        ) from error
    if manifest is None:
        raise BackupError("this is no archive of `unmogrowp backup`\nhint: check the name")
    if listed != "".join(f"{digest}  {name}\n" for name, digest in sums.items()):
        raise BackupError("the archive is damaged or cut short\nhint: use another")
    return manifest


def _read_manifest(body: bytes, sums: dict[str, str]) -> Manifest:
    try:
        manifest = msgspec.json.decode(body, type=Manifest)
    except msgspec.MsgspecError as error:
        raise BackupError("the archive's manifest is damaged\nhint: use another") from error
    if manifest.format > FORMAT or manifest.layout > LAYOUT:
        raise BackupError(
            f"the archive was made by unmogrowp `{manifest.version}`, which is newer\n"
            "hint: install that version"
        )
    sums[MANIFEST] = hashlib.sha256(body).hexdigest()
    return manifest


def _body(tar: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    file = tar.extractfile(member)
    return file.read() if file is not None else b""


def _place(
    tar: tarfile.TarFile, member: tarfile.TarInfo, folder: Path, sums: dict[str, str]
) -> None:
    name = PurePosixPath(member.name)
    if name.is_absolute() or ".." in name.parts:
        raise BackupError(f"the archive wants to write `{name}`\nhint: it is not ours")
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    if member.isdir():
        path.mkdir(exist_ok=True)
    elif member.issym():
        target = path.parent / member.linkname
        if not Path(os.path.normpath(target)).is_relative_to(folder):
            raise BackupError(f"the archive wants to link to `{target}`\nhint: it is not ours")
        path.symlink_to(member.linkname)
    elif member.isreg():
        sums[member.name] = _write(tar, member, path)
    else:
        raise BackupError(f"the archive holds `{name}`, which is no file\nhint: it is not ours")


def _write(tar: tarfile.TarFile, member: tarfile.TarInfo, path: Path) -> str:
    digest = hashlib.sha256()
    source = tar.extractfile(member)
    assert source is not None  # noqa: S101 - it is a file
    with path.open("xb") as file:
        while chunk := source.read(CHUNK_BYTES):
            digest.update(chunk)
            file.write(chunk)
        file.flush()
        os.fsync(file.fileno())
    path.chmod(0o600)
    return digest.hexdigest()


def _tar(path: Path, name: str, sums: dict[str, str]) -> Iterator[bytes]:
    info = tarfile.TarInfo(name)
    info.mode = 0o600
    if path.is_symlink():
        info.type, info.linkname = tarfile.SYMTYPE, str(path.readlink())
        yield info.tobuf(tarfile.PAX_FORMAT)
    elif path.is_dir():
        info.type, info.mode = tarfile.DIRTYPE, 0o700
        yield info.tobuf(tarfile.PAX_FORMAT)
    else:
        with path.open("rb") as file:
            info.size = os.fstat(file.fileno()).st_size
            yield info.tobuf(tarfile.PAX_FORMAT)
            yield from _content(file, info.size, name, sums)


def _member(name: str, body: bytes, sums: dict[str, str]) -> Iterator[bytes]:
    info = tarfile.TarInfo(name)
    info.size, info.mode = len(body), 0o600
    yield info.tobuf(tarfile.PAX_FORMAT)
    yield from _content(io.BytesIO(body), len(body), name, sums)


def _content(file: BinaryIO, size: int, name: str, sums: dict[str, str]) -> Iterator[bytes]:
    """Exactly `size` bytes: the newest segment grows on while it is read."""
    digest = hashlib.sha256()
    left = size
    while left:
        chunk = file.read(min(CHUNK_BYTES, left))
        if not chunk:
            raise BackupError(f"`{name}` became shorter during the backup\nhint: try again")
        digest.update(chunk)
        left -= len(chunk)
        yield chunk
    sums[name] = digest.hexdigest()
    yield bytes(-size % tarfile.BLOCKSIZE)


def _link_tree(source: Path, to: Path, *, is_part: bool = False) -> None:
    """Files of parts as links, since they never change; others, which do, as copies."""
    to.mkdir()
    for entry in sorted(source.iterdir()):
        if _PASSING.fullmatch(entry.name):
            continue
        if entry.is_symlink():
            (to / entry.name).symlink_to(entry.readlink())
        elif entry.is_dir():
            inside = is_part or _PART.fullmatch(entry.name) is not None
            _link_tree(entry, to / entry.name, is_part=inside)
        elif is_part:
            _link(entry, to / entry.name)
        else:
            shutil.copyfile(entry, to / entry.name)


def _link(source: Path, to: Path) -> None:
    # What is gone was not needed any more.
    with suppress(FileNotFoundError):
        os.link(source, to)


def _copy_database(source: Path, to: Path) -> None:
    with closing(sqlite3.connect(source)) as database, closing(sqlite3.connect(to)) as copy:
        database.backup(copy)
