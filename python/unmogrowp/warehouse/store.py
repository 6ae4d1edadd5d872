"""The warehouse: ClickHouse in this process (chDB) or on a server, behind one client."""

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, final

from unmogrowp.errors import MissingExtra, SinkBusy, SinkDamaged, SinkError, SinkRefused
from unmogrowp.warehouse import damage, schema, turns
from unmogrowp.warehouse.embedded import Engine, EngineError

if TYPE_CHECKING:
    import pyarrow as pa
    from clickhouse_connect.driver.client import Client

# Behind a query for Arrow: labels as they lie, not spelled out row by row.
AS_DICTIONARY = "SETTINGS output_format_arrow_low_cardinality_as_dictionary = 1"
# Ctrl-C does not reach a running query, so each has to end by itself.
EXECUTION_SECONDS_MAX = 120
# What may pass: time, memory, too many queries or parts, network, locks, disk, cancelled.
_BUSY_CODES = frozenset({76, 159, 202, 209, 210, 236, 241, 242, 243, 252, 319, 394, 425, 999})
# Of a query, the lower the sooner; one behind others waits so long at most before each block.
_FIRST, _BEHIND = 1, 2
_WAIT_MS = 100
_ROWS_MAX = 10_000_000
_BYTES_MAX = 4_000_000_000
_TABLES = frozenset({"events", "rejects", "identities", "persons", "credits", "opens", "changes"})
_MONTHS = "SELECT DISTINCT toYYYYMM(timestamp) AS month FROM events ORDER BY month"


class _Own(threading.local):
    """What each thread has for itself: its turn, and what it connected at that."""

    def __init__(self) -> None:
        self.priority = _FIRST
        self.client: Client | None = None
        self.engine: Engine | None = None


