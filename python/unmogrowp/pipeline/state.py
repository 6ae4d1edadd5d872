"""What the pipeline must remember across a crash, in SQLite.

The bounds of a batch are written down before its insert, so that a retry inserts the very same
rows under the same token.
"""

import json
import secrets
import sqlite3
import threading
from dataclasses import dataclass
from pathlib import Path

Position = tuple[int, int]

ORIGIN_BITS = 62
KNOWS_ANYTHING = "select exists (select 1 from counters union all select 1 from batches)"
# Whether its numbers are known to be larger than those in the warehouse.
JOINED = "joined"

SCHEMA = """
create table if not exists batches (
    id integer primary key autoincrement,
    first_segment integer not null, first_offset integer not null,
    last_segment integer not null, last_offset integer not null,
    is_done integer not null default 0
) strict;
create table if not exists counters (name text primary key, value integer not null) strict;
create table if not exists applied (
    app_id text primary key, settings text not null, rule_version integer not null
) strict;
"""


@dataclass(frozen=True)
class Bounds:
    """A batch: frames after `first` up to `last` of the spool."""

    id: int
    first: Position
    last: Position


@dataclass(frozen=True)
class Applied:
    """The settings with which an app's credits were computed."""

    settings: str
    rule_version: int

    @property
    def cut(self) -> list[str]:
        """The ids that linked nobody, as `kind:id`."""
        return [str(one) for one in json.loads(self.settings).get("cut", [])]


class State:
    """The pipeline's memory; every method is one durable transaction."""

    def __init__(self, path: Path) -> None:
        self._lock = threading.Lock()
        self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._db.execute("pragma journal_mode = wal")
        self._db.execute("pragma synchronous = full")
        self._db.executescript(SCHEMA)
        # One of before there were origins goes on under the names it used.
        if self.origin is None:
            is_old = self._run(KNOWS_ANYTHING).fetchone() == (1,)
            self._begin(0 if is_old else secrets.randbits(ORIGIN_BITS), is_joined=is_old)

    def close(self) -> None:
        """Let the file go."""
        with self._lock:
            self._db.close()

    @property
    def origin(self) -> int | None:
        """What no other memory has, in which the same numbers mean something else."""
        row = self._run("select value from counters where name = 'origin'").fetchone()
        return int(row[0]) if row else None

    def renew(self) -> None:
        """Become a memory of its own, as a copy has to: the warehouse may be further than it."""
        self._begin(secrets.randbits(ORIGIN_BITS), is_joined=False)

    def token(self, name: str) -> str:
        """The name of an insert, for the warehouse to know it by; no other memory has the same."""
        return f"{self.origin:x}.{name}" if self.origin else name

    def open_batch(self) -> Bounds | None:
        """The batch whose insert was begun and not finished."""
        return self._bounds("where is_done = 0 order by id limit 1")

    def last_batch(self) -> Bounds | None:
        """The newest batch that is in the warehouse."""
        return self._bounds("where is_done = 1 order by id desc limit 1")

    def begin_batch(self, first: Position, last: Position) -> Bounds:
        """Write bounds down before inserting what lies between them."""
        cursor = self._run(
            "insert into batches (first_segment, first_offset, last_segment, last_offset)"
            " values (?, ?, ?, ?)",
            (*first, *last),
        )
        return Bounds(int(cursor.lastrowid or 0), first, last)

    def finish_batch(self, batch: Bounds) -> None:
        """The batch is durable in the warehouse; older ones need not be known any more."""
        self._run("update batches set is_done = 1 where id = ?", (batch.id,))
        self._run("delete from batches where id < ? and is_done = 1", (batch.id,))

    def counter(self, name: str) -> int:
        """A number that was set before, or 0."""
        row = self._run("select value from counters where name = ?", (name,)).fetchone()
        return int(row[0]) if row else 0

    def newest_batch_id(self) -> int:
        """The largest id that a batch was given, or is below that of the next."""
        row = self._run("select seq from sqlite_sequence where name = 'batches'").fetchone()
        return int(row[0]) if row else 0

    def raise_batch_id(self, least: int) -> None:
        """The ids of batches from now on are larger than `least`."""
        known = "select 1 from sqlite_sequence where name = 'batches'"
        self._run(f"insert into sqlite_sequence select 'batches', 0 where not exists ({known})")
        self._run("update sqlite_sequence set seq = max(seq, ?) where name = 'batches'", (least,))

    def raise_counter(self, name: str, least: int) -> None:
        """A number becomes at least so large."""
        self.set_counter(name, max(least, self.counter(name)))

    def set_counter(self, name: str, value: int) -> None:
        """Remember a number."""
        self._run(
            "insert into counters values (?, ?)"
            " on conflict (name) do update set value = excluded.value",
            (name, value),
        )

    def next(self, name: str) -> int:
        """A number larger than every one before."""
        row = self._run(
            "insert into counters values (?, 1)"
            " on conflict (name) do update set value = value + 1 returning value",
            (name,),
        ).fetchone()
        return int(row[0])

    def applied(self, app_id: str) -> Applied | None:
        """The settings an app's credits rest on."""
        query = "select settings, rule_version from applied where app_id = ?"
        row = self._run(query, (app_id,)).fetchone()
        return Applied(str(row[0]), int(row[1])) if row else None

    def apply(self, app_id: str, applied: Applied) -> None:
        """From now on an app's reports rest on these settings."""
        self._run(
            "insert into applied values (?, ?, ?) on conflict (app_id) do update set"
            " settings = excluded.settings, rule_version = excluded.rule_version",
            (app_id, applied.settings, applied.rule_version),
        )

    def _begin(self, origin: int, *, is_joined: bool) -> None:
        self.set_counter("origin", origin)
        self.set_counter(JOINED, int(is_joined))

    def _bounds(self, rest: str) -> Bounds | None:
        columns = "id, first_segment, first_offset, last_segment, last_offset"
        row = self._run(f"select {columns} from batches {rest}").fetchone()
        return Bounds(row[0], (row[1], row[2]), (row[3], row[4])) if row else None

    def _run(self, query: str, values: tuple[object, ...] = ()) -> sqlite3.Cursor:
        with self._lock:
            return self._db.execute(query, values)
