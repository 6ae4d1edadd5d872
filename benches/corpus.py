"""A representative corpus of mobile events, and the ways in which it goes wrong.

`python benches/corpus.py OUTDIR N [SEED]` writes to OUTDIR

* `clean.ndjson`: good events whose times are all UTC text, so that rigid readers can take it;
* `mixed.ndjson`: the same events with 20 % epoch milliseconds, 10 % other forms of time, two orders
  of keys and 3 % escapes or other scripts;
* `dirty.ndjson`: `mixed` with one line in a hundred spoiled;
* `dirty.truth.tsv`: the 0-based line and kind of each spoiled one.
"""

import datetime as dt
import json
import random
import sys
import uuid
from collections.abc import Callable
from pathlib import Path

Event = dict[str, object]

SEED = 7
FIRST_MS = 1_790_000_000_000
SPOILED_SHARE = 0.01

NAMES = {
    "install": 4,
    "session_start": 22,
    "session_end": 14,
    "screen_view": 30,
    "ad_impression": 10,
    "ad_click": 3,
    "add_to_cart": 4,
    "purchase": 4,
    "level_complete": 5,
    "tutorial_complete": 1,
    "sign_up": 1,
    "subscribe": 1,
    "push_open": 1,
}
TYPES = {
    "install": "install",
    "ad_impression": "impression",
    "ad_click": "click",
    "purchase": "revenue",
    "subscribe": "revenue",
}
PAID = {"purchase", "subscribe"}
APPS = [f"com.example.app{number:02d}" for number in range(20)]
SOURCES = [
    "google_ads",
    "meta",
    "tiktok",
    "apple_search_ads",
    "unity",
    "applovin",
    "ironsource",
    "organic",
    "twitter",
    "snapchat",
]
MEDIA = ["cpc", "cpi", "cpm", "organic", "email", "referral", "push"]
COUNTRIES = [
    "US",
    "GB",
    "DE",
    "FR",
    "BR",
    "IN",
    "JP",
    "KR",
    "MX",
    "ID",
    "TR",
    "CA",
    "AU",
    "ES",
    "IT",
    "PL",
    "VN",
    "TH",
    "NL",
    "SE",
]
CURRENCIES = ["USD", "EUR", "GBP", "JPY", "BRL", "INR"]
IOS_VERSIONS = ["17.5.1", "17.6", "18.0.1", "18.1", "18.2", "26.0", "26.1"]
ANDROID_VERSIONS = ["11", "12", "13", "14", "15", "16"]
ANDROID_MODELS = ["SM-S918B", "Pixel 8 Pro", "2201117TG", "CPH2451", "SM-A546E", "moto g(60)"]
APP_VERSIONS = [f"{a}.{b}.{c}" for a in (3, 4) for b in range(8) for c in range(4)]
FOREIGN = [b'"medium":"caf\\u00e9 ', b'"medium":"a\\/b ', '"medium":"日本 '.encode()]
BAD_TIMES = ["2026-13-01T00:00:00Z", "2026-02-30T10:00:00Z", "yesterday", "", -1]
BAD_IPS = ["999.1.1.1", "1.2.3", "2001:::1", "host"]


