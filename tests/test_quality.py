"""`ug.quality`: each weakness of journeys that have it, and none of those that do not."""

import pytest

import unmogrowp as ug
from event_tables import event, events_of

pa = pytest.importorskip("pyarrow")

DAY = 24.0


def quality_of(rows, policy="partition"):
    return ug.quality(ug.journeys(events_of(rows), conversion=["install"], policy=policy))


def click(hours, user, source="ads"):
    return event("click", hours, user_id=user, source=source)


def install(hours, user):
    return event("install", hours, user_id=user)


def test_every_conversion_without_a_touch_has_its_cause():
    rows = [
        install(0, "never"),
        *(install(0, "later"), click(1, "later")),
        *(click(0, "early"), install(31 * DAY, "early")),
        *(click(0, "twice"), install(1, "twice"), install(2, "twice")),
        *(click(0, "fresh"), install(1, "fresh")),
        *(click(0, "old"), install(16 * DAY, "old")),
        *(click(0, "half"), install(15 * DAY, "half")),
        click(0, "open"),
    ]
    found = quality_of(rows)
    causes = ("never_touched", "touched_later", "touched_too_early", "touches_consumed")
    assert [getattr(found, cause) for cause in causes] == [1, 1, 1, 1]
    assert (found.conversions, found.unattributed, found.attributed) == (8, 4, 4)
    assert found.held_by_old_touches == 1
    # The later click, the early one and the open one end without a conversion.
    assert found.unconverted == 3
    overlap = quality_of(rows, "overlap")
    assert (overlap.touches_consumed, overlap.unattributed) == (0, 3)


def test_the_counts_are_those_of_the_models():
    rows = [
        row
        for number in range(200)
        for row in (
            click(number, f"u{number % 60}", "abcd"[number % 4]),
            install(number * 3.7, f"u{number % 70}"),
        )
    ]
    journeys = ug.journeys(events_of(rows), conversion=["install"])
    found = ug.quality(journeys)
    assert found.conversions == journeys.conversions
    assert found.unattributed == journeys.unattributed
    paths = journeys.to_paths()
    assert found.unconverted == sum(paths.column("nulls").to_pylist())
    assert found.attributed == sum(paths.column("conversions").to_pylist())


def test_a_healthy_table_has_nothing_to_say():
    rows = [row for n in range(50) for row in (click(0, f"u{n}"), install(1, f"u{n}"))]
    found = quality_of(rows)
    assert found.findings == ()
    assert set(found.disagreement.values()) == {0}
    assert repr(found) == "Quality of 50 conversions\n- nothing that weakens credit"


def test_findings_are_sentences_the_weightiest_first():
    lost = [row for n in range(60) for row in (install(0, f"lost{n}"), click(1, f"open{n}"))]
    both = [
        row
        for n in range(40)
        for row in (click(0, f"u{n}", "tv"), click(20 * DAY, f"u{n}"), install(40 * DAY, f"u{n}"))
    ]
    found = quality_of([*lost, *both])
    assert found.findings == (
        "100 % of attributed conversions would lose all touches if lookbacks were half as long.",
        (
            "60 % of conversions are by people never seen with a touch, and 71 % of journeys end"
            " without one: ids may be lost in between."
        ),
        "Fewer than 30 conversions went through tv: see intervals=.",
    )
    assert found.rare_channels == ("tv",)


def test_models_that_differ_are_named():
    paths = pa.table({"path": ["a > b"] * 2, "conversions": [50, 50]})
    journeys = ug.Journeys.from_paths(paths)
    found = ug.quality(journeys, [ug.FirstTouch(), ug.LastTouch(), ug.Linear()])
    assert found.disagreement == {
        ("first_touch", "last_touch"): 1,
        ("first_touch", "linear"): 0.5,
        ("last_touch", "linear"): 0.5,
    }
    assert "between first_touch and last_touch" in found.findings[0]
    assert found.held_by_old_touches == 0, "paths have no times"


def test_nothing_is_no_division_by_zero():
    assert quality_of([click(0, "u")]).findings == (
        "Fewer than 30 conversions went through ads: see intervals=.",
    )
    with pytest.raises(TypeError, match="expected journeys, got `list`"):
        ug.quality([])
