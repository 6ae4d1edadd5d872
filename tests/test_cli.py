"""The command line, as a newcomer and a program meet it."""

import csv
import http.server
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import unmogrowp as ug
from unmogrowp import _core
from unmogrowp.cli import main

APP = "com.example.app"
Cli = Callable[..., tuple[int, str, str]]

CLICK = {"event_type": "click", "timestamp": 1767225600, "user_id": "u1", "source": "ads"}
INSTALL = {
    "event_id": "00112233-4455-6677-8899-aabbccddeeff",
    "event_name": "install",
    "timestamp": "2026-01-02T00:00:00.5Z",
    "user_id": "u1",
    "ip": "203.0.113.9",
    "revenue": "-10.5",
    "currency": "usd",
}


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cli:
    """Run a command in an empty directory: exit code, stdout, stderr."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("UNMOGROWP_DATA_DIR", raising=False)

    def run(*words: str) -> tuple[int, str, str]:
        code = main(words)
        return code, *capsys.readouterr()

    return run


@pytest.fixture
def events(tmp_path: Path) -> Path:
    path = tmp_path / "events.ndjson"
    path.write_text("\n".join([json.dumps(CLICK), json.dumps(INSTALL), '{"event_name":"x"}']))
    return path


# What a mistake is told.


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["serve", "--prot", "1"], "did you mean `--port`"),
        (["serve", "--por", "1"], "did you mean `--port`"),
        (["serv"], "did you mean `serve`"),
        (["keys", "create", "--app", APP, "--role", "writ"], "did you mean `write`"),
        (["keys", "creat"], "did you mean `create`"),
        (["report", "atribution", "--app", APP], "did you mean `attribution`"),
        (["serve", "--port", "x"], "see `unmogrowp serve --help`"),
        (["apps", "create"], "see `unmogrowp apps create --help`"),
        (["apps", "set", APP, "policy"], "e.g. `click_lookback=7d`"),
        (["simulate", "--event", "1"], "did you mean `--events`"),
        (["parse", "x.ndjson", "-o", "x.xls"], "end its name with .parquet"),
        (["attribute", "x.ndjson", "--model", "linea"], "linear"),
        (["attribute", "x.ndjson", "--model", "nothing"], "first_touch"),
        (["report", "overview", "--app", APP, "--model", "linear"], "report attribution"),
        (["export", "--app", APP, "-o", "x.xls"], "end its name with .ndjson"),
        (["apps", "list", "--config", "none.toml"], "leave `--config` out"),
        ([], "see `unmogrowp --help`"),
    ],
)
def test_a_misuse_is_two_and_told_with_a_hint(cli: Cli, words: list[str], said: str) -> None:
    code, out, err = cli(*words)
    assert (code, out) == (2, "")
    assert err.startswith("error: ")
    assert said in err.partition("\nhint: ")[2]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["parse", "none.ndjson"], "cannot read `none.ndjson`: no such file"),
        (["apps", "show", "nobody"], "no app `nobody`"),
        (["keys", "create", "--app", "nobody", "--role", "read"], "no app `nobody`"),
        (["keys", "revoke", "nothing"], "no key `nothing`"),
        (["report", "overview", "--app", APP], "no server runs on `unmogrowp-data`"),
        (["export", "--app", APP, "-o", "x.csv"], "no server runs on `unmogrowp-data`"),
    ],
)
def test_a_failure_is_one_and_told_with_a_hint(cli: Cli, words: list[str], said: str) -> None:
    code, out, err = cli(*words)
    assert (code, out) == (1, "")
    assert err.startswith(f"error: {said}")
    assert "\nhint: " in err


@pytest.mark.parametrize(
    "words",
    [
        [], ["serve"], ["apps"], ["apps", "create"], ["apps", "set"], ["keys"],
        ["keys", "create"], ["keys", "revoke"], ["parse"], ["attribute"], ["report"],
        ["export"], ["schema"], ["simulate"], ["demo"],
    ],
)  # fmt: skip
def test_every_command_explains_itself(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main([*words, "--help"])
    assert ended.value.code == 0
    assert " ".join(["usage: unmogrowp", *words]) in capsys.readouterr().out


def test_the_module_is_the_program(tmp_path: Path) -> None:
    run = [sys.executable, "-m", "unmogrowp.cli", "keys", "revoke", "x", "--data-dir", "d"]
    done = subprocess.run(run, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("error: no key `x`\nhint: ")


# Apps and keys.


def test_an_app_gets_settings_and_keys(cli: Cli, tmp_path: Path) -> None:
    assert cli("apps", "create", APP, "--name", "Example", "--currency", "USD")[0] == 0
    assert (tmp_path / "unmogrowp-data" / "catalog.db").exists()
    code, out, _ = cli("apps", "set", APP, "click_lookback=7d", "policy=overlap", "--json")
    assert code == 0
    app = json.loads(out)
    assert (app["settings"]["click_lookback"], app["version"]) == ("7d", 2)
    assert "7d" in cli("apps", "show", APP)[1]
    assert [one["id"] for one in json.loads(cli("apps", "list", "--json")[1])] == [APP]
    made = json.loads(cli("keys", "create", "--app", APP, "--role", "write", "--json")[1])
    assert set(made) == {"key", "id", "app_id", "role"}
    assert (made["app_id"], made["role"]) == (APP, "write")
    assert cli("keys", "revoke", made["id"])[0] == 0
    (listed,) = json.loads(cli("keys", "list", "--json")[1])
    assert listed["id"] == made["id"]
    assert listed["revoked_at"] is not None
    assert made["key"] not in json.dumps(listed)


def test_a_key_alone_is_on_stdout(cli: Cli) -> None:
    cli("apps", "create", APP, "--currency", "USD")
    code, out, err = cli("keys", "create", "--app", APP, "--role", "read")
    assert code == 0
    assert out.startswith("ug_")
    assert len(out.split()) == 1
    assert "only now" in err


def test_an_unknown_setting_names_the_nearest(cli: Cli) -> None:
    cli("apps", "create", APP, "--currency", "USD")
    code, _, err = cli("apps", "set", APP, "click_lookbak=7d")
    assert (code, err) == (
        2,
        "error: unknown setting `click_lookbak`\nhint: did you mean `click_lookback`?\n",
    )


@pytest.mark.parametrize("is_first", [True, False])
def test_the_data_directory_may_stand_before_or_after_the_command(
    cli: Cli, tmp_path: Path, *, is_first: bool
) -> None:
    place, words = ["--data-dir", "there"], ["apps", "create", APP, "--currency", "USD"]
    assert cli(*(place + words if is_first else words + place))[0] == 0
    assert (tmp_path / "there" / "catalog.db").exists()


def test_a_settings_file_is_taken_and_its_mistakes_are_told(cli: Cli, tmp_path: Path) -> None:
    file = tmp_path / "unmogrowp.toml"
    file.write_text('data_dir = "elsewhere"')
    assert cli("apps", "list")[0] == 0
    assert (tmp_path / "elsewhere").exists()
    file.write_text('data_dri = "elsewhere"')
    code, _, err = cli("apps", "list")
    assert code == 2
    assert "did you mean `data_dir`?" in err


# Files.


def test_parse_says_what_is_good_and_what_is_wrong(cli: Cli, events: Path) -> None:
    code, out, err = cli("parse", str(events))
    assert (code, err) == (0, "")
    assert "2 events, 1 rejects" in out
    assert "missing_field" in out


def test_parse_joins_files_into_one(cli: Cli, events: Path, tmp_path: Path) -> None:
    import pyarrow.parquet

    output = tmp_path / "out.parquet"
    code, out, err = cli("parse", str(events), str(events), "-o", str(output))
    assert (code, out) == (0, "")
    assert err.count("2 events, 1 rejects") == 2
    table = pyarrow.parquet.read_table(output)
    assert table.column("event_name").to_pylist() == ["click", "install"] * 2
    assert table.column_names == [name for name, *_ in _core.schema()]


def test_parse_writes_arrow_that_attribute_reads(cli: Cli, events: Path, tmp_path: Path) -> None:
    output = tmp_path / "out.arrow"
    assert cli("parse", str(events), "-o", str(output))[0] == 0
    assert cli("attribute", str(output)) == cli("attribute", str(events))


def test_csv_is_written_as_the_server_writes_it(cli: Cli, events: Path, tmp_path: Path) -> None:
    output = tmp_path / "out.csv"
    assert cli("parse", str(events), "-o", str(output))[0] == 0
    with output.open(newline="") as file:
        _, install = csv.DictReader(file)
    assert install["event_id"] == INSTALL["event_id"]
    assert install["timestamp"] == "2026-01-02T00:00:00.500000Z"
    assert (install["ip"], install["source"]) == ("203.0.113.9", "")
    assert (install["revenue"], install["currency"]) == ("-10.50", "USD")
    assert "revenue_micros" not in install


@pytest.mark.parametrize(
    ("sent", "written"), [("0.000001", "0.000001"), ("100", "100.00"), ("-0.0010", "-0.001")]
)
def test_csv_money_is_exact(cli: Cli, tmp_path: Path, sent: str, written: str) -> None:
    given, output = tmp_path / "one.ndjson", tmp_path / "one.csv"
    given.write_text(json.dumps(INSTALL | {"revenue": sent}))
    assert cli("parse", str(given), "-o", str(output))[0] == 0
    with output.open(newline="") as file:
        (event,) = csv.DictReader(file)
    assert event["revenue"] == written


def test_rejects_have_a_file_of_their_own(cli: Cli, events: Path, tmp_path: Path) -> None:
    output = tmp_path / "bad.csv"
    assert cli("parse", str(events), "--rejects", str(output))[0] == 0
    with output.open(newline="") as file:
        (reject,) = csv.DictReader(file)
    assert (reject["row"], reject["code"]) == ("2", "missing_field")


def test_a_failed_write_leaves_the_old_file(cli: Cli, events: Path, tmp_path: Path) -> None:
    code, _, err = cli("parse", str(events), "-o", str(tmp_path / "none" / "x.parquet"))
    assert code == 1
    assert err.startswith("error: cannot write ")
    assert not list(tmp_path.rglob("*.part"))


def test_attribute_credits_models_side_by_side(cli: Cli, events: Path, tmp_path: Path) -> None:
    parquet, output = tmp_path / "events.parquet", tmp_path / "credit.csv"
    cli("parse", str(events), "-o", str(parquet))
    words = ["attribute", str(parquet), "--model", "linear", "--model", "time_decay"]
    assert cli(*words, "-o", str(output))[0] == 0
    with output.open(newline="") as file:
        rows = {row["channel"]: row for row in csv.DictReader(file)}
    assert float(rows["ads"]["linear_conversions"]) == 1
    assert float(rows["ads"]["time_decay_conversions"]) == 1
    assert float(rows["(unattributed)"]["linear_conversions"]) == 0
    assert cli(*words, "--click-lookback", "1h")[1].splitlines()[-1].startswith("(unattributed)")


def shared_tablet(path: Path) -> Path:
    """Two people on one tablet: one saw and clicked, the other installed."""
    day = "2026-01-0{}T00:00:00Z".format
    rows: list[dict[str, object]] = [
        {"event_type": "click", "event_name": "ad", "timestamp": day(1), "source": "clicked"},
        {"event_type": "impression", "event_name": "ad", "timestamp": day(2), "source": "seen"},
        {"event_name": "install", "timestamp": day(2)},
    ]
    users = ("ana", "ana", "ben")
    lines = [
        json.dumps({**row, "user_id": user, "device_id": "tablet"})
        for row, user in zip(rows, users, strict=True)
    ]
    path.write_text("\n".join(lines))
    return path


def test_attribute_can_put_clicks_first_and_cut_links(cli: Cli, tmp_path: Path) -> None:
    words = ["attribute", str(shared_tablet(tmp_path / "tablet.ndjson"))]

    def credit(*more: str) -> dict[str, str]:
        code, out, _ = cli(*words, *more)
        assert code == 0
        # Channel, currency, conversions, value.
        return {line.split()[0]: line.split()[2] for line in out.splitlines()[1:]}

    assert credit() == {"clicked": "0", "seen": "1", "(unattributed)": "0"}
    assert credit("--click-over-view") == {"clicked": "1", "seen": "0", "(unattributed)": "0"}
    alone = credit("--cut", "device_id:tablet")
    assert alone == {"clicked": "0", "seen": "0", "(unattributed)": "1"}
    code, _, err = cli(*words, "--cut", "tablet")
    assert (code, "expected KIND:ID, got `tablet`" in err) == (2, True)
    code, _, err = cli(*words, "--cut", "tablet:x")
    assert (code, "no kind of id `tablet` to cut" in err) == (1, True)


def test_attribute_draws_what_it_prints(cli: Cli, events: Path, tmp_path: Path) -> None:
    picture = tmp_path / "credit.svg"
    assert cli("attribute", str(events), "--plot", str(picture))[0] == 0
    assert picture.read_text().startswith("<?xml")
    code, _, err = cli("attribute", str(events), "--plot", str(tmp_path / "credit.doc"))
    assert code == 2
    assert "hint: name a file of .svg, .png, .pdf" in err


def test_attribute_says_how_sure_it_is(cli: Cli, events: Path, tmp_path: Path) -> None:
    output = tmp_path / "credit.csv"
    words = ["attribute", str(events), "--model", "linear", "-o", str(output)]
    assert cli(*words, "--intervals", "0.9", "--seed", "3")[0] == 0
    (row, *_) = csv.DictReader(output.read_text().splitlines())
    low, point, high = (float(row[f"linear_conversions{end}"]) for end in ("_low", "", "_high"))
    assert 0 <= low <= point < high
    code, _, said = cli(*words, "--intervals", "90")
    assert code == 1
    assert "share between 0 and 1" in said


def test_attribute_takes_touches_and_conversions(cli: Cli, tmp_path: Path) -> None:
    import datetime as dt

    import pyarrow as pa
    import pyarrow.parquet

    days = [dt.datetime(2026, 1, day, tzinfo=dt.UTC) for day in (1, 2)]
    table = {"user_id": [1, 1], "timestamp": days, "channel": ["mail", None]}
    path = tmp_path / "touches.parquet"
    pyarrow.parquet.write_table(pa.table({**table, "is_conversion": [False, True]}), path)
    code, out, _ = cli("attribute", str(path))
    assert code == 0
    assert out.splitlines()[1].split() == ["mail", "1"]
    assert cli("attribute", str(path), "--conversion", "install")[0] == 2
    code, _, err = cli("attribute", str(path), "--click-lookback", "soon")
    assert code == 1
    assert "click_lookback must be a duration, got `soon`" in err


def test_a_simulated_month_parses(cli: Cli, tmp_path: Path) -> None:
    path = tmp_path / "month.ndjson"
    assert cli("simulate", "--events", "500", "-o", str(path))[0] == 0
    assert "0 rejects" in cli("parse", str(path))[1]


# The schema.


def test_the_schema_shows_every_column(cli: Cli) -> None:
    code, out, _ = cli("schema")
    assert code == 0
    assert [line.split()[0] for line in out.splitlines()[1:]] == [c[0] for c in _core.schema()]


def test_the_json_schema_names_what_can_be_sent(cli: Cli) -> None:
    schema = json.loads(cli("schema", "--json")[1])
    sent = set(schema["properties"])
    stored = {name for name, *_ in _core.schema()}
    assert sent - stored == {"revenue"}
    assert stored - sent == {"revenue_micros", "client_timestamp", "received_at"}
    assert set(INSTALL) <= sent
    assert schema["properties"]["user_id"]["maxLength"] == 256


# The running server: any HTTP server that left a server.json.


class Answers(http.server.BaseHTTPRequestHandler):
    seen: list[tuple[str, str, str]]
    report: bytes
    status = 200
    cut_bytes = 0

    def do_GET(self) -> None:
        headers = self.headers
        self.seen.append((self.path, headers["Authorization"], headers["Accept"]))
        self.send_response(self.status)
        self.send_header("Content-Length", str(len(self.report) + self.cut_bytes))
        self.end_headers()
        self.wfile.write(self.report)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def answers(tmp_path: Path) -> Iterator[type[Answers]]:
    class Own(Answers):
        seen: list[tuple[str, str, str]] = []  # noqa: RUF012 - one list per test
        report = b"{}"

    with http.server.HTTPServer(("127.0.0.1", 0), Own) as server:
        serving = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        serving.start()
        (tmp_path / "unmogrowp-data").mkdir()
        url = f"http://127.0.0.1:{server.server_address[1]}"
        left = json.dumps({"url": url, "token": "t0ken", "pid": os.getpid()})
        (tmp_path / "unmogrowp-data" / "server.json").write_text(left)
        yield Own
        server.shutdown()
        serving.join()


REPORT = {
    "model": "linear",
    "rows": [{"channel": "ads", "conversions": 1.5, "value": "12.34", "currency": "USD"}],
    "unattributed": {"conversions": 0.5, "value": {"USD": "1", "EUR": "2"}},
    "total": {"conversions": 2.0},
}


def test_a_report_is_asked_for_with_the_token(cli: Cli, answers: type[Answers]) -> None:
    answers.report = json.dumps(REPORT).encode()
    words = ["report", "attribution", "--app", APP, "--model", "linear", "--from", "2026-01-01"]
    code, out, _ = cli(*words)
    assert code == 0
    path = f"/v1/reports/attribution?app_id={APP}&from=2026-01-01&model=linear"
    assert answers.seen == [(path, "Bearer t0ken", "application/json")]
    lines = [line.split() for line in out.splitlines()]
    assert lines[0] == ["channel", "conversions", "value", "currency"]
    assert lines[1] == ["ads", "1.5", "12.34", "USD"]
    assert lines[2] == ["(unattributed)", "0.5", "1", "USD,", "2", "EUR", "-"]
    assert lines[3] == ["total:", "conversions", "2"]


@pytest.mark.parametrize(
    ("flag", "accept"), [("--json", "application/json"), ("--csv", "text/csv")]
)
def test_a_report_for_programs_is_the_servers_own(
    cli: Cli, answers: type[Answers], flag: str, accept: str
) -> None:
    answers.report = b"as it is\n"
    assert cli("report", "overview", "--app", APP, flag) == (0, "as it is\n", "")
    assert answers.seen[0][2] == accept


def test_the_servers_refusal_is_the_error(cli: Cli, answers: type[Answers]) -> None:
    answers.status, answers.report = 404, b'{"title":"Not Found","detail":"no app `x`\\nhint: y"}'
    assert cli("report", "cohorts", "--app", "x") == (1, "", "error: no app `x`\nhint: y\n")


def test_an_export_is_whole_or_not_there(cli: Cli, answers: type[Answers], tmp_path: Path) -> None:
    answers.report = b"PAR1"
    path = tmp_path / "e.parquet"
    assert cli("export", "--app", APP, "-o", str(path))[0] == 0
    assert answers.seen[0][2] == "application/vnd.apache.parquet"
    assert path.read_bytes() == b"PAR1"
    answers.report, answers.cut_bytes = b"PA", 2
    code, _, err = cli("export", "--app", APP, "-o", str(path))
    assert code == 1
    assert "broke off" in err
    assert path.read_bytes() == b"PAR1"
    assert not list(tmp_path.glob(".*.part"))


# What the doctor sees.


def test_the_doctor_names_where_each_setting_came_from(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "unmogrowp.toml").write_text('[warehouse]\ndsn = "http://ug:secret@host:8123/db"\n')
    monkeypatch.setenv("UNMOGROWP_SPOOL__IDS_MAX", "5")
    code, said, _ = cli("doctor", "--json", "--data-dir", "here")
    settings = json.loads(said)["settings"]
    assert settings["warehouse.dsn"] == {
        "value": "http://ug:***@host:8123/db",
        "origin": "unmogrowp.toml",
    }
    assert settings["spool.ids_max"] == {"value": "5", "origin": "UNMOGROWP_SPOOL__IDS_MAX"}
    assert settings["data_dir"] == {"value": "here", "origin": "--data-dir"}
    assert settings["port"] == {"value": "8000", "origin": "default"}
    findings = json.loads(said)["findings"]
    assert code == int(not all(finding["is_good"] for finding in findings.values()))
    assert findings["server"]["is_good"]
    _, table, _ = cli("doctor")
    assert "secret" not in table
    assert "UNMOGROWP_SPOOL__IDS_MAX" in table


def test_the_doctor_tries_every_part(cli: Cli, tmp_path: Path) -> None:
    cli("apps", "create", "app", "--name", "App", "--data-dir", "data")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        (tmp_path / "unmogrowp.toml").write_text(
            f'port = {port}\n[warehouse]\ndsn = "http://ug:secret@127.0.0.1:1/db"\n'
        )
        code, said, _ = cli("doctor", "--json", "--data-dir", "data")
    assert code == 1
    assert "secret" not in said
    findings = json.loads(said)["findings"]
    wrong = {what for what, finding in findings.items() if not finding["is_good"]}
    assert wrong >= {"port", "warehouse"}
    assert f"127.0.0.1:{port}" in findings["port"]["said"]
    assert findings["catalog"] == {"is_good": True, "said": "1 apps"}
    assert "a sync takes" in findings["data directory"]["said"]
    assert ug.info().simd in findings["library"]["said"]
    assert findings["open files"]["said"]


def test_the_doctor_notices_a_server_that_is_gone(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    left = {"url": "http://127.0.0.1:1", "token": "t", "pid": 1}
    (tmp_path / "data" / "server.json").write_text(json.dumps(left))
    code, said, _ = cli("doctor", "--data-dir", "data")
    assert code == 1
    assert "does not answer" in said
