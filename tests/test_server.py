"""Every route of a running server, as a client meets it."""

import gzip
import json
import time
import zlib

import brotli
import httpx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from serving import APP, Server, cli, event, ndjson, until

pytestmark = pytest.mark.service


def test_each_shape_is_stored_and_counted(server: Server) -> None:
    one = json.dumps(event(1)).encode()
    assert server.post(one).json() == {"received": 1, "stored": 1, "duplicate": 0, "rejected": []}
    array = json.dumps([event(2), event(3)]).encode()
    assert server.post(array).json()["stored"] == 2
    batch = json.dumps({"batch": [event(4)]}).encode()
    assert server.post(batch).json()["stored"] == 1
    assert server.post(ndjson([event(5), event(6)])).json()["stored"] == 2
    assert server.post(ndjson([event(5), event(7)])).json() == {
        "received": 2,
        "stored": 1,
        "duplicate": 1,
        "rejected": [],
    }


def test_a_bad_event_never_harms_its_neighbours(server: Server) -> None:
    body = ndjson([event(10), event(11, timestamp="yesterday"), event(12)])
    answer = server.post(body).json()
    assert (answer["received"], answer["stored"]) == (3, 2)
    (reject,) = answer["rejected"]
    assert (reject["index"], reject["event_id"]) == (1, "e-11")
    assert (reject["code"], reject["field"]) == ("invalid_timestamp", "timestamp")
    server.settle()
    kept = server.get("/v1/rejects").json()["rows"]
    assert any(row["event_id"] == "e-11" and "yesterday" in row["raw"] for row in kept)


def _deflated(body: bytes) -> bytes:
    return zlib.compress(body)


@pytest.mark.parametrize(
    ("encoding", "compress"),
    [
        ("gzip", gzip.compress),
        ("zstd", zstandard.compress),
        ("deflate", _deflated),
        ("br", brotli.compress),
    ],
)
def test_compressed_bodies(server: Server, encoding: str, compress) -> None:
    body = compress(ndjson([event(100, event_id=f"{encoding}-{n}") for n in range(5)]))
    answer = server.post(body, **{"Content-Encoding": encoding})
    assert answer.json()["stored"] == 5, answer.text


def test_a_mislabelled_gzip_body_is_taken(server: Server) -> None:
    body = gzip.compress(ndjson([event(120)]))
    answer = server.post(body, **{"Content-Type": "application/x-www-form-urlencoded"})
    assert answer.json()["stored"] == 1


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (b"", {}, 400),
        (b"[{", {}, 400),
        (b"\x1f\x8b\x08 broken", {}, 400),
        (b"{}", {"Content-Encoding": "lzma"}, 415),
        (b"{}", {"Authorization": "Bearer ug_wrong"}, 401),
        (b"{}", {"Authorization": ""}, 401),
        (b" " * 10_000_001, {}, 413),
        (zstandard.compress(b" " * 70_000_000), {}, 413),
    ],
)
def test_a_refused_body_stores_nothing(
    server: Server, body: bytes, headers: dict[str, str], status: int
) -> None:
    answer = server.post(body, **headers)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem["status"] == status
    assert problem["detail"]


def test_ndjson_of_bad_lines_is_a_200_with_rejects(server: Server) -> None:
    answer = server.post(b"nonsense\nmore\n")
    assert answer.status_code == 200
    assert [reject["index"] for reject in answer.json()["rejected"]] == [0, 1]


@pytest.mark.parametrize("way", ["bearer", "basic", "header"])
def test_three_ways_to_send_a_key(server: Server, way: str) -> None:
    key = server.key("write")
    body = ndjson([event(140, event_id=f"way-{way}")])
    auth = httpx.BasicAuth(key, "") if way == "basic" else None
    headers = {"bearer": {"Authorization": f"Bearer {key}"}, "header": {"X-Api-Key": key}}
    answer = httpx.post(
        server.url + "/v1/events", content=body, headers=headers.get(way), auth=auth
    )
    assert answer.json()["stored"] == 1


def test_a_key_only_opens_its_own_door(server: Server) -> None:
    server.create_app("com.example.other")
    assert server.post(b"{}", **server.headers("read")).status_code == 403
    for app in ("com.example.other", "com.example.nothing"):
        answer = httpx.get(
            server.url + "/v1/events", params={"app_id": app}, headers=server.headers("read")
        )
        assert answer.status_code == 403
    mine = {"app_id": APP}
    write = server.headers("write")
    assert httpx.get(server.url + "/v1/events", params=mine, headers=write).status_code == 403
    assert httpx.get(server.url + "/v1/events", params=mine).status_code == 401
    foreign = server.post(ndjson([event(150, app_id="com.example.other")])).json()
    assert foreign["rejected"][0]["code"] == "app_mismatch"


