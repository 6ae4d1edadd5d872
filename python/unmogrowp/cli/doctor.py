"""`unmogrowp doctor`: every setting with its origin, and whether what a server needs is there."""

import argparse

from unmogrowp.cli.findings import findings
from unmogrowp.cli.options import Commands, add_command, add_json, add_place, loaded
from unmogrowp.cli.show import print_json, print_line, print_table


def add(commands: Commands) -> None:
    """Add the command."""
    more = "Ends with 1 where something needs a hand."
    parser = add_command(commands, "doctor", "show every setting and what a server lacks", more)
    add_place(parser)
    add_json(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Look at everything; 1 where something needs a hand."""
    found = loaded(options)
    settings = [[v.name, v.shown, v.origin] for v in found.shown()]
    looked = list(findings(found.settings))
    if options.json:
        known = {name: {"value": value, "origin": origin} for name, value, origin in settings}
        said = {f.what: {"is_good": f.is_good, "said": f.said} for f in looked}
        print_json({"settings": known, "findings": said})
    else:
        print_table(["setting", "value", "from"], settings)
        print_line("")
        rows = [[f.what, "ok" if f.is_good else "look here", f.said] for f in looked]
        print_table(["what", "state", "more"], rows)
    return int(not all(finding.is_good for finding in looked))
