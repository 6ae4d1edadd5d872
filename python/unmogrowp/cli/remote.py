"""`unmogrowp report` and `unmogrowp export`: what the running server knows."""

import argparse
import http.client
import json
import shutil
import sys
import urllib.parse
from pathlib import Path
from typing import TYPE_CHECKING, cast

from unmogrowp.cli.options import Commands, settings
from unmogrowp.cli.show import print_table
from unmogrowp.errors import UnmogrowpError

if TYPE_CHECKING:
    from collections.abc import Mapping

REPORTS = ("attribution", "overview", "campaigns", "cohorts")
FORMATS = {
    ".ndjson": "application/x-ndjson",
    ".csv": "text/csv",
    ".arrow": "application/vnd.apache.arrow.stream",
    ".parquet": "application/vnd.apache.parquet",
}
TIMEOUT_S = 300


def add(commands: Commands, where: argparse.ArgumentParser) -> None:
    """Add both commands."""
    report = commands.add_parser("report", parents=[where], help="a report of the running server")
    report.add_argument("name", choices=REPORTS)
    _add_span(report)
    report.add_argument("--model", help="attribution: first_touch, last_touch, linear, …")
    report.add_argument("--conversion", help="attribution: one event name (default: all)")
    report.add_argument("--group-by", help="attribution: channel, campaign, adset, …")
    report.add_argument("--interval", help="overview: hour, day, week, month, total")
    report.add_argument("--by", help="cohorts: source, campaign, adset, creative")
    report.add_argument("--days", help="cohorts: e.g. 1,7,30")
    report.add_argument("--json", action="store_true", help="the answer as it is")
    report.add_argument("--csv", action="store_true", help="the rows as CSV")
    report.set_defaults(run=run_report)
    export = commands.add_parser("export", parents=[where], help="stored events into a file")
    _add_span(export)
    export.add_argument("--event-name")
    export.add_argument("-o", "--output", type=Path, required=True, help=", ".join(FORMATS))
    export.set_defaults(run=run_export)


def _add_span(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--app", required=True)
    parser.add_argument("--from", dest="start", help="first instant or date")
    parser.add_argument("--to", dest="stop", help="first instant or date not included")
    parser.add_argument("--tz", help="time zone of dates (default: UTC)")


def run_report(options: argparse.Namespace) -> int:
    """Print a report."""
    names = ("model", "conversion", "group_by", "interval", "by", "days")
    query = {name: getattr(options, name) for name in names}
    accept = "text/csv" if options.csv else "application/json"
    with _asking(options, f"/v1/reports/{options.name}", query, accept) as answer:
        text = answer.read().decode()
    if options.json or options.csv:
        sys.stdout.write(text + ("" if text.endswith("\n") else "\n"))
        return 0
    report = json.loads(text)
    rows = list(report["rows"])
    if "unattributed" in report:
        rows.append({options.group_by or "channel": "(unattributed)", **report["unattributed"]})
    columns = list(dict.fromkeys(name for row in rows for name in row))
    print_table(columns, [[row.get(name) for name in columns] for row in rows])
    sys.stdout.write(f"total: {json.dumps(report['total'])}\n")
    return 0


def run_export(options: argparse.Namespace) -> int:
    """Write stored events into a file."""
    accept = FORMATS.get(options.output.suffix)
    if accept is None:
        raise UnmogrowpError(f"cannot write `{options.output}`\nhint: name it {', '.join(FORMATS)}")
    query = {"event_name": options.event_name}
    with _asking(options, "/v1/events", query, accept) as answer, options.output.open("wb") as file:
        shutil.copyfileobj(answer, file)
    return 0


def _asking(
    options: argparse.Namespace, path: str, query: "Mapping[str, str | None]", accept: str
) -> http.client.HTTPResponse:
    home = settings(options).data_dir
    try:
        server = cast("dict[str, str]", json.loads((home / "server.json").read_text()))
    except FileNotFoundError:
        raise UnmogrowpError(
            f"no server runs on `{home}`\nhint: start one with `unmogrowp serve`"
        ) from None
    span = {"app_id": options.app, "from": options.start, "to": options.stop, "tz": options.tz}
    given = {name: value for name, value in {**span, **query}.items() if value is not None}
    target = f"{path}?{urllib.parse.urlencode(given)}"
    headers = {"Authorization": f"Bearer {server['token']}", "Accept": accept}
    url = urllib.parse.urlsplit(server["url"])
    connection = http.client.HTTPConnection(str(url.hostname), url.port, timeout=TIMEOUT_S)
    try:
        connection.request("GET", target, headers=headers)
        answer = connection.getresponse()
    except OSError as error:
        raise UnmogrowpError(f"the server at `{server['url']}` does not answer: {error}") from error
    if answer.status != http.client.OK:
        raise UnmogrowpError(str(json.loads(answer.read())["detail"]))
    return answer
