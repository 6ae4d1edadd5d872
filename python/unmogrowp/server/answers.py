"""Questions by name to queries of the warehouse, answers to bytes."""

import csv
import datetime as dt
import io
import itertools
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, TypeAlias, cast

import msgspec

from unmogrowp.attribution import model_named
from unmogrowp.comparison import UNATTRIBUTED
from unmogrowp.errors import SinkBusy, UnmogrowpError
from unmogrowp.pipeline import Pipeline, rules_of
from unmogrowp.server.wire import ERASE, Head, Params, Question, Value
from unmogrowp.warehouse import (
    attribution,
    campaigns,
    cohorts,
    events,
    overview,
    paths,
    rejects,
    schema,
)
from unmogrowp.warehouse.intervals import ENDS, Intervals
from unmogrowp.warehouse.money import decimal_text
from unmogrowp.warehouse.span import Span

if TYPE_CHECKING:
    from unmogrowp.warehouse.users import Interval

Report: TypeAlias = dict[str, object]

EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
MEDIA = {
    "json": "application/json",
    "ndjson": "application/x-ndjson",
    # The framework names the charset of texts.
    "csv": "text/csv",
    "arrow": "application/vnd.apache.arrow.stream",
    "parquet": "application/vnd.apache.parquet",
}
COLUMNS = {
    "rejects": "received_at index event_id code field message raw raw_base64",
    "overview": "time event_name events users revenue currency",
    "campaigns": "source campaign impressions clicks conversions value currency",
    "paths": "path conversions nulls rate value",
}


class Unanswerable(UnmogrowpError):
    """The question makes no sense; the text says what would."""


def answer(pipeline: Pipeline, question: Question) -> tuple[Head, Iterator[bytes]]:
    """The head and the body of an answer.

    Raises:
        Unanswerable: A wrong parameter.
        EraseError: The id names nobody.
    """
    params = question.params
    if question.name == ERASE:
        app_id, kind, value = (str(params[name]) for name in ("app_id", "kind", "value"))
        return Head(), iter([msgspec.json.encode(pipeline.erase(app_id, kind, value))])
    shape = str(params["format"])
    try:
        if question.name == "events":
            body = _events(pipeline, params, shape)
        else:
            report = REPORTS[question.name](pipeline, params)
            columns = _columns(question.name, params)
            body = iter([_csv(report, columns) if shape == "csv" else msgspec.json.encode(report)])
    except ValueError as error:
        raise Unanswerable(str(error)) from error
    return Head(content_type=MEDIA[shape]), body


def _span(params: Params) -> Span:
    return Span(str(params["app_id"]), _moment(params["start_us"]), _moment(params["stop_us"]))


def _moment(us: Value) -> dt.datetime | None:
    return None if us is None else EPOCH + dt.timedelta(microseconds=cast("int", us))


def _events(pipeline: Pipeline, params: Params, shape: str) -> Iterator[bytes]:
    return events.stream(
        pipeline.warehouse,
        _span(params),
        event_name=cast("str | None", params["event_name"]),
        limit=cast("int | None", params["limit"]),
        fmt=cast("events.Format", shape),
    )


def _rejects(pipeline: Pipeline, params: Params) -> Report:
    limit = cast("int | None", params["limit"])
    rows = rejects.rejects(pipeline.warehouse, _span(params), limit=limit)
    return {"rows": rows, "total": {"rejects": len(rows)}}


def _overview(pipeline: Pipeline, params: Params) -> Report:
    interval = cast("Interval", params["interval"])
    tz = str(params["tz"])
    report = overview.overview(pipeline.warehouse, _span(params), interval=interval, tz=tz)
    return dict(report)


def _attribution(pipeline: Pipeline, params: Params) -> Report:
    settings, question = _question(pipeline, params)
    question = replace(question, model=str(params["model"]), tz=str(params["tz"]))
    span, asked = _span(params), _intervals(params)
    if question.model in schema.MODELS:
        report = attribution.attribution(pipeline.warehouse, span, question, asked)
        return {"settings": settings, **report}
    # Not stored with each conversion: computed from all paths when asked for.
    _await_opens(pipeline, span.app_id)
    model = model_named(question.model)
    return {
        "settings": settings,
        **paths.attribution(pipeline.warehouse, span, question, model=model, intervals=asked),
    }


def _intervals(params: Params) -> Intervals | None:
    level, resamples, seed = (params.get(name) for name in ("intervals", "resamples", "seed"))
    if level is None:
        return None
    return Intervals(float(cast("float", level)), cast("int", resamples), cast("int", seed))


def _paths(pipeline: Pipeline, params: Params) -> Report:
    settings, question = _question(pipeline, params)
    span, limit = _span(params), cast("int", params["limit"])
    _await_opens(pipeline, span.app_id)
    return {"settings": settings, **paths.paths(pipeline.warehouse, span, question, limit=limit)}


