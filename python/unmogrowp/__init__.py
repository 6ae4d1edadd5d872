"""Open mobile measurement: events in, attribution out.

The same kernels answer in a notebook (Arrow in, Arrow out) and behind `unmogrowp serve`.
Names are loaded on first use, so importing the package costs next to nothing.
"""

import importlib
import sys
from types import ModuleType

from unmogrowp._core import __version__

TYPE_CHECKING = False  # `typing` costs more to import than this package.
if TYPE_CHECKING:
    from unmogrowp import spark
    from unmogrowp.attribution import (
        Counterfactual,
        FirstNonDirect,
        FirstTouch,
        InverseJ,
        JShape,
        LastNonDirect,
        LastTouch,
        Linear,
        Markov,
        PositionBased,
        Shapley,
        TimeDecay,
        WShape,
        attribute,
        compare,
        markov_orders,
        removal_effects,
    )
    from unmogrowp.cohorts import cohorts
    from unmogrowp.events import Parsed, parse, parse_pieces
    from unmogrowp.identities import identities
    from unmogrowp.info import info
    from unmogrowp.journeys import Journeys, journeys
    from unmogrowp.quality import quality
    from unmogrowp.table import Table

_HOMES = {
    "parse": "events",
    "parse_pieces": "events",
    "Parsed": "events",
    "Table": "table",
    "journeys": "journeys",
    "Journeys": "journeys",
    "attribute": "attribution",
    "compare": "attribution",
    "FirstTouch": "attribution",
    "LastTouch": "attribution",
    "FirstNonDirect": "attribution",
    "LastNonDirect": "attribution",
    "Linear": "attribution",
    "PositionBased": "attribution",
    "JShape": "attribution",
    "InverseJ": "attribution",
    "WShape": "attribution",
    "TimeDecay": "attribution",
    "Markov": "attribution",
    "Shapley": "attribution",
    "Counterfactual": "attribution",
    "removal_effects": "attribution",
    "markov_orders": "attribution",
    "cohorts": "cohorts",
    "quality": "quality",
    "identities": "identities",
    "info": "info",
}

__all__ = [
    "Counterfactual",
    "FirstNonDirect",
    "FirstTouch",
    "InverseJ",
    "JShape",
    "Journeys",
    "LastNonDirect",
    "LastTouch",
    "Linear",
    "Markov",
    "Parsed",
    "PositionBased",
    "Shapley",
    "Table",
    "TimeDecay",
    "WShape",
    "__version__",
    "attribute",
    "cohorts",
    "compare",
    "identities",
    "info",
    "journeys",
    "markov_orders",
    "parse",
    "parse_pieces",
    "quality",
    "removal_effects",
    "spark",
]


class _Package(ModuleType):
    """Keeps `ug.journeys` and the like functions when the module of that name is imported."""

    def __setattr__(self, name: str, value: object) -> None:
        if isinstance(value, ModuleType) and _HOMES.get(name) == name:
            value = getattr(value, name)
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package


def __getattr__(name: str) -> object:
    if name == "spark":
        return importlib.import_module("unmogrowp.spark")
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module `unmogrowp` has no attribute `{name}`")
    return getattr(importlib.import_module(f"unmogrowp.{home}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
