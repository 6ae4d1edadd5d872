"""Every question asked of the catalog, and every change to it."""

import datetime as dt
import hmac
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import final

import sqlalchemy as sa

from unmogrowp.catalog.apps import App, AppSettings
from unmogrowp.catalog.keys import ROLES, Key, KeyRow, Role, new_key, sha256
from unmogrowp.catalog.tables import APPS, KEYS, CatalogError, connect, writing


@final
class Catalog:
    """Apps and keys of a data directory; for several processes and threads at once.

    A change is on disk when its method returns, and every process sees it from then on.
    """

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine
        self._writer = writing(engine)

    @classmethod
    def open(cls, data_dir: Path) -> "Catalog":
        """The catalog of a data directory, made where there is none.

        Raises:
            CatalogError: The file cannot be used, or a newer version wrote it.
        """
        return cls(connect(data_dir))

    def close(self) -> None:
        """Let the file go."""
        self._engine.dispose()

    def __enter__(self) -> "Catalog":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # Apps.

    def create_app(self, app_id: str, name: str, currency: str) -> App:
        """Add an app with default settings.

        Raises:
            CatalogError: There is one of that id, or id or currency cannot be.
        """
        app = App.new(app_id, name, currency)
        row = {"id": app.id, "name": app.name, "currency": app.currency, "version": app.version}
        row |= {"settings": app.settings.text(), "created_at": _now()}
        try:
            with self._writer.begin() as connection:
                connection.execute(sa.insert(APPS).values(row))
        except sa.exc.IntegrityError:
            raise CatalogError(
                f"app `{app_id}` exists already\nhint: change it with `apps set {app_id} …`"
            ) from None
        return app

    def app(self, app_id: str) -> App | None:
        """One app."""
        with self._engine.connect() as connection:
            row = connection.execute(sa.select(APPS).where(APPS.c.id == app_id)).first()
        return _app(row) if row is not None else None

    def show_app(self, app_id: str) -> App:
        """One app that must be there.

        Raises:
            CatalogError: No such app.
        """
        app = self.app(app_id)
        if app is None:
            raise self._no_app(app_id)
        return app

    def apps(self) -> list[App]:
        """All apps by id."""
        with self._engine.connect() as connection:
            return [_app(row) for row in connection.execute(sa.select(APPS).order_by(APPS.c.id))]

    def set_app(self, app_id: str, texts: Mapping[str, str]) -> App:
        """Change settings of an app, all or none; its version grows where something differs.

        Raises:
            CatalogError: No such app.
            ConfigError: An unknown setting or a wrong value.
        """
        here = APPS.c.id == app_id
        with self._writer.begin() as connection:
            row = connection.execute(sa.select(APPS).where(here)).first()
            if row is not None:
                app = _app(row)
                settings = app.settings.changed(texts)
                if settings == app.settings:
                    return app
                values = {"settings": settings.text(), "version": app.version + 1}
                connection.execute(sa.update(APPS).where(here).values(values))
                return App(app.id, app.name, app.currency, settings, app.version + 1)
        raise self._no_app(app_id)

    # Keys.

    def create_key(self, app_id: str, role: Role) -> tuple[str, Key]:
        """Add a key; its text is given here, once, and kept nowhere.

        Raises:
            CatalogError: No such app or role.
        """
        if role not in ROLES:
            raise CatalogError(f"no role `{role}`\nhint: there are {', '.join(ROLES)}")
        plaintext = new_key()
        key = Key(f"key_{secrets.token_hex(8)}", app_id, role)
        row = {"id": key.id, "app_id": app_id, "role": role, "sha256": sha256(plaintext)}
        try:
            with self._writer.begin() as connection:
                connection.execute(sa.insert(KEYS).values({**row, "created_at": _now()}))
        except sa.exc.IntegrityError:
            raise self._no_app(app_id) from None
        return plaintext, key

    def revoke_key(self, key_id: str) -> None:
        """A key opens nothing any more; a second time changes nothing.

        Raises:
            CatalogError: No such key.
        """
        here = KEYS.c.id == key_id
        with self._writer.begin() as connection:
            if connection.execute(sa.select(KEYS.c.id).where(here)).first() is None:
                raise CatalogError(f"no key `{key_id}`\nhint: `unmogrowp keys list` shows the ids")
            active = sa.update(KEYS).where(here, KEYS.c.revoked_at.is_(None))
            connection.execute(active.values(revoked_at=_now()))

    def keys(self, app_id: str | None = None) -> list[KeyRow]:
        """Keys, the revoked ones too, oldest first."""
        names = ("id", "app_id", "role", "created_at", "revoked_at")
        query = sa.select(*(KEYS.c[name] for name in names))
        if app_id is not None:
            query = query.where(KEYS.c.app_id == app_id)
        with self._engine.connect() as connection:
            rows = connection.execute(query.order_by(KEYS.c.created_at, KEYS.c.id))
            return [KeyRow(*row) for row in rows]

    def find(self, plaintext: str) -> Key | None:
        """What a key opens; None for an unknown or revoked one."""
        return self.find_sha256(sha256(plaintext))

    def find_sha256(self, digest: str) -> Key | None:
        """What the key of a hash opens."""
        query = sa.select(KEYS.c.id, KEYS.c.app_id, KEYS.c.role, KEYS.c.sha256)
        query = query.where(KEYS.c.sha256 == digest, KEYS.c.revoked_at.is_(None))
        with self._engine.connect() as connection:
            row = connection.execute(query).first()
        if row is None or not hmac.compare_digest(str(row.sha256), digest):
            return None
        return Key(row.id, row.app_id, row.role)

    def _no_app(self, app_id: str) -> CatalogError:
        known = ", ".join(f"`{app.id}`" for app in self.apps())
        made = f"unmogrowp apps create {app_id} --name NAME --currency USD"
        hint = f"there are {known}" if known else f"make it with `{made}`"
        return CatalogError(f"no app `{app_id}`\nhint: {hint}")


def _app(row: sa.Row[tuple[object, ...]]) -> App:
    settings = AppSettings.from_text(row.settings)
    return App(row.id, row.name, row.currency, settings, row.version)


def _now() -> str:
    return dt.datetime.now(dt.UTC).isoformat()