@final
class Warehouse:
    """One store, usable from any thread: each thread has a client of its own.

    Args:
        dsn: `chdb:///absolute/directory`, or `http://` or `https://` of a server.
        execution_seconds_max: No query runs longer.
    """

    def __init__(self, dsn: str, *, execution_seconds_max: int = EXECUTION_SECONDS_MAX) -> None:
        scheme = dsn.partition(":")[0]
        if scheme not in {"chdb", "http", "https"}:
            raise SinkRefused(f"unknown warehouse `{dsn}`\nhint: chdb:///dir or http://host:8123")
        if scheme == "chdb" and not dsn.startswith("chdb:///"):
            raise SinkRefused(f"a relative directory in `{dsn}`\nhint: chdb:///absolute/directory")
        if scheme == "chdb" and "?" in dsn:
            # The engine itself would cut the name there and use another directory.
            raise SinkRefused(f"a `?` in the directory of `{dsn}`\nhint: use one without")
        self.dsn = dsn
        self._settings = {
            "max_execution_time": execution_seconds_max,
            # The month follows from the sorting key, so no two partitions hold copies of a row.
            "do_not_merge_across_partitions_select_final": 1,
            # What an insert would collapse, reads collapse anyway, and merges do it cheaper.
            "optimize_on_insert": 0,
        }
        self._own = _Own()
        self._clients: list[Client] = []
        self._engines: list[Engine] = []
        self._lock = threading.Lock()
        self._writing = threading.Lock()
        self._is_closed = False
        self._failed: int | None = None

    def close(self) -> None:
        """Close the client of every thread."""
        with self._lock:
            self._is_closed = True
            clients, self._clients = self._clients, []
            engines, self._engines = self._engines, []
        for connection in (*engines, *clients):
            connection.close()

    def __enter__(self) -> "Warehouse":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def give_way(self) -> None:
        """From here on, the calling thread's queries and the thread itself stand behind others.

        With an embedded warehouse only; for good, since no thread may come back by itself.
        """
        if self.is_embedded:
            self._own.priority = _BEHIND
            # What was connected has the turn of before.
            self._own.client = self._own.engine = None
            turns.stand_behind()

    def migrate(self) -> int:
        """Bring the tables up to date; returns their version.

        Raises:
            SinkRefused: The store was written by a newer version.
        """
        self.check()
        self.command(schema.MIGRATIONS_TABLE)
        done = {int(str(row["number"])) for row in self.rows("SELECT number FROM migrations")}
        steps = schema.migrations()
        newest = steps[-1].number
        if max(done, default=0) > newest:
            raise SinkRefused(
                f"the warehouse has version `{max(done)}`, this program knows `{newest}`\n"
                "hint: install the newer version"
            )
        for step in steps:
            if step.number not in done:
                self._apply(step)
        return newest

    def _apply(self, step: schema.Migration) -> None:
        for statement in step.statements:
            self.command(statement)
        self.check()
        # Recorded last: a migration cut short runs again, and each statement may run twice.
        self.command(
            "INSERT INTO migrations (number, name) SELECT {number:UInt32}, {name:String}",
            {"number": step.number, "name": step.name},
        )

    def insert(self, table: str, block: bytes, token: str) -> None:
        """Store one Native block; the same token again stores nothing, in views neither."""
        if table not in _TABLES:
            raise SinkRefused(f"no table `{table}`\nhint: one of {', '.join(sorted(_TABLES))}")
        settings = {
            "insert_deduplicate": 1,
            "insert_deduplication_token": token,
            "deduplicate_blocks_in_dependent_materialized_views": 1,
            # One insert is one part, in views too: views make many small blocks, and each part
            # costs an fsync.
            "max_insert_block_size": _ROWS_MAX,
            "min_insert_block_size_rows": _ROWS_MAX,
            "min_insert_block_size_bytes": _BYTES_MAX,
            "async_insert": 0,
            "parallel_view_processing": 1,
        }
        with self._writing, self._client() as client:
            client.raw_insert(table, insert_block=block, settings=settings, fmt="Native")

    def rows(self, sql: str, values: Mapping[str, object] | None = None) -> list[dict[str, object]]:
        """The answer to a query as dictionaries; for reports, not for events."""
        with self._client() as client:
            return list(client.query(sql, parameters=dict(values or {})).named_results())

    def raw(self, sql: str, values: Mapping[str, object], *, fmt: str) -> bytes:
        """The answer to a query as the bytes of a ClickHouse format."""
        with self._client() as client:
            answer: bytes = client.raw_query(sql, parameters=dict(values), fmt=fmt)
            return answer

    def arrow(self, sql: str, values: Mapping[str, object]) -> "pa.Table":
        """The answer to a query as an Arrow table, text as strings."""
        try:
            import pyarrow  # noqa: F401, ICN001 - only to name the extra
        except ImportError as error:
            raise MissingExtra("embedded") from error
        with self._client() as client:
            if not self.is_embedded:
                return client.query_arrow(sql, parameters=dict(values), use_strings=True)
        try:
            return self._engine().arrow(sql, values)
        except EngineError as error:
            raise _sink_error(error) from error

    def command(self, sql: str, values: Mapping[str, object] | None = None) -> None:
        """Run a statement without an answer."""
        with self._client() as client:
            client.command(sql, parameters=dict(values or {}))

    def check(self) -> None:
        """Make sure that all that was taken is whole, before it is taken for stored.

        Raises:
            SinkDamaged: A write failed since this object was made.
        """
        if not self.is_embedded:
            return
        failed = sum(int(str(row["value"])) for row in self.rows(damage.FAILED))
        if self._failed is None:
            self._failed = failed
        if failed > self._failed:
            raise SinkDamaged(
                "the disk of the warehouse failed, what it took last may not be whole\n"
                "hint: make room or see to the disk; it repairs itself"
            )

    @property
    def is_embedded(self) -> bool:
        """Whether it lies in a directory of ours."""
        return self.dsn.startswith("chdb://")

    @contextmanager
    def without_merges(self) -> Iterator[None]:
        """Parts stay as they are meanwhile; inserts through this object wait."""
        with self._writing:
            self.command("SYSTEM STOP MERGES")
            try:
                yield
            finally:
                self.command("SYSTEM START MERGES")

    def rebuild_rollups(self) -> None:
        """Make the roll-ups anew from the events.

        Inserts through this object wait; nothing else may insert meanwhile. A token from before
        is not known to the new roll-ups: an insert in doubt has to be repeated first.
        """
        with self._writing:
            months = [int(str(row["month"])) for row in self.rows(_MONTHS)]
            for table, select in schema.ROLLUPS.items():
                self._rebuild(table, select, months)

    def _rebuild(self, table: str, select: str, months: list[int]) -> None:
        self.command(f"DROP TABLE IF EXISTS {table}_new SYNC")
        self.command(f"CREATE TABLE {table}_new AS {table}")
        source = "(SELECT * FROM events FINAL WHERE toYYYYMM(timestamp) = {month:UInt32})"
        for month in months:
            made = select.format(source=source)
            self.command(f"INSERT INTO {table}_new {made}", {"month": month})
        self.check()
        self.command(f"EXCHANGE TABLES {table} AND {table}_new")
        self.command(f"DROP TABLE {table}_new SYNC")

    @contextmanager
    def _client(self) -> Iterator["Client"]:
        """This thread's client; what it raises becomes a `SinkError`."""
        try:
            from clickhouse_connect.driver.exceptions import ClickHouseError
        except ImportError as error:
            raise MissingExtra("embedded") from error
        try:
            yield self._connected()
        except ClickHouseError as error:
            raise _sink_error(error) from error
        except OSError as error:
            raise SinkBusy(f"the warehouse failed: {error}\nhint: it is tried again") from error

    def _connected(self) -> "Client":
        if self._is_closed:
            raise SinkRefused("the warehouse is closed\nhint: open a new one")
        if self._own.client is None:
            self._own.client = self._connect()
        return self._own.client

    def _connect(self) -> "Client":
        import clickhouse_connect

        # Opened one after the other: two first connections at once would race for the lock.
        with self._lock:
            client = clickhouse_connect.get_client(
                **self._where(), settings={**self._settings, **self._turns()}
            )
            self._clients.append(client)
        return client

    def _turns(self) -> dict[str, int | str]:
        """Who goes first: within an engine of ours only, a server has other guests."""
        if not self.is_embedded:
            return {}
        return {
            "priority": self._own.priority,
            "low_priority_query_wait_time_ms": _WAIT_MS,
            # Nothing travels.
            "output_format_arrow_compression_method": "none",
        }

    def _engine(self) -> Engine:
        """This thread's own connection to an embedded warehouse."""
        if self._own.engine is None:
            settings = {
                **self._settings,
                **self._turns(),
                # As the client has it.
                "date_time_input_format": "best_effort",
                "output_format_arrow_string_as_string": 1,
            }
            engine = self._own.engine = Engine(self.dsn.removeprefix("chdb://"), settings)
            with self._lock:
                self._engines.append(engine)
        return self._own.engine

    def _where(self) -> dict[str, str]:
        """A directory goes as it is: in a URL, a `#` of its name would cut it short."""
        if self.is_embedded:
            return {"interface": "chdb", "path": self.dsn.removeprefix("chdb://")}
        return {"dsn": self.dsn}


def _sink_error(error: Exception) -> SinkError:
    code = getattr(error, "code", None)
    text = " ".join(str(error).split())[:400]
    if code in _BUSY_CODES or code is None:
        return SinkBusy(f"the warehouse is busy: {text}\nhint: it is tried again")
    return SinkRefused(f"the warehouse refused: {text}\nhint: `unmogrowp doctor` shows what is set")
