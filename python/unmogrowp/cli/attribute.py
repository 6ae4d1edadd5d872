"""`unmogrowp attribute`: a file of events in, the channels' credit by several models out."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, cast

from unmogrowp.cli.files import OUTPUTS, expect_output, read_table, write_table
from unmogrowp.cli.options import Commands, UsageError, add_command
from unmogrowp.cli.show import note, print_table
from unmogrowp.errors import UnmogrowpError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from unmogrowp.attribution import Model
    from unmogrowp.journeys import Journeys
    from unmogrowp.table import Table

CONVERSIONS = ["install", "purchase"]
MODEL = "last_touch"
PICTURES = (".svg", ".png", ".pdf")
# How canonical events are told from a table of touches and conversions.
EVENT_COLUMNS = frozenset({"event_name", "event_type", "timestamp"})


def add(commands: Commands) -> None:
    """Add the command."""
    parser = add_command(
        commands,
        "attribute",
        "credit the conversions in a file of events to their channels",
        "One row per channel, a column per model. Takes what `unmogrowp parse` takes and writes, "
        "or a table with the columns user_id, timestamp, channel, is_conversion and value.",
    )
    parser.add_argument("file", metavar="FILE", type=Path, help=".parquet, .arrow or NDJSON")
    parser.add_argument(
        "--model",
        action="append",
        dest="models",
        metavar="NAME",
        help=f"e.g. linear, time_decay; may be repeated (default: {MODEL})",
    )
    parser.add_argument(
        "--conversion",
        action="append",
        dest="conversions",
        metavar="EVENT",
        help=f"event that converts; may be repeated (default: {' and '.join(CONVERSIONS)})",
    )
    parser.add_argument("--click-lookback", default="30d", help="e.g. 7d, 36h (default: 30d)")
    parser.add_argument("--view-lookback", default="1d", help="for impressions (default: 1d)")
    parser.add_argument(
        "--policy",
        choices=("partition", "overlap"),
        default="partition",
        help="partition: a conversion consumes its touches (default); overlap: it does not",
    )
    parser.add_argument(
        "--click-over-view", action="store_true", help="impressions earn nothing beside a click"
    )
    parser.add_argument(
        "--cut",
        action="append",
        default=[],
        metavar="KIND:ID",
        help="an id of events that links nobody, e.g. device_id:tablet; may be repeated",
    )
    parser.add_argument(
        "--intervals",
        type=float,
        metavar="SHARE",
        help="how sure to be, e.g. 0.95: adds the interval of each model's conversions",
    )
    parser.add_argument("--resamples", type=int, default=200, help="for intervals (default: 200)")
    parser.add_argument("--seed", type=int, default=0, help="for intervals (default: 0)")
    outputs = ", ".join(OUTPUTS)
    parser.add_argument("-o", "--output", metavar="FILE", type=Path, help=f"one of {outputs}")
    parser.add_argument(
        "--plot", metavar="FILE", type=Path, help=f"a picture as well: one of {', '.join(PICTURES)}"
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Credit conversions."""
    from unmogrowp.attribution import compare

    expect_output(options.output)
    if options.plot is not None and options.plot.suffix not in PICTURES:
        raise UsageError(
            f"cannot draw `{options.plot}`\nhint: name a file of {', '.join(PICTURES)}"
        )
    models = [_model(name) for name in options.models or [MODEL]]
    try:
        journeys = _journeys(read_table(options.file), options)
        credit = compare(
            journeys,
            models,
            intervals=options.intervals,
            resamples=options.resamples,
            seed=options.seed,
        )
    except (ValueError, TypeError) as error:
        raise UnmogrowpError(str(error)) from error
    note(f"{journeys!r}")
    if options.plot is not None:
        cast("Figure", credit.plot().figure).savefig(options.plot)
    if options.output is not None:
        write_table(credit.to_pyarrow(), options.output)
        return 0
    names = list(credit.schema)
    columns = [credit.column(name).to_pylist() for name in names]
    print_table(names, list(zip(*columns, strict=True)))
    return 0


def _journeys(table: "Table", options: argparse.Namespace) -> "Journeys":
    from unmogrowp.journeys import journeys

    conversions: list[str] | None = options.conversions
    if table.schema.keys() >= EVENT_COLUMNS:
        conversions = conversions or CONVERSIONS
    elif conversions is not None:
        raise UsageError(
            f"`--conversion` is for events, and `{options.file}` has no column `event_name`\n"
            "hint: leave it out; the column `is_conversion` says what converts"
        )
    return journeys(
        table,
        conversion=conversions,
        click_lookback=options.click_lookback,
        view_lookback=options.view_lookback,
        policy=options.policy,
        click_over_view=options.click_over_view,
        cut=[_cut(text) for text in options.cut],
    )


def _cut(text: str) -> tuple[str, str]:
    kind, colon, name = text.partition(":")
    if not (colon and name):
        raise UsageError(f"expected KIND:ID, got `{text}`\nhint: e.g. `--cut device_id:tablet`")
    return kind, name


def _model(name: str) -> "Model":
    from unmogrowp.attribution import model_named

    try:
        return model_named(name)
    except ValueError as error:
        raise UsageError(str(error)) from error