def test_a_revoked_key_stops_within_a_second(server: Server) -> None:
    made = json.loads(
        cli("keys", "create", "--app", APP, "--role", "write", "--json", data_dir=server.data_dir)
    )
    headers = {"Authorization": f"Bearer {made['key']}"}
    assert server.post(ndjson([event(160)]), **headers).status_code == 200
    cli("keys", "revoke", made["id"], data_dir=server.data_dir)
    revoked = time.monotonic()
    until(lambda: server.post(b"{}", **headers).status_code == 401, 2.0, "the key was refused")
    assert time.monotonic() - revoked < 1.5


def test_ingest_answers_cors_preflights(server: Server) -> None:
    asked = {
        "Origin": "https://shop.example",
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization,content-type",
    }
    for path in ("/v1/events", "/v1/batch", "/batch/"):
        answer = httpx.options(server.url + path, headers=asked)
        assert answer.status_code in {200, 204}, path
        assert answer.headers["access-control-allow-origin"] in {"*", "https://shop.example"}


def test_stored_events_come_back_in_every_format(server: Server) -> None:
    sent = event(
        200,
        event_name="purchase",
        timestamp="2026-10-01T12:00:00.123456Z",
        revenue="12.340001",
        currency="eur",
        idfa="ABCDEF01-2345-4789-8BCD-EF0123456789",
        ip="10.1.2.3",
        source="meta",
        color="red",
        properties={"a": [1, 2]},
    )
    assert server.post(ndjson([sent])).json()["stored"] == 1
    server.settle()
    query = {"from": "2026-10-01", "to": "2026-10-02"}
    (line,) = server.get("/v1/events", **query).text.splitlines()
    row = json.loads(line)
    assert row["timestamp"] == "2026-10-01T12:00:00.123456Z"
    assert row["revenue"] == "12.340001"
    assert row["currency"] == "EUR"
    assert row["idfa"] == "abcdef01-2345-4789-8bcd-ef0123456789"
    assert row["properties"] == {"a": [1, 2], "color": "red"}
    assert row["ip"] == "10.1.2.3"
    assert "gaid" not in row or row["gaid"] is None
    csv = server.get("/v1/events", accept="text/csv", **query).text.splitlines()
    assert len(csv) == 2
    assert "12.340001" in csv[1]
    arrow = server.get("/v1/events", accept="application/vnd.apache.arrow.stream", **query)
    table = pa.ipc.open_stream(arrow.content).read_all()
    assert table["revenue_micros"].to_pylist() == [12_340_001]
    parquet = server.get("/v1/events", accept="application/vnd.apache.parquet", **query)
    table = pq.read_table(pa.BufferReader(parquet.content))
    assert table["revenue_micros"].to_pylist() == [12_340_001]
    assert json.loads(table["properties"].to_pylist()[0]) == {"a": [1, 2], "color": "red"}


def test_the_overview_counts_events_users_and_money(server: Server) -> None:
    day = "2026-09-0"
    events = [
        event(300 + n, event_name="buy", timestamp=f"{day}{1 + n % 2}T10:00:00Z", user_id=user)
        | {"revenue": "1.50", "currency": "USD"}
        for n, user in enumerate(["ana", "ana", "ben", "cyd"])
    ]
    assert server.post(ndjson(events)).json()["stored"] == 4
    server.settle()
    report = server.get("/v1/reports/overview", **{"from": f"{day}1", "to": f"{day}3"}).json()
    assert report["total"]["events"] == 4
    assert report["total"]["users"] == 3
    assert report["total"]["revenue"] == {"USD": "6.00"}
    assert [(row["events"], row["users"]) for row in report["rows"]] == [(2, 2), (2, 2)]
    cut = {"from": f"{day}1T10:00:00.000001Z", "to": f"{day}3"}
    assert server.get("/v1/reports/overview", **cut).json()["total"]["events"] == 2
    csv = server.get("/v1/reports/overview", accept="text/csv", **{"from": f"{day}1"})
    assert csv.text.splitlines()[0].startswith("time,event_name,events,users")


@pytest.mark.parametrize(
    ("accept", "given"),
    [
        ("text/csv;q=0.5, application/json", "application/json"),
        ("application/json;q=0.1, text/csv", "text/csv; charset=utf-8"),
        ("Text/CSV", "text/csv; charset=utf-8"),
        ("text/csv;q=0, */*;q=0.1", "application/json"),
        ("text/html, */*;q=0.8", "application/json"),
        ("text/csv;q=0", None),
        ("text/html", None),
    ],
)
def test_the_most_wanted_format_is_given(server: Server, accept: str, given: str | None) -> None:
    answer = server.get("/v1/reports/overview", accept=accept)
    if given is None:
        assert answer.status_code == 406
    else:
        assert answer.headers["content-type"] == given


