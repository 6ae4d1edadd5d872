"""The shape of every report: rows, and what they add up to."""

from typing import TypedDict

Row = dict[str, object]


class Report(TypedDict):
    """Rows and their total."""

    rows: list[Row]
    total: Row


class AttributionReport(Report):
    """Also the model, and the conversions without a touch."""

    model: str
    unattributed: Row
