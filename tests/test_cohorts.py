"""Cohorts by hand: retention, LTV and ROAS of people one can count on one's fingers."""

import pyarrow as pa
import pytest

import unmogrowp as ug
from event_tables import event, events_of

EURO = 1_000_000


def paid(hours, euros, user, currency="EUR"):
    micros = round(euros * EURO)
    return event("purchase", hours, user_id=user, revenue_micros=micros, currency=currency)


# The newest event is 72 hours in. u and v come from ads, w from nowhere, x is 2 days old.
EVENTS = [
    event("click", -2, user_id="u", source="ads", campaign="spring"),
    event("install", 0, user_id="u", country="DE"),
    paid(0, 1, "u"),
    event("open", 23.999, user_id="u"),
    event("open", 24, user_id="u"),
    event("open", 25, user_id="u"),
    paid(50, 3, "u"),
    event("click", -700, user_id="v", source="ads"),
    event("click", -1, user_id="v", source="mail"),
    event("impression", -0.5, user_id="v", source="ads"),
    event("install", 0, user_id="v", country="FR"),
    event("open", 5, user_id="w"),
    event("open", 72, user_id="w"),
    event("click", 23, user_id="x", source="ads", campaign="summer"),
    event("install", 24, user_id="x", country="DE"),
    paid(30, 10, "x"),
    event("click", 0, user_id="nobody yet", source="ads"),
]


def rows_of(events, **options):
    given = events_of(events) if isinstance(events, list) else events
    return ug.cohorts(given, **options).to_pyarrow().to_pylist()


def test_users_retention_revenue_and_ltv_by_source():
    ads, nowhere = rows_of(EVENTS, days=[0, 1, 2, 3])
    assert ads == {
        "source": "ads",
        "currency": "EUR",
        "users": 3,
        # x is two days old at the newest event.
        "users_0": 3,
        "users_1": 3,
        "users_2": 3,
        "users_3": 2,
        "retention_0": 1.0,
        "retention_1": 1 / 3,
        "retention_2": 1 / 3,
        "retention_3": 0.0,
        "revenue_0": 11.0,
        "revenue_1": 11.0,
        "revenue_2": 14.0,
        "revenue_3": 14.0,
        "ltv_0": 11 / 3,
        "ltv_1": 11 / 3,
        "ltv_2": 14 / 3,
        # Of u and v only: x is no part of this mean.
        "ltv_3": 2.0,
        "spend": None,
        "roas_0": None,
        "roas_1": None,
        "roas_2": None,
        "roas_3": None,
    }
    assert (nowhere["source"], nowhere["currency"]) == ("(unattributed)", None)
    # Without an install w starts with the first thing done: 67 hours are two days.
    assert (nowhere["users"], nowhere["retention_2"], nowhere["users_3"]) == (1, 1.0, 0)
    assert nowhere["retention_3"] is None
    assert nowhere["ltv_3"] is None


def test_an_impression_older_than_a_day_leaves_the_click():
    ads, mail, _ = rows_of(EVENTS, view_lookback="20m", days=[1])
    assert (ads["users"], mail["source"], mail["users"]) == (2, "mail", 1)


def test_cohorts_by_what_the_touch_or_the_install_says():
    by_campaign = rows_of(EVENTS, by="campaign", days=[1])
    assert [(row["campaign"], row["users"]) for row in by_campaign] == [
        ("spring", 1),
        ("summer", 1),
        (None, 1),
        ("(unattributed)", 1),
    ]
    by_country = rows_of(EVENTS, by="country", days=[1])
    assert [(row["country"], row["users"]) for row in by_country] == [
        ("DE", 2),
        ("FR", 1),
        (None, 1),
    ]


def test_currencies_are_rows_of_their_own_and_users_repeat():
    rows = rows_of([*EVENTS, paid(1, 100, "u", "USD")], days=[2])
    shown = [(row["source"], row["currency"], row["users"], row["revenue_2"]) for row in rows]
    assert shown == [
        ("ads", "EUR", 3, 14.0),
        ("ads", "USD", 3, 100.0),
        ("(unattributed)", None, 1, 0.0),
    ]