class Corpus:
    """Draws events from one seeded source of chance."""

    def __init__(self, seed: int) -> None:
        self.chance = chance = random.Random(seed)
        pick = chance.choice
        regions, goals = ["us", "eu", "apac", "latam"], ["ua", "rt", "brand"]
        audiences = ["lal1", "lal5", "broad", "int"]
        formats = ["vid15", "vid30", "static", "playable"]
        self.campaigns = [f"camp_{pick(regions)}_{pick(goals)}_{i:04d}" for i in range(300)]
        self.adsets = [f"adset_{pick(audiences)}_{i:05d}" for i in range(1500)]
        self.creatives = [f"cr_{pick(formats)}_{i:05d}" for i in range(3000)]
        self.devices = [self.uuid() for _ in range(25_000)]
        self.sessions = [self.uuid() for _ in range(40_000)]
        self.properties: dict[str, Callable[[], object]] = {
            "level": lambda: chance.randint(1, 120),
            "score": lambda: chance.randint(0, 10**6),
            "screen": lambda: pick(["home", "shop", "cart", "profile", "search", "play"]),
            "item_id": lambda: f"sku_{chance.randint(1, 9999):05d}",
            "quantity": lambda: chance.randint(1, 9),
            "price": lambda: round(chance.random() * 99, 2),
            "ab_group": lambda: pick("ABCD"),
            "is_premium": lambda: chance.random() < 0.1,
            "coupon": lambda: pick(["SAVE10", "WELCOME", "VIP20"]),
            "duration_ms": lambda: chance.randint(5, 10**6),
            "network": lambda: pick(["wifi", "5g", "lte", "3g"]),
            "battery": lambda: round(chance.random(), 2),
            "locale": lambda: pick(["en-US", "de-DE", "pt-BR", "ja-JP"]),
            "tz": lambda: pick(["America/New_York", "Europe/Berlin", "Asia/Tokyo"]),
            "referrer": lambda: pick(["push", "deeplink", "direct"]),
            "fps": lambda: chance.randint(20, 120),
        }

    def uuid(self) -> str:
        """A random UUID of version 4."""
        return str(uuid.UUID(int=self.chance.getrandbits(128), version=4))

    def event(self, number: int) -> tuple[Event, int]:
        """A good event and its time in milliseconds."""
        chance = self.chance
        is_ios = chance.random() < 0.5
        name = chance.choices(list(NAMES), list(NAMES.values()))[0]
        ms = FIRST_MS + number * 7 + chance.randint(-(10**6), 0)
        event: Event = {
            "event_id": self.uuid(),
            "event_name": name,
            "event_type": TYPES.get(name, "engagement"),
            "app_id": chance.choice(APPS),
            "timestamp": utc(ms),
        }
        event |= self._ids(is_ios=is_ios) | self._campaign() | {"ip": self._ip()}
        event |= self._device(is_ios=is_ios)
        event["app_version"] = chance.choice(APP_VERSIONS)
        event["country"] = chance.choice(COUNTRIES)
        if name in PAID:
            event["revenue"] = round(chance.random() * 120, 2)
            event["currency"] = chance.choice(CURRENCIES)
        keys = chance.sample(list(self.properties), min(10, int(chance.expovariate(0.35))))
        event["properties"] = {key: self.properties[key]() for key in keys}
        return event, ms

    def _ids(self, *, is_ios: bool) -> Event:
        chance = self.chance
        ids: Event = {}
        if chance.random() < 0.6:
            ids["user_id"] = f"u_{10**7 + chance.randrange(20_000)}"
        device = chance.randrange(len(self.devices))
        if is_ios:
            if chance.random() < 0.35:
                ids["idfa"] = self.devices[device].upper()
            ids["idfv"] = self.devices[-device].upper()
        else:
            ids["gaid"] = self.devices[device]
        return ids | {"session_id": chance.choice(self.sessions)}

    def _campaign(self) -> Event:
        chance = self.chance
        if chance.random() < 0.35:
            return {"source": "organic", "medium": "organic"}
        campaign: Event = {
            "source": chance.choice(SOURCES),
            "medium": chance.choice(MEDIA),
            "campaign": chance.choice(self.campaigns),
            "adset": chance.choice(self.adsets),
            "creative": chance.choice(self.creatives),
        }
        if chance.random() < 0.3:
            campaign["click_id"] = f"{chance.getrandbits(128):032x}"
        return campaign

    def _ip(self) -> str:
        chance = self.chance
        if chance.random() < 0.9:
            middle = f"{chance.randint(0, 255)}.{chance.randint(0, 255)}"
            return f"{chance.randint(1, 223)}.{middle}.{chance.randint(1, 254)}"
        a, b, c, d = (chance.randint(0, 65_535) for _ in range(4))
        return f"2001:db8:{a:x}:{b:x}::{c:x}:{d:x}"

    def _device(self, *, is_ios: bool) -> Event:
        chance = self.chance
        if is_ios:
            version = chance.choice(IOS_VERSIONS)
            system = f"iPhone; CPU iPhone OS {version.replace('.', '_')} like Mac OS X"
            agent = f"Mozilla/5.0 ({system}) AppleWebKit/605.1.15 Mobile/15E148"
            return {"user_agent": agent, "os": "iOS", "os_version": version}
        version = chance.choice(ANDROID_VERSIONS)
        system = f"Linux; Android {version}; {chance.choice(ANDROID_MODELS)}"
        agent = f"Mozilla/5.0 ({system}) AppleWebKit/537.36 Chrome/131.0.0.0 Mobile"
        return {"user_agent": agent, "os": "Android", "os_version": version}

    def mixed(self, event: Event, ms: int) -> tuple[Event, bytes]:
        """The same event as other clients would write it, and its line."""
        chance = self.chance
        event = dict(event)
        draw = chance.random()
        if draw < 0.2:
            event["timestamp"] = ms
        elif draw < 0.3:
            event["timestamp"] = chance.choice([whole_seconds, self._abroad])(ms)
        if event["os"] == "Android":
            event = dict(sorted(event.items()))
        line = render(event)
        if chance.random() < 0.03:
            line = line.replace(b'"medium":"', chance.choice(FOREIGN), 1)
        return event, line

    def _abroad(self, ms: int) -> str:
        hours, minutes = self.chance.choice([-8, -5, 1, 2, 9]), self.chance.choice([0, 30])
        zone = dt.timezone(dt.timedelta(hours=hours, minutes=minutes))
        return instant(ms).astimezone(zone).isoformat(timespec="milliseconds")

    def spoil(self, event: Event, kind: str) -> bytes:
        """The line of an event with one thing wrong."""
        if kind in BREAKS:
            return BREAKS[kind](self, render(event))
        event = dict(event)
        SPOILS[kind](self, event)
        return render(event)


