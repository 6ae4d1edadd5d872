"""Invariants 2, 3 and 7: the server's credit is the library's credit, whatever the order."""

import json
import random
from decimal import Decimal
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest

import unmogrowp as ug
from serving import APP, Server, cli, event, ndjson, serving, until
from unmogrowp.attribution import MODELS, model_named
from unmogrowp.simulate import Scenario, simulate

pytestmark = pytest.mark.service

TWIN = """
with touches as (select * from e where event_type in ('click', 'impression')),
conversions as (
    select *, lag(timestamp) over (partition by user_id, event_name order by timestamp) as previous
    from e where event_name in ('install', 'purchase')
),
pairs as (
    select c.event_id, c.revenue_micros, t.source, t.timestamp,
        count(*) over (partition by c.event_id) as touches,
        row_number() over (partition by c.event_id order by t.timestamp desc) as age
    from conversions c join touches t on t.user_id = c.user_id
        and t.timestamp <= c.timestamp
        and t.timestamp >= c.timestamp
            - case when t.event_type = 'click' then interval 30 day else interval 1 day end
        and (c.previous is null or t.timestamp > c.previous)
)
select source, sum(1.0 / touches) as linear,
    sum(case when age = 1 then 1 else 0 end) as last_touch,
    count(distinct event_id) as conversions
from pairs group by source order by source
"""


def send_shuffled(server: Server, lines: list[bytes], seed: int) -> None:
    order = random.Random(seed)
    shuffled = order.sample(lines, len(lines))
    while shuffled:
        size = order.randint(1, 400)
        batch, shuffled = shuffled[:size], shuffled[size:]
        answer = server.post(b"\n".join(batch)).json()
        assert not answer["rejected"]


def credit(server: Server, model: str, **query: str) -> tuple[dict[str, float], float]:
    report = server.get("/v1/reports/attribution", model=model, **query).json()
    rows: dict[str, float] = {}
    for row in report["rows"]:
        if not row["conversions"]:
            continue
        rows[row["channel"]] = rows.get(row["channel"], 0.0) + row["conversions"]
    shared = sum(rows.values()) + report["unattributed"]["conversions"]
    assert shared == pytest.approx(report["total"]["conversions"], rel=1e-9)
    return rows, report["unattributed"]["conversions"]


def by_channel(table: pa.Table, name: str) -> dict[str, float]:
    """The sums of a column over currencies."""
    sums: dict[str, float] = {}
    pairs = zip(table["channel"].to_pylist(), table[name].to_pylist(), strict=True)
    for channel, share in pairs:
        sums[channel] = sums.get(channel, 0.0) + share
    return sums


VARIANTS = ("markov_2", "shapley_conversion_rate")


def test_library_and_server_give_the_same_credit(tmp_path: Path) -> None:
    names = [*MODELS, *VARIANTS]
    body = b"".join(simulate(Scenario(app_id=APP, events=6_000, seed=11)))
    lines = body.splitlines()
    journeys = ug.journeys(ug.parse(body).events, conversion=["install", "purchase"])
    table = ug.compare(journeys, [model_named(name) for name in names]).to_pyarrow()
    with serving(tmp_path / "data") as server:
        send_shuffled(server, lines, seed=3)
        server.settle()
        for name in names:
            expected = by_channel(table, f"{name}_conversions")
            unattributed = expected.pop("(unattributed)")
            rows, alone = credit(server, name)
            assert alone == unattributed, name
            known = {channel: share for channel, share in expected.items() if share}
            assert rows.keys() >= known.keys(), name
            for channel, share in expected.items():
                assert rows.get(channel, 0.0) == pytest.approx(share, rel=1e-9, abs=1e-9), name
        assert_same_paths(server, journeys)
        for model in (ug.TimeDecay(), ug.Markov()):
            assert_intervals(server, journeys, model)
        assert_range_selects_conversions(server)


