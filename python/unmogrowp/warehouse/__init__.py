"""Events and reports on ClickHouse: embedded as chDB, or a server."""

from unmogrowp.warehouse.span import Span
from unmogrowp.warehouse.store import Warehouse

__all__ = ["Span", "Warehouse"]
