"""Reports on credit: what the kernels computed, summed exactly."""

import datetime as dt
import random
from decimal import Decimal
from fractions import Fraction

import pytest

pytest.importorskip("pyarrow")
pytest.importorskip("chdb")
pytest.importorskip("clickhouse_connect")

from stored import NEW_YEAR, PATHS, credit, event, store
from unmogrowp.warehouse import Span, Warehouse
from unmogrowp.warehouse.attribution import Question, attribution
from unmogrowp.warehouse.campaigns import campaigns
from unmogrowp.warehouse.paths import paths

pytestmark = pytest.mark.service


def test_credit_and_value_are_conserved_to_the_micro(warehouse: Warehouse, app: str) -> None:
    credit(warehouse, app, PATHS)
    answer = attribution(warehouse, Span(app), Question(1, model="linear"))
    assert answer["total"] == {
        "conversions": 4,
        "value": {"EUR": "8.33", "USD": "10.000001"},
    }
    assert answer["unattributed"] == {"conversions": 1, "value": {"EUR": "3.33"}}
    shown = {(row["channel"], row["currency"]): row for row in answer["rows"]}
    assert list(shown) == [("a", "USD"), ("b", "EUR"), ("b", "USD"), ("c", "USD"), (None, "USD")]
    assert shown["b", "USD"]["value"] == "3.333333"
    assert shown["b", "EUR"]["value"] == "5.00"
    total = sum(row["conversions"] for row in answer["rows"])
    assert total == pytest.approx(3, abs=1e-9)
    for currency, alone in (("EUR", "3.33"), ("USD", "0")):
        shared = sum(Decimal(r["value"]) for r in answer["rows"] if r["currency"] == currency)
        assert shared + Decimal(alone) == Decimal(answer["total"]["value"][currency])


def test_sums_of_credit_do_not_depend_on_the_order_of_inserts(
    warehouse: Warehouse, app: str
) -> None:
    choice = random.Random(7)
    paths: list[tuple[list[str | None], int, str]] = [
        (choice.choices(["a", "b", "c"], k=choice.randint(1, 7)), choice.randrange(10**9), "USD")
        for _ in range(20_000)
    ]
    answers = []
    for parts in (1, 7, 23):
        for part in choice.sample(range(parts), parts):
            size = len(paths) // parts + 1
            chosen = range(part * size, min((part + 1) * size, len(paths)))
            credit(warehouse, f"{app}-{parts}", [paths[i] for i in chosen], first=chosen.start)
        answers.append(attribution(warehouse, Span(f"{app}-{parts}"), Question(1, model="linear")))
    assert answers[0] == answers[1] == answers[2]
    exact = {
        channel: sum(Fraction(1, len(path)) * path.count(channel) for path, _, _ in paths)
        for channel in ("a", "b", "c")
    }
    for row in answers[0]["rows"]:
        assert row["conversions"] == pytest.approx(float(exact[row["channel"]]), rel=1e-14)
    shared = sum(Decimal(row["value"]) for row in answers[0]["rows"])
    assert shared == Decimal(answers[0]["total"]["value"]["USD"])


def test_a_recomputed_conversion_counts_once(warehouse: Warehouse, app: str) -> None:
    credit(warehouse, app, PATHS)
    credit(warehouse, app, [(["z"], 7_000_000, "USD"), *PATHS[1:]], version=2)
    answer = attribution(warehouse, Span(app), Question(1))
    assert answer["total"]["conversions"] == 4
    assert {row["channel"] for row in answer["rows"]} == {"a", "b", "z", None}


def test_credits_can_be_filtered_and_grouped(warehouse: Warehouse, app: str) -> None:
    credit(warehouse, app, PATHS)
    installs = attribution(warehouse, Span(app), Question(1, conversions=["install"]))
    assert installs["total"]["conversions"] == 2
    dollars = attribution(warehouse, Span(app), Question(1, currency="USD", group_by="country"))
    assert [(r["country"], r["value"]) for r in dollars["rows"]] == [("DE", "10.000001")]
    days = attribution(warehouse, Span(app), Question(1, group_by="day", tz="America/New_York"))
    assert {row["day"] for row in days["rows"]} == {"2025-12-31"}
    early = Span(app, stop=NEW_YEAR + dt.timedelta(hours=1))
    assert attribution(warehouse, early, Question(1))["total"]["conversions"] == 1
    assert attribution(warehouse, Span(app), Question(2))["total"] == {
        "conversions": 0,
        "value": {},
    }


def test_paths_that_converted_most_come_first_with_value_by_currency(
    warehouse: Warehouse, app: str
) -> None:
    given: list[tuple[list[str | None], int, str]] = [
        (["b", None], 1_000_000, "USD"),
        (["b", None], 2_000_001, "EUR"),
        (["b", None], 3_000_000, "USD"),
        (["b"], 500_000, "EUR"),
        (["a"], 0, "EUR"),
        ([], 7_000_000, "USD"),
    ]
    credit(warehouse, app, given)
    answer = paths(warehouse, Span(app), Question(1), limit=2)
    assert answer["rows"] == [
        {
            "path": "b > (none)",
            "channels": ["b", None],
            "conversions": 3,
            "nulls": 0,
            "rate": 1.0,
            "value": {"EUR": "2.000001", "USD": "4.00"},
        },
        {
            "path": "a",
            "channels": ["a"],
            "conversions": 1,
            "nulls": 0,
            "rate": 1.0,
            "value": {"EUR": "0.00"},
        },
    ]
    value = {"EUR": "2.500001", "USD": "4.00"}
    assert answer["total"] == {"paths": 3, "conversions": 5, "nulls": 0, "value": value}
    dollars = paths(warehouse, Span(app), Question(1, currency="USD"), limit=9)
    assert [(row["path"], row["conversions"]) for row in dollars["rows"]] == [("b > (none)", 2)]
    nothing = paths(warehouse, Span(app), Question(2), limit=9)
    empty = {"paths": 0, "conversions": 0, "nulls": 0, "value": {}}
    assert nothing == {"rows": [], "total": empty}
    with pytest.raises(ValueError, match="group_by `country` is the conversion's"):
        paths(warehouse, Span(app), Question(1, group_by="country"), limit=9)


def test_an_unknown_model_names_the_known_ones(warehouse: Warehouse) -> None:
    with pytest.raises(ValueError, match="unknown model `last`\nhint: one of first_touch, "):
        attribution(warehouse, Span("a"), Question(1, model="last"))


def test_campaigns_show_touches_beside_conversions(warehouse: Warehouse, app: str) -> None:
    touch = {"source": "a", "campaign": "a"}
    store(
        warehouse,
        app,
        event("ad", 1, event_type="click", **touch),
        event("ad", 2, event_type="impression", **touch),
        event("ad", 3, event_type="impression", **touch),
    )
    credit(warehouse, app, PATHS[:1])
    answer = campaigns(warehouse, Span(app), Question(1, model="linear"))
    first = answer["rows"][0]
    assert [first["source"], first["impressions"], first["clicks"]] == ["a", 2, 1]
    assert [first["value"], first["currency"]] == ["3.333334", "USD"]
    assert answer["total"]["value"] == {"USD": "10.00"}
    assert sum(Decimal(row["value"]) for row in answer["rows"]) == Decimal(10)
    assert answer["total"]["conversions"] == 1