def assert_same_paths(server: Server, journeys: ug.Journeys) -> None:
    report = server.get("/v1/reports/paths", limit=str(10**6)).json()
    expected = journeys.to_paths().to_pyarrow().to_pylist()
    known = {tuple(row["path"]): (row["conversions"], row["nulls"]) for row in expected}
    found = {tuple(r["channels"]): (r["conversions"], r["nulls"]) for r in report["rows"]}
    assert found == known
    assert report["total"]["paths"] == len(known)
    counts = [row["conversions"] for row in report["rows"]]
    assert counts == sorted(counts, reverse=True)
    spent = sum(Decimal(row["value"].get("USD", "0")) for row in report["rows"])
    assert spent == Decimal(report["total"]["value"]["USD"])
    assert list(report["total"]["value"]) == ["USD"], "an install has no currency"
    assert len(server.get("/v1/reports/paths", limit="3").json()["rows"]) == 3
    csv = server.get("/v1/reports/paths", accept="text/csv", limit="1").text.splitlines()
    assert csv[0] == "path,conversions,nulls,rate,value,channels"


def assert_intervals(
    server: Server, journeys: ug.Journeys, model: ug.TimeDecay | ug.Markov
) -> None:
    """They are about as wide as the library's, which draws other people."""
    table = ug.compare(journeys, [model], intervals=0.9, resamples=400).to_pyarrow()
    ends = [by_channel(table, f"{model.name}_conversions_{end}") for end in ("low", "high")]
    asked = {"model": model.name, "intervals": "0.9", "resamples": "400"}
    report = server.get("/v1/reports/attribution", **asked).json()
    installs = [row for row in report["rows"] if row["currency"] is None]
    assert len(installs) > 3
    for row in [*installs, report["unattributed"]]:
        low, high = row["conversions_low"], row["conversions_high"]
        assert low < row["conversions"] < high
        if "channel" in row:
            wide = ends[1][row["channel"]] - ends[0][row["channel"]]
            assert 0.3 < (high - low) / wide < 3
    assert server.get("/v1/reports/attribution", **asked).json() == report
    other = server.get("/v1/reports/attribution", **asked, seed="1").json()
    assert other["rows"] != report["rows"]
    plain = server.get("/v1/reports/attribution", model=model.name).json()
    ended = ("conversions_low", "conversions_high")
    without = [{k: v for k, v in row.items() if k not in ended} for row in report["rows"]]
    assert without == plain["rows"]
    csv = server.get("/v1/reports/attribution", accept="text/csv", **asked).text.splitlines()
    assert csv[0] == "channel,conversions,value,currency,conversions_low,conversions_high"
    assert csv[-1].startswith("(unattributed),")
    for wrong in ("1", "0", "much"):
        refused = server.get("/v1/reports/attribution", intervals=wrong)
        assert refused.status_code == 400, wrong


def assert_range_selects_conversions(server: Server) -> None:
    """Two halves of the time have all conversions and all journeys without one."""
    whole, early, late = (
        server.get("/v1/reports/paths", conversion="install", **bounds).json()["total"]
        for bounds in ({}, {"to": "2026-01-16"}, {"from": "2026-01-16"})
    )
    for name in ("conversions", "nulls"):
        assert early[name] + late[name] == whole[name]
        assert early[name]
        assert late[name]
    for model in ("markov", "shapley"):
        rows, alone = credit(server, model, conversion="install", to="2026-01-16")
        assert sum(rows.values()) == pytest.approx(early["conversions"], rel=1e-9)
        assert alone > 0
    by_campaign = server.get("/v1/reports/attribution", model="markov", group_by="campaign").json()
    assert "campaign" in by_campaign["rows"][0]
    refused = server.get("/v1/reports/attribution", model="markov", group_by="country")
    assert refused.status_code == 400
    assert "whole paths" in refused.json()["detail"]
    unknown = server.get("/v1/reports/attribution", model="markow")
    assert unknown.status_code == 400
    assert "there are first_touch" in unknown.json()["detail"]


def test_a_twin_in_sql_agrees_with_the_server(tmp_path: Path) -> None:
    choice = random.Random(5)
    events = []
    for n in range(4_000):
        kind = choice.choice(["click", "impression", "install", "purchase", "open"])
        fields: dict[str, object] = {"user_id": f"u{choice.randrange(300)}", "event_name": kind}
        if kind in {"click", "impression"}:
            fields |= {"event_type": kind, "source": choice.choice(["meta", "tiktok", "unity"])}
        events.append(event(n, **fields) | {"timestamp": 1_780_000_000_000 + n * 1_000_003})
    with serving(tmp_path / "data") as server:
        send_shuffled(server, [json.dumps(one).encode() for one in events], seed=1)
        server.settle()
        stored = server.get("/v1/events", accept="application/vnd.apache.arrow.stream").content
        e = pa.ipc.open_stream(stored).read_all()
        assert e.num_rows == len(events)
        twin = duckdb.sql(TWIN).fetchall()
        assert twin
        linear, _ = credit(server, "linear")
        last, _ = credit(server, "last_touch")
        assert linear == pytest.approx({row[0]: row[1] for row in twin}, rel=1e-9)
        assert last == pytest.approx({row[0]: row[2] for row in twin}, rel=1e-9)


