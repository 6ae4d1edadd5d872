"""An app and the settings its reports rest on."""

import difflib
from dataclasses import dataclass, field, replace

from unmogrowp import _core
from unmogrowp.errors import ConfigError

POLICIES = ("partition", "overlap")
TRUTHS = {"true": True, "false": False}


@dataclass(frozen=True)
class AppSettings:
    """How an app's events are taken and credited."""

    conversions: tuple[str, ...] = ("install", "purchase")
    click_lookback: str = "30d"
    view_lookback: str = "1d"
    policy: str = "partition"
    truncate_ip: bool = False
    retention: str = "none"

    @property
    def click_lookback_us(self) -> int:
        """How long before a conversion a click counts, in microseconds."""
        return _core.duration_us("click_lookback", self.click_lookback)

    @property
    def view_lookback_us(self) -> int:
        """How long before a conversion an impression counts, in microseconds."""
        return _core.duration_us("view_lookback", self.view_lookback)

    def with_text(self, name: str, text: str) -> "AppSettings":
        """These settings with one changed, as written on the command line.

        Raises:
            ConfigError: An unknown setting or a wrong value.
        """
        match name:
            case "conversions":
                return replace(self, conversions=_names(text))
            case "click_lookback":
                return replace(self, click_lookback=_duration(name, text))
            case "view_lookback":
                return replace(self, view_lookback=_duration(name, text))
            case "policy":
                return replace(self, policy=_one_of(name, text, POLICIES))
            case "truncate_ip":
                return replace(self, truncate_ip=TRUTHS[_one_of(name, text, tuple(TRUTHS))])
            case "retention":
                kept = text if text == "none" else _duration(name, text)
                return replace(self, retention=kept)
        known = list(AppSettings.__dataclass_fields__)
        near = difflib.get_close_matches(name, known, 1)
        hint = f"did you mean `{near[0]}`?" if near else f"there are {', '.join(known)}"
        raise ConfigError(f"unknown setting `{name}`\nhint: {hint}")


@dataclass(frozen=True)
class App:
    """One app whose events are kept apart from all others."""

    id: str
    name: str
    currency: str
    settings: AppSettings = field(default_factory=AppSettings)


def _names(text: str) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
    if not names:
        raise ConfigError("conversions must not be empty\nhint: e.g. conversions=install,purchase")
    return names


def _duration(name: str, text: str) -> str:
    try:
        _core.duration_us(name, text)
    except ValueError as error:
        raise ConfigError(str(error)) from error
    return text


def _one_of(name: str, text: str, known: tuple[str, ...]) -> str:
    if text not in known:
        raise ConfigError(f"{name} must be {' or '.join(known)}, got `{text}`")
    return text
