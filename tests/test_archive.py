"""What lies in an archive of a data directory, and what no archive may do to who restores it."""

import hashlib
import io
import json
import os
import stat
import tarfile
from collections.abc import Iterator
from contextlib import closing, contextmanager, nullcontext
from pathlib import Path

import pytest

from house import body_of, make_durable
from serving import APP, event
from unmogrowp import _core
from unmogrowp.catalog import Catalog
from unmogrowp.pipeline.backup import (
    CHUNK_BYTES,
    BackupError,
    Staging,
    remove_leftovers,
    restore,
)
from unmogrowp.pipeline.receipt import public_key
from unmogrowp.pipeline.state import JOINED, State

PART = "warehouse/store/abc/all_1_1_0"
OLD_PART = "warehouse/store/abc/202601_3_17_2_21"
# Of an engine: what never changes, what does, and what is of the process at hand.
ENGINE = {
    f"{PART}/data.bin": b"columns",
    f"{PART}/seen.proj/data.bin": b"a projection",
    f"{OLD_PART}/data.bin": b"more columns",
    "warehouse/store/abc/format_version.txt": b"1",
    "warehouse/metadata/default/events.sql": b"ATTACH TABLE",
}
PASSING = {
    "warehouse/status": b"PID: 1",
    "warehouse/lock": b"",
    "warehouse/tmp/insert.bin": b"half",
    "warehouse/store/abc/tmp_insert_all_2_2_0/data.bin": b"half",
    "warehouse/store/abc/delete_tmp_all_0_0_0/data.bin": b"half",
}
LINK = "warehouse/data/default/events"
EMPTY = "warehouse/store/abc/detached"
SQLITE = ("store.db", "catalog.db")
FILES, FOLDERS = 0o600, 0o700


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A data directory with an app, an event in the spool and what an engine leaves."""
    home = tmp_path / "data"
    home.mkdir()
    with closing(Catalog.open(home)) as catalog:
        catalog.create_app(APP, "Example", "USD")
    with closing(State(home / "store.db")) as state:
        state.set_counter(JOINED, 1)
    with closing(_core.Intake(home / "spool")) as intake:
        assert make_durable(intake, 1, APP, body_of([event(1)]))["stored"] == 1
    (home / "spool" / "ids").mkdir(exist_ok=True)
    (home / "spool" / "ids" / "7.ids").write_bytes(b"ids")
    for name, body in (ENGINE | PASSING).items():
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_bytes(body)
    (home / EMPTY).mkdir()
    (home / LINK).parent.mkdir(parents=True)
    (home / LINK).symlink_to("../../store/abc")
    public_key(home)
    return home


@pytest.fixture
def staging(home: Path) -> Iterator[Staging]:
    """All of it, staged."""
    staging = Staging.make(home)
    staging.take_stored(nullcontext())
    staging.take_catalog()
    yield staging
    staging.remove()
    assert not staging.folder.exists()


def files(folder: Path) -> dict[str, bytes]:
    """Every file but links, by its path."""
    found = (path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    return {str(path.relative_to(folder)): path.read_bytes() for path in found}


def restored(staging: Staging, to: Path) -> Path:
    restore(io.BytesIO(b"".join(staging.archive())), to)
    return to


def test_an_archive_has_everything_that_lasts_and_is_for_its_owner(staging: Staging) -> None:
    whole = b"".join(staging.archive())
    with tarfile.open(fileobj=io.BytesIO(whole)) as tar:
        members = tar.getmembers()
    names = [member.name for member in members]
    assert (names[0], names[-1]) == ("manifest.json", "SHA256SUMS")
    assert len(names) == len(set(names))
    others = {"VERSION", "receipts.key", "spool/0000000001.segment", "spool/durable", *SQLITE}
    ours = {"manifest.json", "SHA256SUMS", "spool/ids/7.ids"}
    assert {member.name for member in members if member.isfile()} == {*ENGINE, *others, *ours}
    assert {member.mode for member in members if member.isfile()} == {FILES}
    assert {member.mode for member in members if member.isdir()} == {FOLDERS}
    assert [member.name for member in members if member.issym()] == [LINK]
    # Two blocks of zeros: other programs know by them that nothing is missing.
    assert whole[-2 * tarfile.BLOCKSIZE :] == bytes(2 * tarfile.BLOCKSIZE)


def test_the_warehouse_is_held_while_it_is_linked_and_no_longer(home: Path) -> None:
    staging = Staging.make(home)
    staged: list[list[str]] = []

    def note() -> None:
        staged.append(sorted(path.name for path in staging.folder.iterdir()))

    @contextmanager
    def held() -> Iterator[None]:
        note()
        yield
        note()

    staging.take_stored(held())
    note()
    assert staged == [[], ["warehouse"], ["spool", "store.db", "warehouse"]]


def test_sums_are_those_that_other_programs_make(staging: Staging) -> None:
    with tarfile.open(fileobj=io.BytesIO(b"".join(staging.archive()))) as tar:
        read = {member.name: tar.extractfile(member) for member in tar if member.isfile()}
        bodies = {name: file.read() for name, file in read.items() if file is not None}
    listed = bodies.pop("SHA256SUMS").decode().splitlines()
    sums = [f"{hashlib.sha256(body).hexdigest()}  {name}" for name, body in bodies.items()]
    assert listed == sums


def test_what_is_restored_is_what_was_there(home: Path, staging: Staging, tmp_path: Path) -> None:
    to = restored(staging, tmp_path / "not" / "there" / "yet")
    assert stat.S_IMODE(to.stat().st_mode) == FOLDERS
    assert (to / EMPTY).is_dir()
    assert (to / LINK).readlink() == Path("../../store/abc")
    assert (to / LINK / "all_1_1_0" / "data.bin").read_bytes() == b"columns"
    copied = files(to)
    assert {stat.S_IMODE((to / name).stat().st_mode) for name in copied} == {FILES}
    assert copied.pop("VERSION") == b"1\n"
    for name in SQLITE:
        assert copied.pop(name)
    before = files(home)
    assert copied == {name: before[name] for name in copied}
    assert set(ENGINE) | {"receipts.key", "spool/ids/7.ids", "spool/durable"} <= set(copied)
    assert any(name.endswith(".segment") for name in copied)
    with closing(Catalog.open(to)) as catalog:
        assert [app.id for app in catalog.apps()] == [APP]
    assert public_key(to) == public_key(home)


def test_parts_are_linked_and_what_may_change_is_copied(home: Path, staging: Staging) -> None:
    is_linked = {
        name: (home / name).stat().st_ino == (staging.folder / name).stat().st_ino
        for name in [*ENGINE, "spool/durable", "spool/ids/7.ids", "store.db", "receipts.key"]
    }
    linked = {name for name, is_one in is_linked.items() if is_one}
    assert linked == {name for name in ENGINE if "_1" in name} | {"spool/ids/7.ids"}
    assert stat.S_IMODE(staging.folder.stat().st_mode) == FOLDERS


def test_what_is_appended_meanwhile_is_not_in_the_archive(
    home: Path, staging: Staging, tmp_path: Path
) -> None:
    (segment,) = (home / "spool").glob("*.segment")
    before = segment.read_bytes()
    made = bytearray()
    for chunk in staging.archive():
        made += chunk
        # After its header, which says how long it is.
        if f"spool/{segment.name}".encode() in chunk and segment.stat().st_size == len(before):
            with segment.open("ab") as file:
                file.write(b"later")
    assert segment.read_bytes() == before + b"later"
    restore(io.BytesIO(made), tmp_path / "copy")
    assert (tmp_path / "copy" / "spool" / segment.name).read_bytes() == before


def test_a_file_that_became_shorter_ends_the_backup(home: Path, staging: Staging) -> None:
    (segment,) = (home / "spool").glob("*.segment")
    chunks = staging.archive()
    while f"spool/{segment.name}".encode() not in next(chunks):
        pass
    os.truncate(segment, 3)
    with pytest.raises(BackupError, match=f"`spool/{segment.name}` became shorter"):
        list(chunks)


def test_a_large_file_goes_through_in_pieces(home: Path, staging: Staging, tmp_path: Path) -> None:
    body = os.urandom(2 * CHUNK_BYTES + 5)
    (staging.folder / "warehouse" / "large.bin").write_bytes(body)
    assert max(map(len, staging.archive())) == CHUNK_BYTES
    to = restored(staging, tmp_path / "copy")
    assert (to / "warehouse" / "large.bin").read_bytes() == body
    assert not (home / "warehouse" / "large.bin").exists()


def test_leftovers_of_killed_backups_go_and_nothing_else(home: Path, staging: Staging) -> None:
    other = home / "my-backup-of-today"
    other.mkdir()
    remove_leftovers(home)
    assert not staging.folder.exists()
    assert other.exists()
    assert (home / "spool").exists()


def test_without_a_warehouse_what_is_restored_has_still_to_meet_it(
    home: Path, tmp_path: Path
) -> None:
    staging = Staging.make(home)
    staging.take_stored(None)
    staging.take_catalog()
    to = restored(staging, tmp_path / "copy")
    assert not (to / "warehouse").exists()
    assert not (to / "store.db-wal").exists(), "nobody has it open"
    with closing(State(home / "store.db")) as old, closing(State(to / "store.db")) as new:
        assert (old.counter(JOINED), new.counter(JOINED)) == (1, 0)
        assert old.origin != new.origin


def test_with_its_warehouse_it_goes_on_under_its_own_names(
    home: Path, staging: Staging, tmp_path: Path
) -> None:
    to = restored(staging, tmp_path / "copy")
    with closing(State(home / "store.db")) as old, closing(State(to / "store.db")) as new:
        assert (old.counter(JOINED), old.origin) == (new.counter(JOINED), new.origin)


def test_an_empty_directory_may_be_restored_into(staging: Staging, tmp_path: Path) -> None:
    (tmp_path / "copy").mkdir(mode=0o755)
    to = restored(staging, tmp_path / "copy")
    assert stat.S_IMODE(to.stat().st_mode) == FOLDERS
    # Nothing half made lies beside it.
    assert {path.name for path in tmp_path.iterdir()} == {"data", "copy"}


MANIFEST = {
    "format": 1,
    "layout": 1,
    "version": "9.0",
    "created_at": "2030-01-01T00:00:00+00:00",
    "has_warehouse": True,
}


def archive_with(*members: tuple[tarfile.TarInfo, bytes]) -> bytes:
    """An archive of ours with a manifest, such members and right sums."""
    made = io.BytesIO()
    manifest = tarfile.TarInfo("manifest.json")
    sums = ""
    with tarfile.open(fileobj=made, mode="w") as tar:
        for info, body in [(manifest, json.dumps(MANIFEST).encode()), *members]:
            info.size = len(body)
            tar.addfile(info, io.BytesIO(body))
            if info.isreg():
                sums += f"{hashlib.sha256(body).hexdigest()}  {info.name}\n"
        last = tarfile.TarInfo("SHA256SUMS")
        last.size = len(sums)
        tar.addfile(last, io.BytesIO(sums.encode()))
    return made.getvalue()


def member(
    name: str, body: bytes = b"", kind: bytes = tarfile.REGTYPE, link: str = ""
) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    return info, body


@pytest.mark.parametrize(
    ("evil", "said"),
    [
        (member("/etc/evil", b"evil"), "wants to write `/etc/evil`"),
        (member("a/../../evil", b"evil"), "wants to write `a/../../evil`"),
        (member("l", kind=tarfile.SYMTYPE, link="/etc"), "wants to link to `/etc`"),
        (member("a/l", kind=tarfile.SYMTYPE, link="../../l"), "wants to link to"),
        (member("l", kind=tarfile.LNKTYPE, link="/etc/passwd"), "holds `l`, which is no file"),
        (member("pipe", kind=tarfile.FIFOTYPE), "holds `pipe`, which is no file"),
        (member("null", kind=tarfile.CHRTYPE), "holds `null`, which is no file"),
    ],
)
def test_an_archive_that_is_not_ours_is_refused(
    evil: tuple[tarfile.TarInfo, bytes], said: str, tmp_path: Path
) -> None:
    good = member("warehouse/store/part/data.bin", b"columns")
    with pytest.raises(BackupError) as refused:
        restore(io.BytesIO(archive_with(good, evil)), tmp_path / "copy")
    assert said in str(refused.value)
    assert "hint: it is not ours" in str(refused.value)
    assert list(tmp_path.iterdir()) == [], "what was written before is gone"


def test_links_that_stay_inside_are_made_and_folders_come_in_any_order(tmp_path: Path) -> None:
    good = member("warehouse/store/data.bin", b"columns")
    folder = member("warehouse/store", kind=tarfile.DIRTYPE)
    link = member("warehouse/data/events", kind=tarfile.SYMTYPE, link="../store")
    restore(io.BytesIO(archive_with(good, folder, link)), tmp_path / "copy")
    assert (tmp_path / "copy/warehouse/data/events/data.bin").read_bytes() == b"columns"


@pytest.mark.parametrize("newer", ["format", "layout"])
def test_either_number_of_a_newer_version_is_refused(newer: str, tmp_path: Path) -> None:
    made = archive_with(member("warehouse/x", b"x"))
    written = f'"{newer}": 1'.encode()
    assert made.count(written) == 1
    body = io.BytesIO(made.replace(written, written[:-1] + b"2"))
    with pytest.raises(BackupError, match=r"made by unmogrowp `9.0`, which is newer"):
        restore(body, tmp_path / "copy")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (b'"format": 1', b'"format": x', "the archive's manifest is damaged"),
        (b"manifest.json", b"manifest.jsom", "no archive of `unmogrowp backup`|damaged"),
        (b"columns", b"volumes", "the archive is damaged or cut short"),
        (b"SHA256SUMS", b"SHA256SUMZ", "the archive is damaged"),
    ],
)
def test_whatever_is_damaged_is_refused(old: bytes, new: bytes, said: str, tmp_path: Path) -> None:
    made = archive_with(member("warehouse/store/data.bin", b"columns"))
    with pytest.raises(BackupError, match=said):
        restore(io.BytesIO(made.replace(old, new, 1)), tmp_path / "copy")
    assert list(tmp_path.iterdir()) == []
