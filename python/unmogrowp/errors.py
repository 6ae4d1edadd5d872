"""The exception tree.

UnmogrowpError
├── ConfigError      a setting is unknown or has a wrong value
├── MissingExtra     an optional package is not installed
├── MissingPackage   a library of yours that a result should become is not installed
├── SchemaError      a table lacks a column or has a wrong type (also a ValueError)
├── SinkError        the warehouse could not take or give something
│   ├── SinkBusy     it may work later
│   ├── SinkRefused  it will never work as it is
│   └── SinkDamaged  what it took may not be whole; it has to be opened anew
├── SpoolError       the spool directory cannot be used
├── Refused          nothing of a request was stored, and why
└── InternalError    a bug in this library
"""


class UnmogrowpError(Exception):
    """Base of every error this library raises on purpose."""


class ConfigError(UnmogrowpError):
    """A setting is unknown or has a wrong value."""


class MissingExtra(UnmogrowpError, ImportError):
    """An optional package is not installed."""

    def __init__(self, extra: str) -> None:
        super().__init__(f"this needs an extra\nhint: install unmogrowp[{extra}]")
        self.extra = extra


class MissingPackage(UnmogrowpError, ImportError):
    """A library that a result should become is not installed."""

    def __init__(self, package: str) -> None:
        super().__init__(f"this needs `{package}`\nhint: pip install {package}")
        self.package = package


class SchemaError(UnmogrowpError, ValueError):
    """A table lacks a column or has one of a wrong type."""


class SinkError(UnmogrowpError):
    """The warehouse could not take or give something."""


class SinkBusy(SinkError):
    """It may work later."""


class SinkRefused(SinkError):
    """It will never work as it is."""


class SinkDamaged(SinkError):
    """What it took may not be whole; it has to be opened anew and repaired."""


class SpoolError(UnmogrowpError):
    """The spool directory cannot be used."""


class Refused(UnmogrowpError):
    """Nothing of a request was stored.

    Attributes:
        status: HTTP status that says so.
        title: What happened, the same for every occurrence.
        detail: What happened here, and what to do.
        retry_after: Seconds to wait, where waiting helps.
    """

    def __init__(self, status: int, title: str, detail: str, retry_after: int | None) -> None:
        super().__init__(f"{status} {title}: {detail}")
        self.status = status
        self.title = title
        self.detail = detail
        self.retry_after = retry_after


class InternalError(UnmogrowpError):
    """A bug in this library."""
