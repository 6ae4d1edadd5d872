"""The catalog: apps, keys, and two processes on one file."""

import json
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import pytest

from unmogrowp.catalog import AppSettings, Catalog, CatalogError, KeyRing
from unmogrowp.errors import ConfigError

APP = "com.example.app"


@pytest.fixture
def catalog(tmp_path: Path) -> Iterator[Catalog]:
    with Catalog.open(tmp_path) as opened:
        opened.create_app(APP, "Example", "usd")
        yield opened


def elsewhere(data_dir: Path, code: str) -> str:
    """Run code in another process with `catalog` open."""
    head = "import sys\nfrom pathlib import Path\nfrom unmogrowp.catalog import Catalog\n"
    script = f"{head}catalog = Catalog.open(Path(sys.argv[1]))\n{code}"
    run = [sys.executable, "-c", script, str(data_dir)]
    return subprocess.run(run, capture_output=True, text=True, check=True, timeout=60).stdout


def test_a_new_app_has_the_defaults_of_the_contract(catalog: Catalog) -> None:
    app = catalog.show_app(APP)
    assert (app.name, app.currency, app.version) == ("Example", "USD", 1)
    assert app.settings == AppSettings(
        conversions=("install", "purchase"),
        click_lookback="30d",
        view_lookback="1d",
        policy="partition",
        truncate_ip=False,
        retention="none",
    )
    assert app.settings.click_lookback_us == 30 * 86_400 * 1_000_000
    assert app.settings.retention_days is None


