"""Settings from what was typed, the environment and the settings file."""

import argparse
import os
from typing import TYPE_CHECKING, TypeAlias

from unmogrowp.errors import MissingExtra

if TYPE_CHECKING:
    from unmogrowp.config import Loaded, Settings

# The type has no public name.
Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"  # noqa: SLF001


def load(options: argparse.Namespace) -> "Loaded":
    """All settings with their origins."""
    try:
        from unmogrowp import config
    except ImportError as error:
        raise MissingExtra("server") from error
    names = config.Settings.__struct_fields__
    flags = {name: getattr(options, name, None) for name in names}
    return config.load(flags, env=os.environ, path=options.config)


def settings(options: argparse.Namespace) -> "Settings":
    """All settings."""
    return load(options).settings