def _await_opens(pipeline: Pipeline, app_id: str) -> None:
    """Refuse for now where a former version, which kept no open journeys, credited the app."""
    if pipeline.applied(app_id) is not None and not pipeline.has_opens(app_id):
        raise SinkBusy(f"the journeys of `{app_id}` are being made\nhint: try again in a minute")


def _question(pipeline: Pipeline, params: Params) -> tuple[Report, attribution.Question]:
    settings, rule_version = _rules(pipeline, params)
    conversion = params["conversion"]
    question = attribution.Question(
        rule_version,
        conversions=[str(conversion)] if conversion else cast("list[str]", settings["conversions"]),
        group_by=cast("attribution.GroupBy", params["group_by"]),
        currency=cast("str | None", params["currency"]),
    )
    return settings, question


def _campaigns(pipeline: Pipeline, params: Params) -> Report:
    settings, rule_version = _rules(pipeline, params)
    question = attribution.Question(
        rule_version, conversions=cast("list[str]", settings["conversions"])
    )
    return dict(campaigns.campaigns(pipeline.warehouse, _span(params), question))


def _cohorts(pipeline: Pipeline, params: Params) -> Report:
    days = [int(day) for day in cast("list[str]", params["days"])]
    settings, _ = _rules(pipeline, params)
    click, view = (
        dt.timedelta(microseconds=cast("int", settings[name]))
        for name in ("click_lookback_us", "view_lookback_us")
    )
    table = cohorts.cohorts(
        pipeline.warehouse, _span(params), by=str(params["by"]), days=days, lookbacks=(click, view)
    )
    names = list(table.schema)
    columns = [[_shown(name, v) for v in table.column(name).to_pylist()] for name in names]
    rows = [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]
    users = {str(row[str(params["by"])]): cast("int", row["users"]) for row in rows}
    return {"rows": rows, "total": {"users": sum(users.values())}}


def _shown(name: str, value: object) -> object:
    is_money = name.startswith(("revenue", "ltv", "spend"))
    if is_money and isinstance(value, float):
        return decimal_text(round(value * 1_000_000))
    return value


def _rules(pipeline: Pipeline, params: Params) -> tuple[Report, int]:
    """The settings that an app's credits were computed with, and their version."""
    applied = pipeline.applied(str(params["app_id"]))
    if applied is None:
        # The first round of the job is still to come, so there is no credit yet.
        app = pipeline.catalog.show_app(str(params["app_id"]))
        return json.loads(rules_of(app)), 0
    return cast("Report", json.loads(applied.settings)), applied.rule_version


REPORTS: dict[str, Callable[[Pipeline, Params], Report]] = {
    "rejects": _rejects,
    "overview": _overview,
    "attribution": _attribution,
    "campaigns": _campaigns,
    "cohorts": _cohorts,
    "paths": _paths,
}


def _csv(report: Report, columns: Sequence[str]) -> bytes:
    """The rows of a report, then the conversions that no touch earned, so that columns add up."""
    rows = [*cast("list[Report]", report["rows"])]
    if "unattributed" in report:
        rows += _unattributed(cast("Report", report["unattributed"]), columns[0])
    names = list(dict.fromkeys([*columns, *(name for row in rows for name in row)]))
    text = io.StringIO()
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: _flat(value) for name, value in row.items()} for row in rows)
    return text.getvalue().encode()


def _flat(value: object) -> object:
    """A cell: lists and amounts by currency as one text."""
    if isinstance(value, dict):
        return "; ".join(f"{amount} {currency}" for currency, amount in value.items())
    if isinstance(value, list):
        return json.dumps(value, ensure_ascii=False)
    return value


def _unattributed(rest: Report, key: str) -> Iterator[Report]:
    """A row for each currency; the conversions, which are one number, stand in the first."""
    amounts = cast("dict[str | None, str | None]", rest["value"]) or {None: None}
    counts = itertools.chain([rest["conversions"]], itertools.repeat(0))
    for (currency, value), conversions in zip(amounts.items(), counts, strict=False):
        row: Report = {key: UNATTRIBUTED, "conversions": conversions}
        ends = {name: rest[name] for name in ENDS if name in rest and conversions}
        yield {**row, "value": value, "currency": currency, **ends}


def _columns(name: str, params: Params) -> list[str]:
    """The columns of a report, known before there is a row."""
    if name == "attribution":
        ends = ENDS if params.get("intervals") is not None else ()
        error = [paths.ERROR] if params["model"] == "shapley_conversion_rate" else []
        return [str(params["group_by"]), "conversions", "value", "currency", *error, *ends]
    if name == "cohorts":
        return [str(params["by"]), "currency", "users"]
    return COLUMNS[name].split()
