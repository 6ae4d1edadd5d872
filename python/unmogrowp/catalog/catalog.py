"""The catalog file: tables, and every question asked of them."""

import datetime as dt
import json
import uuid
from dataclasses import asdict
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from unmogrowp.catalog.apps import App, AppSettings
from unmogrowp.errors import UnmogrowpError

ROLES = ("write", "read", "admin")
ID_BYTES_MAX = 256

METADATA = sa.MetaData()
APPS = sa.Table(
    "apps",
    METADATA,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("currency", sa.Text, nullable=False),
    sa.Column("settings", sa.Text, nullable=False),
    sa.Column("created_at", sa.Text, nullable=False),
)
KEYS = sa.Table(
    "keys",
    METADATA,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("app_id", sa.Text, sa.ForeignKey("apps.id"), nullable=False),
    sa.Column("role", sa.Text, nullable=False),
    sa.Column("hash", sa.Text, nullable=False, unique=True),
    sa.Column("created_at", sa.Text, nullable=False),
    sa.Column("revoked_at", sa.Text),
)


class CatalogError(UnmogrowpError):
    """The catalog has no such thing, or has it already."""


class Catalog:
    """Apps and keys; usable by several processes and threads at once."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine
        METADATA.create_all(engine)

    @classmethod
    def open(cls, home: Path) -> "Catalog":
        """The catalog of a data directory, made where there is none."""
        home.mkdir(parents=True, exist_ok=True, mode=0o700)
        engine = sa.create_engine(f"sqlite:///{home.absolute() / 'catalog.db'}")
        sa.event.listen(engine, "connect", _prepare)
        return cls(engine)

    def close(self) -> None:
        """Let the file go."""
        self._engine.dispose()

    def create_app(self, app_id: str, name: str, currency: str) -> App:
        """Add an app with default settings.

        Raises:
            CatalogError: There is one of that id, or the id is unusable.
        """
        if not app_id or len(app_id.encode()) > ID_BYTES_MAX:
            raise CatalogError(f"an app id has 1 to {ID_BYTES_MAX} bytes, got `{app_id}`")
        app = App(app_id, name, currency.upper())
        row = {"id": app.id, "name": name, "currency": app.currency, "created_at": _now()}
        try:
            self._write(sa.insert(APPS).values(**row, settings=_text(app.settings)))
        except sa.exc.IntegrityError:
            raise CatalogError(
                f"app `{app_id}` exists already\nhint: change it with `apps set`"
            ) from None
        return app

    def app(self, app_id: str) -> App | None:
        """One app."""
        rows = self._read(sa.select(APPS).where(APPS.c.id == app_id))
        return _app(rows[0]) if rows else None

    def apps(self) -> list[App]:
        """All apps by id."""
        return [_app(row) for row in self._read(sa.select(APPS).order_by(APPS.c.id))]

    def set_app(self, app_id: str, texts: dict[str, str]) -> App:
        """Change settings of an app, all or none.

        Raises:
            CatalogError: No such app.
            ConfigError: An unknown setting or a wrong value.
        """
        with self._engine.begin() as connection:
            # Takes the write lock first, so that two changes cannot undo each other.
            here = APPS.c.id == app_id
            connection.execute(sa.update(APPS).where(here).values(id=APPS.c.id))
            row = connection.execute(sa.select(APPS).where(here)).first()
            if row is None:
                raise self._no_app(app_id)
            settings = _app(row).settings
            for name, text in texts.items():
                settings = settings.with_text(name, text)
            connection.execute(sa.update(APPS).where(here).values(settings=_text(settings)))
        return App(row.id, row.name, row.currency, settings)

    def create_key(self, app_id: str, role: str, digest: str) -> str:
        """Add a key by its hash and give its id.

        Raises:
            CatalogError: No such app.
        """
        if self.app(app_id) is None:
            raise self._no_app(app_id)
        key_id = str(uuid.uuid4())
        row = {"id": key_id, "app_id": app_id, "role": role, "hash": digest}
        self._write(sa.insert(KEYS).values(**row, created_at=_now()))
        return key_id

    def revoke_key(self, key_id: str) -> None:
        """A key opens nothing any more.

        Raises:
            CatalogError: No such key.
        """
        query = sa.update(KEYS).where(KEYS.c.id == key_id, KEYS.c.revoked_at.is_(None))
        if not self._write(query.values(revoked_at=_now())):
            raise CatalogError(f"no active key `{key_id}`\nhint: `keys list` shows them")

    def keys(self, app_id: str | None = None) -> list[dict[str, str | None]]:
        """Keys without their secrets."""
        columns = [KEYS.c[name] for name in ("id", "app_id", "role", "created_at", "revoked_at")]
        query = sa.select(*columns).order_by(KEYS.c.created_at, KEYS.c.id)
        if app_id is not None:
            query = query.where(KEYS.c.app_id == app_id)
        return [dict(row._mapping) for row in self._read(query)]  # noqa: SLF001 - SQLAlchemy's public name

    def key_by_hash(self, digest: str) -> tuple[str, str, str] | None:
        """Id, app and role of an active key."""
        query = sa.select(KEYS.c.id, KEYS.c.app_id, KEYS.c.role)
        rows = self._read(query.where(KEYS.c.hash == digest, KEYS.c.revoked_at.is_(None)))
        return (rows[0].id, rows[0].app_id, rows[0].role) if rows else None

    def _no_app(self, app_id: str) -> CatalogError:
        known = ", ".join(app.id for app in self.apps()) or "none yet"
        return CatalogError(f"no app `{app_id}`\nhint: there are: {known}")

    def _read(self, query: sa.Select[Any]) -> list[sa.Row[Any]]:
        with self._engine.connect() as connection:
            return list(connection.execute(query))

    def _write(self, query: sa.Insert | sa.Update) -> int:
        with self._engine.begin() as connection:
            return connection.execute(query).rowcount


def _prepare(connection: Any, _record: object) -> None:  # noqa: ANN401 - whatever driver is used
    for pragma in (
        "journal_mode = wal",
        "synchronous = full",
        "foreign_keys = on",
        "busy_timeout = 5000",
    ):
        connection.execute(f"pragma {pragma}")


def _app(row: sa.Row[Any]) -> App:
    values = json.loads(row.settings)
    values["conversions"] = tuple(values["conversions"])
    return App(row.id, row.name, row.currency, AppSettings(**values))


def _text(settings: AppSettings) -> str:
    return json.dumps(asdict(settings))


def _now() -> str:
    return dt.datetime.now(dt.UTC).isoformat()
