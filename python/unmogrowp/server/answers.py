"""Questions by name to queries of the warehouse, answers to bytes."""

import csv
import io
import json
from collections.abc import Callable, Iterator
from typing import TypeAlias, cast

import msgspec

from unmogrowp.catalog import App
from unmogrowp.errors import UnmogrowpError
from unmogrowp.pipeline import Pipeline
from unmogrowp.server.wire import Head, Params, Question
from unmogrowp.warehouse import attribution, campaigns, cohorts, events, overview, rejects
from unmogrowp.warehouse.span import Span

Report: TypeAlias = dict[str, object]

MEDIA = {
    "json": "application/json",
    "ndjson": "application/x-ndjson",
    "csv": "text/csv; charset=utf-8",
    "arrow": "application/vnd.apache.arrow.stream",
    "parquet": "application/vnd.apache.parquet",
}


class Unanswerable(UnmogrowpError):
    """The question makes no sense; the text says what would."""


def answer(pipeline: Pipeline, question: Question) -> tuple[Head, Iterator[bytes]]:
    """The head and the body of an answer.

    Raises:
        Unanswerable: A wrong parameter.
    """
    params = question.params
    shape = str(params["format"])
    try:
        if question.name == "events":
            body = _events(pipeline, params, shape)
        else:
            report = REPORTS[question.name](pipeline, params)
            body = iter([_csv(report) if shape == "csv" else msgspec.json.encode(report)])
    except ValueError as error:
        raise Unanswerable(str(error)) from error
    return Head(content_type=MEDIA[shape]), body
