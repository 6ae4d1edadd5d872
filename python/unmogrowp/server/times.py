"""Query texts to instants: `from` and `to` as RFC 3339 instants or dates of a time zone."""

import datetime as dt
import re
from http import HTTPStatus
from zoneinfo import ZoneInfo

from unmogrowp.server.problems import Denied

_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
# Events lie between these years; ClickHouse has no times far outside them.
_FIRST = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_LAST = dt.datetime(2200, 1, 1, tzinfo=dt.UTC)
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


def zone(name: str) -> ZoneInfo:
    """A time zone by its IANA name."""
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise Denied(
            HTTPStatus.BAD_REQUEST, f"unknown time zone `{name}`\nhint: e.g. tz=Europe/Berlin"
        ) from None


def instant_us(name: str, text: str | None, tz: ZoneInfo) -> int | None:
    """Microseconds since 1970 of an instant, or of a date's midnight in `tz`."""
    if text is None:
        return None
    try:
        if _DATE.fullmatch(text):
            moment = dt.datetime.combine(dt.date.fromisoformat(text), dt.time(), tz)
        else:
            # A plus sign in a query string arrives as a space.
            moment = dt.datetime.fromisoformat(text.replace(" ", "+"))
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=tz)
        return (min(max(moment, _FIRST), _LAST) - _EPOCH) // dt.timedelta(microseconds=1)
    except (ValueError, OverflowError):
        raise Denied(
            HTTPStatus.BAD_REQUEST,
            f"`{name}` must be a date or an RFC 3339 instant, got `{text}`\n"
            "hint: e.g. 2026-03-01 or 2026-03-01T12:00:00Z",
        ) from None
