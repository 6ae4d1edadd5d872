"""The rows a report may see: those of one app, within a half-open range of time."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

TIME = "DateTime64(6, 'UTC')"
_QUARTER = timedelta(minutes=15)
_DAY = timedelta(days=1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST = datetime(1900, 1, 1, tzinfo=UTC)
_LAST = datetime(2299, 12, 31, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Span:
    """One app and a half-open range of time; None is no bound.

    Every query takes one, so none can be written that forgets the app.

    >>> Span("com.example.app", start=datetime(2026, 1, 1, tzinfo=UTC)).where("timestamp")
    "app_id = {app_id:String} AND timestamp >= {start:DateTime64(6, 'UTC')}"
    """

    app_id: str
    start: datetime | None = None
    stop: datetime | None = None

    def where(self, column: str) -> str:
        """The SQL condition on `app_id` and `column`."""
        words = ["app_id = {app_id:String}"]
        if self.start is not None:
            words.append(f"{column} >= {{start:{TIME}}}")
        if self.stop is not None:
            words.append(f"{column} < {{stop:{TIME}}}")
        return " AND ".join(words)

    def values(self) -> dict[str, object]:
        """What the names in `where` stand for."""
        bounds = {"start": self.start, "stop": self.stop}
        times = {name: time_text(at) for name, at in bounds.items() if at is not None}
        return {"app_id": self.app_id, **times}

    def is_of_quarters(self) -> bool:
        """Both bounds fall on a quarter of an hour."""
        return self._falls_on(_QUARTER)

    def is_of_days(self) -> bool:
        """Both bounds fall on midnight in UTC."""
        return self._falls_on(_DAY)

    def _falls_on(self, step: timedelta) -> bool:
        bounds = (at for at in (self.start, self.stop) if at is not None)
        return all(not (at - _EPOCH) % step for at in bounds)


def time_text(at: datetime) -> str:
    """An instant as the warehouse reads it; one without a zone is a `ValueError`."""
    if at.tzinfo is None:
        raise ValueError(f"a time needs a zone, got `{at}`\nhint: datetime(…, tzinfo=UTC)")
    # Years the warehouse cannot say lie beyond every event, so their ends mean the same.
    return min(max(at.astimezone(UTC), _FIRST), _LAST).strftime("%Y-%m-%d %H:%M:%S.%f")