def test_roas_needs_spend_that_is_not_nothing():
    spend = pa.table(
        {
            "date": ["2026-01-01"] * 5,
            "source": ["ads", "ads", "mail", "radio", "ads"],
            "amount": pa.array([20, 8, 0, 5, 70], pa.decimal128(10, 2)),
            "currency": ["EUR", "EUR", "EUR", "EUR", "USD"],
        }
    )
    rows = rows_of(EVENTS, spend=spend, days=[0, 2])
    shown = [(r["source"], r["currency"], r["users"], r["spend"], r["roas_2"]) for r in rows]
    assert shown == [
        ("ads", "EUR", 3, 28.0, 0.5),
        ("ads", "USD", 3, 70.0, 0.0),
        ("mail", "EUR", 0, 0.0, None),
        ("radio", "EUR", 0, 5.0, 0.0),
        ("(unattributed)", None, 1, None, None),
    ]


def test_refunds_are_taken_off_and_what_came_before_the_install_is_left_out():
    events = [
        paid(-5, 40, "u"),
        event("install", 0, user_id="u"),
        paid(1, 10, "u"),
        paid(2, -4, "u"),
        event("open", 30, user_id="u"),
    ]
    (row,) = rows_of(events, days=[1])
    assert (row["revenue_1"], row["ltv_1"], row["retention_1"]) == (6.0, 6.0, 1.0)


def test_the_earliest_install_is_the_start_in_any_order_of_rows():
    events = [
        event("install", 48, user_id="u"),
        event("click", 47, user_id="u", source="late"),
        event("click", -1, user_id="u", source="early"),
        event("open", -3, user_id="u"),
        event("install", 0, user_id="u"),
    ]
    for given in (events, events[::-1]):
        (row,) = rows_of(given, days=[2])
        assert (row["source"], row["retention_2"]) == ("early", 1.0)
    (row,) = rows_of(events, days=[2], install="first_open")
    assert row["source"] == "(unattributed)"


def test_people_are_the_same_in_one_app_only():
    events = [
        event("click", 0, user_id="u", device_id="d", source="ads"),
        event("install", 1, device_id="d"),
        event("install", 1, device_id="d", app_id="second"),
    ]
    assert [(row["source"], row["users"]) for row in rows_of(events)] == [
        ("ads", 1),
        ("(unattributed)", 1),
    ]


def test_an_id_that_is_cut_makes_nobody_one():
    """A tablet in a shop, on which two people installed."""
    events = [
        event("click", 0, user_id="u", source="ads"),
        event("install", 1, user_id="u", device_id="tablet"),
        event("install", 2, user_id="v", device_id="tablet"),
    ]
    assert [(row["source"], row["users"]) for row in rows_of(events)] == [("ads", 1)]
    assert [
        (row["source"], row["users"]) for row in rows_of(events, cut=[("device_id", "tablet")])
    ] == [("ads", 1), ("(unattributed)", 1)]
    with pytest.raises(ValueError, match="no kind of id `tablet`"):
        rows_of(events, cut=[("tablet", "device_id")])


def test_chunks_and_libraries_cannot_show():
    table = events_of(EVENTS)
    expected = ug.cohorts(table).to_pyarrow()
    chunks = pa.concat_tables([table.slice(row, 1) for row in range(len(table))])
    for other in (chunks, ug.Table.read(table).to_polars(), table.to_pandas()):
        assert ug.cohorts(other).to_pyarrow() == expected


def test_no_events_are_no_cohorts():
    assert rows_of(events_of(EVENTS).slice(0, 0)) == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"by": "nope"}, "no column `nope` for by"),
        ({"by": "timestamp"}, "column `timestamp` must be text"),
        ({"days": [-1]}, "days must be whole days from 0 on"),
        ({"days": [1.5]}, "days must be whole days from 0 on"),
        ({"days": [1, 1]}, "days must differ"),
        ({"click_lookback": "-1d"}, "click_lookback must not be negative"),
        ({"spend": pa.table({"source": ["ads"], "currency": ["EUR"]})}, "no column `amount`"),
        (
            {
                "spend": pa.table(
                    {"source": ["a", "b"], "currency": ["EUR"] * 2, "amount": [1, float("nan")]}
                )
            },
            "`amount` is not a finite number in row 1",
        ),
    ],
)
def test_what_cannot_be_meant_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        rows_of(EVENTS, **options)