def test_settings_survive_and_the_version_grows_only_with_a_change(catalog: Catalog) -> None:
    texts = {"conversions": "install, trial", "click_lookback": "36h", "retention": "90d"}
    changed = catalog.set_app(APP, texts | {"truncate_ip": "true", "policy": "overlap"})
    assert changed.version == 2
    assert catalog.set_app(APP, texts).version == 2
    assert catalog.show_app(APP) == changed
    assert changed.settings.conversions == ("install", "trial")
    assert changed.settings.retention_days == 90
    assert changed.settings.truncate_ip


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("conversons", "install", "did you mean `conversions`"),
        ("conversions", " , ", "must name an event"),
        ("click_lookback", "soon", "click_lookback must be a duration, got `soon`"),
        ("view_lookback", "-1d", "must not be negative"),
        ("policy", "both", "partition or overlap"),
        ("truncate_ip", "yes", "true or false"),
        ("retention", "0d", "whole days"),
        ("retention", "36h", "whole days"),
    ],
)
def test_a_wrong_setting_changes_nothing(catalog: Catalog, name: str, text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        catalog.set_app(APP, {"policy": "overlap", name: text})
    assert catalog.show_app(APP).settings == AppSettings()


@pytest.mark.parametrize(
    ("app_id", "currency"), [("", "USD"), ("x" * 257, "USD"), ("a\nb", "USD"), ("b", "dollars")]
)
def test_an_impossible_app_is_refused(catalog: Catalog, app_id: str, currency: str) -> None:
    with pytest.raises(CatalogError, match="hint: "):
        catalog.create_app(app_id, "Name", currency)
    assert [app.id for app in catalog.apps()] == [APP]


def test_an_app_is_made_once(catalog: Catalog) -> None:
    with pytest.raises(CatalogError, match="exists already"):
        catalog.create_app(APP, "Again", "EUR")
    assert catalog.show_app(APP).name == "Example"


def test_a_key_is_not_in_the_file(catalog: Catalog, tmp_path: Path) -> None:
    plaintext, key = catalog.create_key(APP, "write")
    assert plaintext.startswith("ug_")
    assert len(plaintext) >= 40
    stored = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert key.id.encode() in stored
    assert plaintext.encode() not in stored
    assert plaintext.removeprefix("ug_").encode() not in stored


def test_a_key_opens_its_app_until_it_is_revoked(catalog: Catalog) -> None:
    plaintext, key = catalog.create_key(APP, "read")
    assert catalog.find(plaintext) == key
    assert catalog.find(plaintext + "x") is None
    catalog.revoke_key(key.id)
    assert catalog.find(plaintext) is None
    (row,) = catalog.keys(APP)
    assert row.revoked_at is not None
    catalog.revoke_key(key.id)
    assert catalog.keys(APP) == [row]


def test_keys_need_an_app_and_a_known_role(catalog: Catalog) -> None:
    with pytest.raises(CatalogError, match=f"there are `{APP}`"):
        catalog.create_key("nobody", "read")
    with pytest.raises(CatalogError, match="no role `owner`"):
        catalog.create_key(APP, "owner")  # type: ignore[arg-type]
    with pytest.raises(CatalogError, match="no key `nothing`"):
        catalog.revoke_key("nothing")
    assert catalog.keys() == []


def test_a_key_made_by_another_process_works_at_once(catalog: Catalog, tmp_path: Path) -> None:
    ring = KeyRing(catalog)
    made = elsewhere(tmp_path, f"print(*catalog.create_key({APP!r}, 'write')[0:1])").strip()
    found = ring.find(made)
    assert found is not None
    assert (found.app_id, found.role) == (APP, "write")


def test_a_key_revoked_by_another_process_stops_within_a_second(
    catalog: Catalog, tmp_path: Path
) -> None:
    ring = KeyRing(catalog)
    plaintext, key = catalog.create_key(APP, "write")
    stop = threading.Event()
    last_seen: list[float] = []

    def ask() -> None:
        while not stop.is_set():
            if ring.find(plaintext) is not None:
                last_seen.append(time.time())

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        code = f"import time\ncatalog.revoke_key({key.id!r})\nprint(time.time())"
        revoked = float(elsewhere(tmp_path, code))
        deadline = time.monotonic() + 5
        while ring.find(plaintext) is not None and time.monotonic() < deadline:
            time.sleep(0.01)
    finally:
        stop.set()
        asking.join()
    assert ring.find(plaintext) is None
    assert last_seen[-1] - revoked < 1.0


def test_the_ring_sees_changed_settings_within_a_second(catalog: Catalog) -> None:
    ring = KeyRing(catalog)
    assert ring.app("nobody") is None
    before = ring.app(APP)
    assert before is not None
    catalog.set_app(APP, {"truncate_ip": "true"})
    deadline = time.monotonic() + 1
    while ring.app(APP) == before and time.monotonic() < deadline:
        time.sleep(0.01)
    assert ring.app(APP) == catalog.show_app(APP) != before


def test_the_ring_does_not_ask_for_a_fresh_key_twice(catalog: Catalog, tmp_path: Path) -> None:
    ring = KeyRing(catalog)
    plaintext, key = catalog.create_key(APP, "write")
    started = time.monotonic()
    assert ring.find(plaintext) == key
    with sqlite3.connect(tmp_path / "catalog.db") as connection:
        connection.execute("delete from keys")
    found = ring.find(plaintext)
    if time.monotonic() - started < 0.7:
        assert found == key


def test_processes_may_open_and_change_one_catalog_at_the_same_time(tmp_path: Path) -> None:
    errors: list[BaseException] = []

    def work(number: int) -> None:
        code = (
            f"app = catalog.create_app('app.{number}', 'App', 'USD').id\n"
            "for days in range(1, 21): catalog.set_app(app, {'click_lookback': f'{days}h'})\n"
        )
        try:
            elsewhere(tmp_path, code)
        except subprocess.CalledProcessError as error:
            errors.append(RuntimeError(error.stderr))

    workers = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert not errors
    with Catalog.open(tmp_path) as catalog:
        assert [app.version for app in catalog.apps()] == [21] * 4


def test_a_catalog_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    Catalog.open(tmp_path).close()
    with sqlite3.connect(tmp_path / "catalog.db") as connection:
        connection.execute("pragma user_version = 99")
    with pytest.raises(CatalogError, match="layout `99`"):
        Catalog.open(tmp_path)


def test_a_file_that_is_no_catalog_is_refused(tmp_path: Path) -> None:
    (tmp_path / "catalog.db").write_bytes(b"not a database, but long enough to be one" * 50)
    with pytest.raises(CatalogError, match="cannot use"):
        Catalog.open(tmp_path)


def test_the_catalog_is_its_owners_alone(tmp_path: Path) -> None:
    Catalog.open(tmp_path / "new").close()
    assert (tmp_path / "new").stat().st_mode & 0o077 == 0
    assert (tmp_path / "new" / "catalog.db").stat().st_mode & 0o077 == 0


def test_ids_that_are_cut_are_named_with_their_kind():
    settings = AppSettings().changed(
        {"cut": "device_id:tablet,user_id:a, b,idfa:x,device_id:tablet"}
    )
    assert settings.cuts == [("device_id", "tablet"), ("user_id", "a, b"), ("idfa", "x")]
    assert AppSettings.from_text(settings.text()) == settings
    assert settings.changed({"cut": "none"}) == AppSettings()
    for text in ("tablet", "device_id:", "email:x", ""):
        with pytest.raises(ConfigError, match="cut must name ids with their kind, got"):
            settings.changed({"cut": text})


def test_settings_of_an_older_catalog_have_no_cuts():
    text = json.dumps({"conversions": ["install"], "click_lookback": "7d", "policy": "overlap"})
    settings = AppSettings.from_text(text)
    assert (settings.cut, settings.conversions, settings.retention) == ((), ("install",), "none")


def test_every_setting_can_be_set():
    texts = {
        "conversions": "open",
        "click_lookback": "1h",
        "view_lookback": "2h",
        "policy": "overlap",
        "truncate_ip": "true",
        "retention": "9d",
        "cut": "user_id:test",
    }
    changed, before = asdict(AppSettings().changed(texts)), asdict(AppSettings())
    assert changed.keys() == texts.keys()
    assert all(changed[name] != before[name] for name in before)