def test_a_late_touch_and_a_late_link_change_the_credit(tmp_path: Path) -> None:
    with serving(tmp_path / "data") as server:
        install = event(1, event_name="install", user_id="ana", timestamp="2026-10-02T12:00:00Z")
        server.post(ndjson([install]))
        server.settle()
        assert credit(server, "last_touch") == ({}, 1)
        click = {"event_name": "ad", "event_type": "click", "timestamp": "2026-10-02T11:00:00Z"}
        late = event(2, **click, source="meta", user_id="ana")
        server.post(ndjson([late]))
        server.settle()
        assert credit(server, "last_touch") == ({"meta": 1.0}, 0)
        # A touch of a device nobody knows; only a later event says whose it is.
        later = event(3, **click, source="tiktok", user_id=None, device_id="phone")
        later["timestamp"] = "2026-10-02T11:30:00Z"
        server.post(ndjson([later]))
        server.settle()
        assert credit(server, "last_touch") == ({"meta": 1.0}, 0)
        link = event(4, user_id="ana", device_id="phone", timestamp="2026-10-03T00:00:00Z")
        server.post(ndjson([link]))
        server.settle()
        assert credit(server, "last_touch") == ({"tiktok": 1.0}, 0)
        assert server.get("/v1/reports/overview").json()["total"]["users"] == 1


def test_a_change_of_settings_recomputes_the_app(tmp_path: Path) -> None:
    with serving(tmp_path / "data") as server:
        day = "2026-10-0"
        events = [
            event(1, event_name="ad", event_type="click", source="meta", timestamp=f"{day}1"),
            event(2, event_name="signup", timestamp=f"{day}3"),
        ]
        events = [
            {**one, "user_id": "ana", "timestamp": f"{one['timestamp']}T00:00:00Z"}
            for one in events
        ]
        server.post(ndjson(events))
        server.settle()
        assert credit(server, "linear") == ({}, 0)
        cli("apps", "set", APP, "conversions=signup", data_dir=server.data_dir)

        def is_credited() -> bool:
            return credit(server, "linear") == ({"meta": 1.0}, 0)

        until(is_credited, 10, "the app was computed anew")
        settings = server.get("/v1/reports/attribution").json()["settings"]
        assert settings["conversions"] == ["signup"]
        cli("apps", "set", APP, "click_lookback=1d", data_dir=server.data_dir)
        until(lambda: credit(server, "linear") == ({}, 1), 10, "the app was computed anew")


def test_a_time_range_is_the_whole_historys_credit_filtered(tmp_path: Path) -> None:
    with serving(tmp_path / "data") as server:
        events = [
            event(1, event_name="ad", event_type="click", source="meta")
            | {"timestamp": "2026-09-30T23:00:00Z"},
            event(2, event_name="purchase", revenue="3.5", currency="EUR")
            | {"timestamp": "2026-10-01T00:00:00Z"},
        ]
        server.post(ndjson([{**one, "user_id": "ana"} for one in events]))
        server.settle()
        october = {"from": "2026-10-01", "to": "2026-11-01"}
        report = server.get("/v1/reports/attribution", **october).json()
        assert [(row["channel"], row["value"]) for row in report["rows"]] == [("meta", "3.50")]
        assert report["rows"][0]["currency"] == "EUR"
        september = {"from": "2026-09-01", "to": "2026-10-01"}
        assert server.get("/v1/reports/attribution", **september).json()["rows"] == []
        campaigns = server.get("/v1/reports/campaigns").json()
        assert campaigns["rows"][0]["clicks"] == 1
        cohorts = server.get("/v1/reports/cohorts", days="1").json()
        assert cohorts["total"]["users"] == 1
