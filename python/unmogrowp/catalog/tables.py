"""The catalog file: its tables, and connections that lose nothing."""

import sqlite3
from pathlib import Path

import sqlalchemy as sa

from unmogrowp.errors import UnmogrowpError

FILE = "catalog.db"
LAYOUT = 1
BUSY_MS = 5_000

METADATA = sa.MetaData()
APPS = sa.Table(
    "apps",
    METADATA,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("currency", sa.Text, nullable=False),
    sa.Column("settings", sa.Text, nullable=False),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("created_at", sa.Text, nullable=False),
)
KEYS = sa.Table(
    "keys",
    METADATA,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("app_id", sa.Text, sa.ForeignKey("apps.id"), nullable=False),
    sa.Column("role", sa.Text, nullable=False),
    sa.Column("sha256", sa.Text, nullable=False, unique=True),
    sa.Column("created_at", sa.Text, nullable=False),
    sa.Column("revoked_at", sa.Text),
)


class CatalogError(UnmogrowpError):
    """The catalog has no such thing, has it already, or cannot be used."""


def connect(data_dir: Path) -> sa.Engine:
    """An engine on the catalog of a data directory, made where there is none.

    Raises:
        CatalogError: The file cannot be used, or a newer version wrote it.
    """
    path = data_dir.absolute() / FILE
    try:
        data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        path.touch(mode=0o600)
    except OSError as error:
        raise CatalogError(
            f"cannot write `{path}`: {(error.strerror or str(error)).lower()}\n"
            "hint: choose another --data-dir"
        ) from error
    engine = sa.create_engine(sa.URL.create("sqlite", database=str(path)))
    sa.event.listen(engine, "connect", _prepare)
    sa.event.listen(engine, "begin", _begin)
    try:
        _migrate(engine, path)
    except sa.exc.DatabaseError as error:
        raise CatalogError(f"cannot use `{path}`: {error.orig}") from error
    return engine


def writing(engine: sa.Engine) -> sa.Engine:
    """The same engine, whose transactions take the write lock first.

    A transaction that reads before it writes would else fail, not wait, beside another writer.
    """
    return engine.execution_options(is_writing=True)


def _prepare(connection: sqlite3.Connection, _record: object) -> None:
    # The driver would open transactions late and by its own rules; `_begin` does it instead.
    connection.isolation_level = None
    for pragma in (
        f"busy_timeout = {BUSY_MS}",
        "journal_mode = wal",
        "synchronous = full",
        "foreign_keys = on",
    ):
        connection.execute(f"pragma {pragma}")


def _begin(connection: sa.Connection) -> None:
    is_writing = connection.get_execution_options().get("is_writing", False)
    connection.exec_driver_sql("begin immediate" if is_writing else "begin")


def _migrate(engine: sa.Engine, path: Path) -> None:
    with writing(engine).begin() as connection:
        found = int(connection.exec_driver_sql("pragma user_version").scalar_one())
        if found > LAYOUT:
            raise CatalogError(
                f"`{path}` has layout `{found}`, this version knows `{LAYOUT}`\n"
                "hint: install a newer unmogrowp"
            )
        if found < LAYOUT:
            METADATA.create_all(connection)
            connection.exec_driver_sql(f"pragma user_version = {LAYOUT}")
