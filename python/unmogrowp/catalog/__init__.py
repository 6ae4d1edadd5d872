"""Apps, their settings and their keys, in SQLite, shared by the server and the command line."""

from unmogrowp.catalog.apps import App, AppSettings
from unmogrowp.catalog.catalog import Catalog
from unmogrowp.catalog.keys import Key, KeyRing, KeyRow
from unmogrowp.catalog.tables import CatalogError

__all__ = ["App", "AppSettings", "Catalog", "CatalogError", "Key", "KeyRing", "KeyRow"]