@pytest.mark.parametrize(
    ("path", "query", "word"),
    [
        ("/v1/reports/attribution", {"model": "last_click"}, "last_touch"),
        ("/v1/reports/overview", {"from": "yesterday"}, "2026-03-01"),
        ("/v1/reports/overview", {"interval": "eon"}, "hour, day, week, month"),
        ("/v1/reports/attribution", {"group_by": "mood"}, "channel, campaign"),
        ("/v1/reports/overview", {"form": "2026-01-01"}, "from"),
        ("/v1/reports/overview", {"tz": "Mars/Olympus"}, "Europe/Berlin"),
    ],
)
def test_a_wrong_question_is_told_what_there_is(
    server: Server, path: str, query: dict[str, str], word: str
) -> None:
    answer = server.get(path, **query)
    assert answer.status_code == 400
    assert answer.headers["content-type"] == "application/problem+json"
    assert word in answer.json()["detail"]


def test_no_route_is_a_problem_too(server: Server) -> None:
    answer = httpx.get(server.url + "/nowhere")
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"
    refused = httpx.delete(server.url + "/v1/events")
    assert refused.status_code == 405
    assert {"GET", "POST"} <= set(refused.headers["allow"].split(", "))
    assert httpx.get(server.url + "/v1/track").status_code == 405


def test_the_key_is_looked_at_before_the_question(server: Server) -> None:
    nonsense = {"nothing": "here"}
    url = server.url + "/v1/reports/overview"
    assert httpx.get(url, params=nonsense).status_code == 401
    assert httpx.get(url, params=nonsense, headers=server.headers("write")).status_code == 403
    assert httpx.get(url, params=nonsense, headers=server.headers("read")).status_code == 400


@pytest.mark.parametrize("key", [b"Bearer \xfc\xe9", b"Basic ***", b"Basic /w==", b"Digest a"])
def test_a_key_that_is_no_text_is_a_401(server: Server, key: bytes) -> None:
    answer = httpx.get(server.url + "/v1/rejects", headers={"Authorization": key})
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"


def test_an_attribution_report_as_csv_adds_up(server: Server) -> None:
    start = "2026-08-01T1"
    events = [
        event(500, event_name="ad", event_type="click", source="csv", user_id="dan")
        | {"timestamp": f"{start}0:00:00Z"},
        *(
            event(501 + n, event_name="purchase", user_id=user, revenue="2", currency=currency)
            | {"timestamp": f"{start}1:00:00Z"}
            for n, (user, currency) in enumerate([("dan", "USD"), ("eve", "USD"), ("eva", "EUR")])
        ),
    ]
    assert server.post(ndjson(events)).json()["stored"] == 4
    server.settle()
    query = {"from": "2026-08-01", "to": "2026-08-02"}
    text = server.get("/v1/reports/attribution", accept="text/csv", **query).text
    assert text.splitlines() == [
        "channel,conversions,value,currency",
        "csv,1.0,2.00,USD",
        "(unattributed),2,2.00,EUR",
        "(unattributed),0,2.00,USD",
    ]


@pytest.mark.parametrize("report", ["overview", "campaigns", "cohorts", "attribution"])
def test_an_empty_report_as_csv_has_its_header(server: Server, report: str) -> None:
    query = {"from": "2001-01-01", "to": "2001-01-02"}
    (header, *rest) = server.get(f"/v1/reports/{report}", accept="text/csv", **query).text.split()
    assert header.count(",") >= 2
    assert not [line for line in rest if "(unattributed),0" not in line]


def test_bounds_far_outside_time_read_everything(server: Server) -> None:
    assert server.post(ndjson([event(400)])).status_code == 200
    server.settle()
    far = {"from": "0001-01-01", "to": "9999-12-31T23:59:59Z"}
    everything = server.get("/v1/reports/overview").json()["total"]
    assert server.get("/v1/reports/overview", **far).json()["total"] == everything


def test_health_metrics_and_schema(server: Server) -> None:
    assert httpx.get(server.url + "/health/live").json() == {"status": "ok"}
    ready = httpx.get(server.url + "/health/ready").json()
    assert ready["status"] == "ready"
    assert ready["duplicate_window_s"] >= 0
    metrics = httpx.get(server.url + "/metrics").text
    assert "unmogrowp_events_stored_total" in metrics
    assert "# TYPE unmogrowp_events_stored_total counter" in metrics
    schema = httpx.get(server.url + "/schema/openapi.json").json()
    from openapi_spec_validator import validate

    validate(schema)
    assert "application/problem+json" in str(schema["paths"]["/v1/events"]["post"]["responses"])
