"""`unmogrowp report`: a report of the running server as a table, JSON or CSV."""

import argparse
import json
import sys
from collections.abc import Mapping

from unmogrowp.cli.asking import add_span, copy, server_of, span
from unmogrowp.cli.options import Commands, UsageError, add_command, add_place
from unmogrowp.cli.show import cell_text, note_progress, print_line, print_table

# The options each report understands beside app and time.
REPORTS: dict[str, tuple[str, ...]] = {
    "attribution": (
        *("model", "conversion", "group_by", "currency"),
        *("intervals", "resamples", "seed"),
    ),
    "overview": ("interval",),
    "campaigns": (),
    "cohorts": ("by", "days"),
    "paths": ("conversion", "group_by", "currency", "limit"),
}
MEANINGS = {
    "model": "attribution: first_touch, linear, markov, shapley, …",
    "conversion": "attribution, paths: one event name (default: all that convert)",
    "group_by": "attribution, paths: channel, campaign, adset, creative; attribution: country, day",
    "currency": "attribution, paths: only amounts of this currency",
    "intervals": "attribution: how sure to be, e.g. 0.95: adds the interval of each row",
    "resamples": "attribution: of intervals (default: 200)",
    "seed": "attribution: of intervals (default: 0)",
    "limit": "paths: how many (default: 100)",
    "interval": "overview: hour, day, week, month or total",
    "by": "cohorts: source, campaign, adset or creative",
    "days": "cohorts: e.g. 1,7,30",
}


def add(commands: Commands) -> None:
    """Add the command."""
    parser = add_command(
        commands,
        "report",
        "print a report of the running server",
        f"Reports: {', '.join(REPORTS)}.",
    )
    parser.add_argument("name", metavar="NAME", choices=tuple(REPORTS), help=", ".join(REPORTS))
    add_span(parser)
    for name, meaning in MEANINGS.items():
        parser.add_argument(_flag(name), help=meaning)
    shape = parser.add_mutually_exclusive_group()
    shape.add_argument("--json", action="store_true", help="print the server's answer as it is")
    shape.add_argument("--csv", action="store_true", help="print the rows as CSV")
    add_place(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Print a report."""
    query = span(options) | _own(options)
    accept = "text/csv" if options.csv else "application/json"
    note_progress(f"asking for {options.name}")
    with server_of(options).get(f"/v1/reports/{options.name}", query, accept) as answer:
        if options.csv or options.json:
            sys.stdout.flush()
            copy(answer, sys.stdout.buffer)
            sys.stdout.buffer.flush()
            return 0
        report = json.loads(answer.read())
    _print(report, options.group_by or "channel")
    return 0


def _own(options: argparse.Namespace) -> dict[str, str | None]:
    """The report's own options; one of another report is a mistake."""
    given = {name: getattr(options, name) for name in MEANINGS}
    for name, value in given.items():
        if value is not None and name not in REPORTS[options.name]:
            owner = next(report for report, names in REPORTS.items() if name in names)
            raise UsageError(
                f"`{_flag(name)}` means nothing to the report `{options.name}`\n"
                f"hint: it belongs to `unmogrowp report {owner}`"
            )
    return given


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")


def _print(report: Mapping[str, object], key: str) -> None:
    rows = _maps(report["rows"])
    rest = report.get("unattributed")
    # It is one sum, or one for each currency.
    rows += [{key: "(unattributed)", **row} for row in _maps(rest if rest is not None else [])]
    names = list(dict.fromkeys(name for row in rows for name in row))
    if rows:
        print_table(names, [[row.get(name) for name in names] for row in rows])
    else:
        print_line("no rows")
    for total in _maps(report.get("total", [])):
        sums = (f"{name} {cell_text(value)}" for name, value in total.items())
        print_line(f"total: {', '.join(sums)}")


def _maps(value: object) -> list[Mapping[str, object]]:
    given = value if isinstance(value, list) else [value]
    return [item for item in given if isinstance(item, Mapping)]
