"""An app and the settings its reports rest on."""

import difflib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from typing import Literal, TypeVar, final

from unmogrowp import _core
from unmogrowp.catalog.tables import CatalogError
from unmogrowp.errors import ConfigError
from unmogrowp.events import IDS

ID_BYTES_MAX = 256
Policy = Literal["partition", "overlap"]
POLICIES: dict[str, Policy] = {"partition": "partition", "overlap": "overlap"}
T = TypeVar("T")
TRUTHS = {"true": True, "false": False}


@final
@dataclass(frozen=True)
class AppSettings:
    """How an app's events are taken and credited.

    Attributes:
        conversions: Names of the events that convert.
        click_lookback: How long before a conversion a click counts.
        view_lookback: The same for an impression.
        policy: `partition`: a conversion consumes the touches before it. `overlap`: it does not.
        truncate_ip: Forget the last octet of IPv4 and all but the /48 of IPv6 addresses.
        retention: How long events are kept, in whole days; `none` keeps them forever.
        cut: Ids that link nobody, as `kind:id`: a tablet in a shop, a test account.
    """

    conversions: tuple[str, ...] = ("install", "purchase")
    click_lookback: str = "30d"
    view_lookback: str = "1d"
    policy: Policy = "partition"
    truncate_ip: bool = False
    retention: str = "none"
    cut: tuple[str, ...] = ()

    @property
    def click_lookback_us(self) -> int:
        """How long before a conversion a click counts, in microseconds."""
        return int(_core.duration_us("click_lookback", self.click_lookback))

    @property
    def view_lookback_us(self) -> int:
        """How long before a conversion an impression counts, in microseconds."""
        return int(_core.duration_us("view_lookback", self.view_lookback))

    @property
    def cuts(self) -> list[tuple[str, str]]:
        """Kind and id of each that links nobody."""
        return [(kind, name) for kind, _, name in (text.partition(":") for text in self.cut)]

    @property
    def retention_days(self) -> int | None:
        """Days events are kept; None for ever."""
        return None if self.retention == "none" else int(self.retention.removesuffix("d"))

    def changed(self, texts: Mapping[str, str]) -> "AppSettings":
        """These settings with some changed, as written on the command line.

        Raises:
            ConfigError: An unknown setting or a wrong value.
        """
        changes: dict[str, object] = {}
        for name, text in texts.items():
            if name not in _READERS:
                near = difflib.get_close_matches(name, _READERS, 1)
                hint = f"did you mean `{near[0]}`?" if near else f"there are {', '.join(_READERS)}"
                raise ConfigError(f"unknown setting `{name}`\nhint: {hint}")
            changes[name] = _READERS[name](text)
        # Each has the type of its field: that is what its reader makes.
        return replace(self, **changes)  # type: ignore[arg-type]

    def text(self) -> str:
        """These settings as the catalog keeps them."""
        return json.dumps(asdict(self))

    @classmethod
    def from_text(cls, text: str) -> "AppSettings":
        """Settings the catalog kept."""
        values = json.loads(text)
        lists = {name: tuple(values.get(name, ())) for name in ("conversions", "cut")}
        return cls(**{**values, **lists})


@final
@dataclass(frozen=True)
class App:
    """One app whose events are kept apart from all others.

    Attributes:
        id: What events call it in `app_id`.
        name: What people call it.
        currency: What its reports are in, ISO 4217.
        settings: How its events are taken and credited.
        version: Grows with every change of the settings.
    """

    id: str
    name: str
    currency: str
    settings: AppSettings = field(default_factory=AppSettings)
    version: int = 1

    @classmethod
    def new(cls, app_id: str, name: str, currency: str) -> "App":
        """An app with default settings.

        Raises:
            CatalogError: The id cannot be the `app_id` of an event, or no such currency can be.
        """
        if not app_id or len(app_id.encode()) > ID_BYTES_MAX or not app_id.isprintable():
            raise CatalogError(
                f"an app id must be 1 to {ID_BYTES_MAX} printable bytes, got `{app_id!r:.80}`\n"
                "hint: use the bundle or package name, e.g. `com.example.app`"
            )
        if not re.fullmatch(r"[A-Za-z]{3}", currency):
            raise CatalogError(
                f"currency must be a code of three letters, got `{currency}`\nhint: e.g. `USD`"
            )
        return cls(app_id, name, currency.upper())


def _conversions(text: str) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
    if not names:
        raise ConfigError(
            f"conversions must name an event, got `{text}`\n"
            "hint: write e.g. `conversions=install,purchase`"
        )
    return names


def _cut(text: str) -> tuple[str, ...]:
    if text == "none":
        return ()
    kinds = "|".join(IDS)
    # An id may have commas; the next one begins with its kind.
    parts = re.split(rf",(?=(?:{kinds}):)", text)
    wrong = [part for part in parts if not re.fullmatch(rf"(?:{kinds}):.+", part)]
    if wrong:
        raise ConfigError(
            f"cut must name ids with their kind, got `{wrong[0]}`\n"
            f"hint: write e.g. `cut=device_id:tablet,user_id:test` or `cut=none`; the kinds are "
            f"{', '.join(IDS)}"
        )
    return tuple(dict.fromkeys(parts))


def _duration(name: str, text: str) -> str:
    try:
        _core.duration_us(name, text)
    except ValueError as error:
        raise ConfigError(str(error)) from error
    return text


def _one_of(name: str, text: str, known: Mapping[str, T]) -> T:
    if text not in known:
        raise ConfigError(
            f"{name} must be {' or '.join(known)}, got `{text}`\n"
            f"hint: write `{name}={next(iter(known))}`"
        )
    return known[text]


def _retention(text: str) -> str:
    if text != "none" and not re.fullmatch(r"[1-9][0-9]{0,4}d", text):
        raise ConfigError(
            f"retention must be whole days or none, got `{text}`\n"
            "hint: write `retention=90d` or `retention=none`"
        )
    return text


_READERS: dict[str, Callable[[str], object]] = {
    "conversions": _conversions,
    "click_lookback": partial(_duration, "click_lookback"),
    "view_lookback": partial(_duration, "view_lookback"),
    "policy": partial(_one_of, "policy", known=POLICIES),
    "truncate_ip": partial(_one_of, "truncate_ip", known=TRUTHS),
    "retention": _retention,
    "cut": _cut,
}