def instant(ms: int) -> dt.datetime:
    """The moment `ms` milliseconds after 1970."""
    return dt.datetime.fromtimestamp(ms / 1000, dt.UTC)


def utc(ms: int) -> str:
    """Text with milliseconds and Z."""
    return f"{instant(ms):%Y-%m-%dT%H:%M:%S}.{ms % 1000:03d}Z"


def whole_seconds(ms: int) -> str:
    """Text without a fraction."""
    return f"{instant(ms):%Y-%m-%dT%H:%M:%SZ}"


def render(event: Event) -> bytes:
    """One compact line, without its end."""
    return json.dumps(event, separators=(",", ":"), ensure_ascii=False).encode()


def _drop(*keys: str) -> Callable[[Corpus, Event], None]:
    def spoil(_: Corpus, event: Event) -> None:
        for key in keys:
            event.pop(key, None)

    return spoil


def _put(**fields: object) -> Callable[[Corpus, Event], None]:
    return lambda _, event: event.update(fields)


def _bad_device_id(_: Corpus, event: Event) -> None:
    key = "gaid" if "gaid" in event else "idfv"
    event[key] = str(event[key])[:-1] + "g"


def _no_currency(_: Corpus, event: Event) -> None:
    event["revenue"] = 9.99
    event.pop("currency", None)


# Wrong events that are still JSON.
SPOILS: dict[str, Callable[[Corpus, Event], None]] = {
    "missing_timestamp": _drop("timestamp"),
    "missing_identity": _drop("user_id", "idfa", "idfv", "gaid"),
    "bad_device_id": _bad_device_id,
    "bad_timestamp": lambda c, event: event.update(timestamp=c.chance.choice(BAD_TIMES)),
    "bad_ip": lambda c, event: event.update(ip=c.chance.choice(BAD_IPS)),
    "revenue_string": _put(revenue="12,50", currency="EUR"),
    "revenue_no_currency": _no_currency,
    "name_wrong_type": _put(event_name=17),
    "empty_name": _put(event_name=""),
}
# Lines that are no event at all, or no JSON.
BREAKS: dict[str, Callable[[Corpus, bytes], bytes]] = {
    "truncated": lambda c, line: line[: c.chance.randint(20, len(line) - 2)],
    "not_object": lambda _c, _line: b"[1,2,3]",
    "invalid_utf8": lambda _, line: line.replace(b'"os":', b'"x":"\xff\xfe","os":'),
    "trailing_garbage": lambda _, line: line + b"}",
    "nan_literal": lambda _, line: line[:-1] + b',"revenue":NaN,"currency":"USD"}',
    "control_char": lambda _, line: line.replace(b'"source":"', b'"source":"\x01', 1),
    "dup_key_conflict": lambda c, line: line[:-1] + f',"event_id":"{c.uuid()}"}}'.encode(),
}
KINDS = [*SPOILS, *BREAKS]


def write(out: Path, count: int, seed: int = SEED) -> None:
    """Write the three files and the truth about the dirty one."""
    corpus = Corpus(seed)
    with (
        (out / "clean.ndjson").open("wb") as clean,
        (out / "mixed.ndjson").open("wb") as mixed,
        (out / "dirty.ndjson").open("wb") as dirty,
        (out / "dirty.truth.tsv").open("w") as truth,
    ):
        for number in range(count):
            event, ms = corpus.event(number)
            clean.write(render(event) + b"\n")
            event, line = corpus.mixed(event, ms)
            mixed.write(line + b"\n")
            if corpus.chance.random() < SPOILED_SHARE:
                kind = corpus.chance.choice(KINDS)
                line = corpus.spoil(event, kind)
                truth.write(f"{number}\t{kind}\n")
            dirty.write(line + b"\n")


def main() -> None:
    """Read the command line, write, and say how large the files are."""
    if len(sys.argv) not in {3, 4}:
        sys.exit("usage: python benches/corpus.py OUTDIR N [SEED]")
    out, count = Path(sys.argv[1]), int(sys.argv[2])
    out.mkdir(parents=True, exist_ok=True)
    write(out, count, int(sys.argv[3]) if len(sys.argv) == 4 else SEED)
    for name in ("clean", "mixed", "dirty"):
        size = (out / f"{name}.ndjson").stat().st_size
        print(f"{name}: {size} bytes, {size / count:.1f} bytes/event")


if __name__ == "__main__":
    main()
