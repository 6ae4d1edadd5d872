"""A parser whose errors say what to do next, and the options that several commands share."""

import argparse
import difflib
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn, Protocol, final

from unmogrowp.errors import UnmogrowpError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from unmogrowp.config import Loaded, Settings


class UsageError(UnmogrowpError):
    """The command line asks for something that cannot be meant: exit code 2."""


@final
class Parser(argparse.ArgumentParser):
    """Raises `UsageError` where its parent would print the usage and exit."""

    def error(self, message: str) -> NoReturn:
        """Say it as the rest of the program says its errors."""
        choice = re.fullmatch(
            r"argument (.+): invalid choice: '(.*)' \(choose from (.*)\)", message, re.DOTALL
        )
        see = f"see `{self.prog} --help`"
        if choice is None:
            raise UsageError(f"{message.replace(chr(39), '`')}\nhint: {see}")
        name, given, listed = choice.groups()
        known = [word.strip().strip("'") for word in listed.split(",")]
        near = difflib.get_close_matches(given, known, 1)
        hint = f"did you mean `{near[0]}`?" if near else f"there are {', '.join(known)}; {see}"
        raise UsageError(f"unknown {name.lower().strip('-')} `{given}`\nhint: {hint}")

    def refuse(self, unknown: "Sequence[str]") -> NoReturn:
        """Raise about words that nothing took, with the nearest option that there is."""
        word = next((word for word in unknown if word.startswith("-")), unknown[0])
        flag = word.partition("=")[0]
        known = sorted(set(re.findall(r"(?<![\w-])--?[a-z][a-z-]*", self.format_help())))
        near = difflib.get_close_matches(flag, known, 1)
        hint = f"did you mean `{near[0]}`?" if near else f"see `{self.prog} --help`"
        what = "option" if word.startswith("-") else "word"
        raise UsageError(f"unknown {what} `{flag}` for `{self.prog}`\nhint: {hint}")


class Commands(Protocol):
    """Where a command adds itself."""

    def add_parser(
        self,
        name: str,
        *,
        help: str,  # noqa: A002 - the names are argparse's
        description: str,
        allow_abbrev: bool,
    ) -> Parser:
        """A parser for one more command."""


def add_command(commands: Commands, name: str, summary: str, more: str = "") -> Parser:
    """A parser for a command, whose help opens with its summary."""
    description = f"{summary[:1].upper()}{summary[1:]}.{f' {more}' if more else ''}"
    # Abbreviations would make every new option a breaking change.
    parser = commands.add_parser(name, help=summary, description=description, allow_abbrev=False)
    parser.set_defaults(parser=parser)
    return parser


def positive(text: str) -> int:
    """A whole number of one or more, for `argparse`."""
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number above 0, got `{text}`")
    return int(text)


def add_place(parser: argparse.ArgumentParser) -> None:
    """Add the options that say where the data and the settings are."""
    parser.add_argument(
        "--data-dir",
        metavar="DIR",
        # Given before or after the command: an absent one must not undo the other.
        default=argparse.SUPPRESS,
        help="where everything is kept (default: ./unmogrowp-data, or UNMOGROWP_DATA_DIR)",
    )
    parser.add_argument(
        "--config",
        metavar="FILE",
        type=Path,
        default=argparse.SUPPRESS,
        help="settings file (default: ./unmogrowp.toml where there is one)",
    )


def add_json(parser: argparse.ArgumentParser, what: str = "print JSON for programs") -> None:
    """Add `--json`."""
    parser.add_argument("--json", action="store_true", help=what)


def loaded(options: argparse.Namespace, *names: str) -> "Loaded":
    """The settings a command runs with, and where each came from.

    Args:
        options: What was typed.
        names: The command's own options that are settings too.

    Raises:
        ConfigError: An unknown setting or a wrong value, wherever it was written.
    """
    from unmogrowp.config import load

    flags = {name: getattr(options, name, None) for name in ("data_dir", *names)}
    path: Path | None = getattr(options, "config", None)
    return load(flags, env=os.environ, path=path)


def settings_of(options: argparse.Namespace, *names: str) -> "Settings":
    """The settings a command runs with, as `loaded` finds them."""
    return loaded(options, *names).settings
