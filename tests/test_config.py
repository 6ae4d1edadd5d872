"""Settings: every source, who wins, and what a mistake is told."""

from pathlib import Path

import pytest

from unmogrowp.config import Settings, load, masked
from unmogrowp.errors import ConfigError


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "unmogrowp.toml"


def test_nothing_said_is_all_defaults(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    loaded = load({}, env={})
    assert loaded.settings == Settings()
    assert set(loaded.origins.values()) == {"default"}
    assert loaded.settings.spool.ids_window_s == 86_400
    assert loaded.settings.warehouse_dsn == f"chdb://{tmp_path}/unmogrowp-data/warehouse"


def test_a_file_loses_to_the_environment_and_that_to_a_flag(file: Path) -> None:
    file.write_text('host = "a"\nport = 1\n[spool]\nids_max = 1\nids_window = "1h"\n')
    env = {"UNMOGROWP_PORT": "2", "UNMOGROWP_SPOOL__IDS_MAX": "2", "HOME": "/root"}
    loaded = load({"port": 3, "host": None}, env=env, path=file)
    settings, origins = loaded.settings, loaded.origins
    assert (settings.host, settings.port) == ("a", 3)
    assert (settings.spool.ids_max, settings.spool.ids_window_s) == (2, 3_600)
    assert (origins["host"], origins["port"]) == (str(file), "--port")
    assert origins["spool.ids_max"] == "UNMOGROWP_SPOOL__IDS_MAX"
    assert origins["limits.depth"] == "default"


def test_a_file_in_the_working_directory_is_found(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file.write_text("port = 7")
    monkeypatch.chdir(file.parent)
    assert load({}, env={}).settings.port == 7


def test_the_data_directory_comes_from_the_environment() -> None:
    assert load({}, env={"UNMOGROWP_DATA_DIR": "/x"}).settings.data_dir == Path("/x")


def test_threads_are_no_setting_of_the_server() -> None:
    assert load({}, env={"UNMOGROWP_THREADS": "2"}).settings == Settings()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("prot = 1", "did you mean `port`"),
        ("[spool]\nid_max = 1", "did you mean `spool.ids_max`"),
        ("bytes_max = 1", "did you mean `spool.bytes_max`"),
        ("spool = 1", "there are `spool.bytes_max`"),
        ("[port]\nx = 1", "has no settings below it"),
        ("port = 70000", "`port` in"),
        ("[spool]\nsegment_bytes = 9", "`spool.segment_bytes` in"),
        ("[limits]\ndepth = 0", "`limits.depth` in"),
        ("[limits]\ndepth = 'deep'", "`deep`"),
        ('[spool]\nids_window = "soon"', "spool.ids_window must be a duration, got `soon`"),
        ("port =", "is not TOML"),
    ],
)
def test_a_mistake_in_the_file_is_told_with_a_hint(file: Path, text: str, said: str) -> None:
    file.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load({}, env={}, path=file)
    assert said in str(caught.value)
    assert "\nhint: " in str(caught.value)


def test_a_mistake_in_the_environment_names_it() -> None:
    with pytest.raises(ConfigError, match=r"in UNMOGROWP_SPOOL__IDMAX\nhint: .*`spool.ids_max`"):
        load({}, env={"UNMOGROWP_SPOOL__IDMAX": "1"})


def test_a_named_file_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such file"):
        load({}, env={}, path=tmp_path / "none.toml")


def test_secrets_are_not_printed() -> None:
    dsn = "https://ug:hunter2@host:8443/db?password=hunter3"
    settings = load({"warehouse.dsn": dsn}, env={}).settings
    assert settings.warehouse.dsn == dsn
    assert "hunter" not in repr(settings)
    assert masked("chdb:///var/lib/ug") == "chdb:///var/lib/ug"


def test_a_wrong_secret_is_not_printed_either(file: Path) -> None:
    file.write_text("[warehouse]\ndsn = ['https://u:hunter2@h']")
    with pytest.raises(ConfigError) as caught:
        load({}, env={}, path=file)
    assert "hunter" not in str(caught.value)
