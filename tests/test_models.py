"""Models of whole paths beside exact fractions, their laws, and the edges of the contract."""

import json
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import attribution_reference
import paths_reference as reference
import unmogrowp as ug
from rule_models import MODELS as RULES
from test_attribution_laws import journeys as timed_journeys
from test_attribution_laws import policies, table_of, tables

CASES = json.loads((Path(__file__).parent / "cases" / "paths" / "models.json").read_text())
MODELS = [
    (ug.Markov(), reference.markov),
    (ug.Markov(allocation="per_journey", name="per_journey"), reference.markov_per_journey),
    (ug.Shapley(), reference.shapley_subset),
    (ug.Shapley(ordered=True), reference.shapley_subset),
    (ug.Shapley("conversion_rate"), reference.shapley_conversion_rate),
    (ug.Counterfactual(), reference.counterfactual),
]

channels = st.sampled_from(["a", "b", "c", "d"])
counts = st.tuples(st.integers(0, 5), st.integers(0, 5))
aggregates = st.dictionaries(
    st.lists(channels, min_size=1, max_size=5).map(tuple), counts, min_size=1, max_size=8
)


def from_paths(found, **columns):
    return ug.Journeys.from_paths(
        pa.table(
            {
                "path": pa.array([list(path) for path in found], pa.list_(pa.string())),
                "conversions": [conversions for conversions, _ in found.values()],
                "nulls": [nulls for _, nulls in found.values()],
                **columns,
            }
        )
    )


def credit_of(js, model, *, what="conversions"):
    """By channel, without the row that is no channel."""
    rows = ug.compare(js, [model]).to_pyarrow().to_pylist()
    assert rows[-1]["channel"] == "(unattributed)"
    return {row["channel"]: row[f"{model.name}_{what}"] for row in rows[:-1]}


def close(expected):
    return {
        key: pytest.approx(float(value), rel=1e-10, abs=1e-12) for key, value in expected.items()
    }


# --- against the reference ------------------------------------------------------------------


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_cases_worked_by_hand(case):
    paths = pa.table(
        {name: [row[name] for row in case["paths"]] for name in ("path", "conversions", "nulls")}
    )
    js = ug.Journeys.from_paths(paths)
    for name, expected in case["credit"].items():
        assert credit_of(js, ug.attribution.model_named(name)) == close(expected), name
    effects = ug.removal_effects(js, ug.Markov())
    assert effects.p_conversion == pytest.approx(case["p_conversion"], rel=1e-12)
    shown = zip(
        effects.column("channel").to_pylist(),
        effects.column("removal_effect").to_pylist(),
        strict=True,
    )
    assert dict(shown) == close(case["effects"])


@settings(deadline=None)
@given(aggregates)
def test_every_model_agrees_with_exact_fractions(found):
    js = from_paths(found)
    for model, rule in MODELS:
        assert credit_of(js, model) == close(rule(found)), model


@settings(deadline=None, max_examples=50)
@given(aggregates, st.integers(1, 5))
def test_chains_of_any_order_agree_with_exact_fractions(found, order):
    js = from_paths(found)
    model = ug.Markov(order=order)
    assert credit_of(js, model) == close(reference.markov(found, order=order))
    effects = ug.removal_effects(js, model)
    conversions, nulls = map(sum, zip(*found.values(), strict=True))
    empirical = conversions / (conversions + nulls) if conversions else 0.0
    assert effects.p_conversion == pytest.approx(empirical, rel=1e-12)
    assert reference.p_conversion(found, order=order) == pytest.approx(empirical, rel=1e-12)


@settings(deadline=None, max_examples=60)
@given(aggregates, st.integers(1, 3))
def test_what_is_redistributed_goes_where_the_rest_goes(found, order):
    js, model = from_paths(found), ug.Markov(order, removal="redistribute")
    expected = reference.effects(found, order=order, redistributes=True)
    shown = ug.removal_effects(js, model)
    columns = (shown.column(name).to_pylist() for name in ("channel", "removal_effect"))
    assert dict(zip(*columns, strict=True)) == close(expected)
    # A channel in the way earns nothing.
    worths = {channel: max(effect, 0) for channel, effect in expected.items()}
    conversions = sum(converted for converted, _ in found.values())
    assert credit_of(js, model) == close(reference.shared(worths, conversions))


@settings(deadline=None)
@given(tables, policies, st.booleans())
def test_rows_make_the_paths_of_the_definition(rows, policy, click_over_view):
    js = timed_journeys(table_of(rows), policy=policy, click_over_view=click_over_view)
    own = attribution_reference.journeys(rows, policy=policy)
    if click_over_view:
        own = [attribution_reference.clicks_first(touches, rows) for touches in own]
    found = reference.paths(rows, journeys=own, click_over_view=click_over_view)
    assume(found)
    for model, rule in MODELS:
        credit, expected = credit_of(js, model), rule(found)
        # A channel of which all touches were left out still has its row.
        assert all(credit.pop(channel) == 0 for channel in set(credit) - set(expected))
        assert credit == close(expected), model


# --- laws -----------------------------------------------------------------------------------


@settings(deadline=None)
@given(aggregates)
def test_credit_and_value_are_conserved(found):
    values = [7 * index - 3 for index in range(len(found))]
    js = from_paths(found, value=values)
    conversions = sum(converted for converted, _ in found.values())
    for model, _ in MODELS:
        assert sum(credit_of(js, model).values()) == pytest.approx(conversions, rel=1e-9, abs=1e-9)
        if conversions and model.name not in {"markov", "shapley_conversion_rate"}:
            total = sum(credit_of(js, model, what="value").values())
            assert total == pytest.approx(sum(values), rel=1e-9, abs=1e-9)


@settings(deadline=None)
@given(tables, policies)
def test_whole_paths_credit_what_their_journeys_do(rows, policy):
    js = timed_journeys(table_of(rows), policy=policy)
    paths = js.to_paths(whole=True).to_pyarrow()
    # Half of the machines have half of the rows.
    again = ug.Journeys.from_paths(pa.concat_tables([paths[::2], paths[1::2]]))
    timeless = [model for model in RULES if model.name not in {"time_decay", "w_shape"}]
    models = [*timeless, *(model for model, _ in MODELS)]
    models = list({model.name: model for model in models}.values())
    own, other = (ug.compare(journeys, models).to_pyarrow() for journeys in (js, again))
    assert other.column_names == own.column_names
    for name in own.column_names[1:]:
        assert other[name].to_pylist() == pytest.approx(own[name].to_pylist(), rel=1e-9, abs=1e-9)


@settings(deadline=None)
@given(aggregates)
def test_repeats_in_a_row_do_not_matter_to_order_one(found):
    folded = {}
    for path, (conversions, nulls) in found.items():
        short = tuple(c for n, c in enumerate(path) if n == 0 or path[n - 1] != c)
        old = folded.get(short, (0, 0))
        folded[short] = (old[0] + conversions, old[1] + nulls)
    assert credit_of(from_paths(found), ug.Markov()) == close(
        credit_of(from_paths(folded), ug.Markov())
    )


@settings(deadline=None)
@given(aggregates)
def test_other_names_of_channels_only_rename_rows(found):
    names = {"a": "z", "b": "y", "c": "x", "d": "w"}
    renamed = {tuple(names[c] for c in path): counts for path, counts in found.items()}
    for model, _ in MODELS:
        credit = credit_of(from_paths(found), model)
        assert credit_of(from_paths(renamed), model) == close(
            {names[channel]: value for channel, value in credit.items()}
        )


@settings(deadline=None)
@given(aggregates, st.randoms(use_true_random=False))
def test_splitting_counts_and_the_order_of_rows_change_nothing(found, random):
    rows = []
    for path, (conversions, nulls) in found.items():
        rows += [(path, 1, 0)] * conversions + [(path, 0, 1)] * nulls + [(path, 0, 0)]
    models = [model for model, _ in MODELS] + [ug.Markov(2), ug.Markov(3)]
    split = compared(rows, models)
    random.shuffle(rows)
    assert compared(rows, models).equals(split)
    whole = ug.compare(from_paths(found), models).to_pyarrow()
    for name in whole.column_names[1:]:
        assert split[name].to_pylist() == pytest.approx(whole[name].to_pylist(), rel=1e-12)


def compared(rows, models):
    paths, conversions, nulls = zip(*rows, strict=True)
    table = pa.table(
        {"path": [list(path) for path in paths], "conversions": conversions, "nulls": nulls}
    )
    return ug.compare(ug.Journeys.from_paths(table), models).to_pyarrow()


# --- the edges of the contract --------------------------------------------------------------


def test_without_a_conversion_every_effect_and_credit_is_nothing():
    js = from_paths({("a", "b"): (0, 3)})
    assert ug.removal_effects(js, ug.Markov()).column("removal_effect").to_pylist() == [0, 0]
    for model, _ in MODELS:
        assert credit_of(js, model) == {"a": 0, "b": 0}


def test_a_channel_that_never_converted_keeps_its_row():
    js = from_paths({("a",): (2, 0), ("b",): (0, 1)})
    assert credit_of(js, ug.Markov()) == {"a": 2, "b": 0}


def test_conversions_without_touches_are_in_no_chain():
    js = from_paths({(): (5, 9), ("a",): (1, 1)})
    assert ug.removal_effects(js, ug.Markov()).p_conversion == 0.5
    rows = ug.compare(js, [ug.Markov(), ug.Shapley()]).to_pyarrow().to_pylist()
    assert rows[-1] == {
        "channel": "(unattributed)",
        "markov_conversions": 5,
        "shapley_conversions": 5,
    }


def test_the_null_channel_is_a_channel_of_its_own():
    table = pa.table(
        {"path": pa.array([[None, "a"], ["a"]], pa.list_(pa.string())), "conversions": [1, 1]}
    )
    effects = ug.removal_effects(ug.Journeys.from_paths(table), ug.Markov())
    assert effects.column("channel").to_pylist() == ["a", None]
    assert effects.column("removal_effect").to_pylist() == [1.0, 0.5]


def test_paths_that_are_dropped_take_their_conversions_with_them():
    js = from_paths({("a", "b"): (1, 0), ("b",): (3, 4)})
    effects = ug.removal_effects(js, ug.Markov(removal="drop_paths"))
    assert effects.column("removal_effect").to_pylist() == [0.25, 1.0]


def test_each_currency_is_shared_by_itself():
    table = pa.table(
        {
            "user_id": [1, 1, 2, 2],
            "timestamp": pa.array([1, 2, 1, 2], pa.timestamp("us")),
            "channel": ["a", None, "b", None],
            "is_conversion": [False, True, False, True],
            "value": [0, 10, 0, 6],
            "currency": [None, "EUR", None, "USD"],
        }
    )
    rows = ug.compare(ug.journeys(table, currency="currency"), [ug.Markov()]).to_pyarrow()
    assert rows.to_pylist()[:4] == [
        {"channel": "a", "currency": "EUR", "markov_conversions": 0.5, "markov_value": 5.0},
        {"channel": "a", "currency": "USD", "markov_conversions": 0.5, "markov_value": 3.0},
        {"channel": "b", "currency": "EUR", "markov_conversions": 0.5, "markov_value": 5.0},
        {"channel": "b", "currency": "USD", "markov_conversions": 0.5, "markov_value": 3.0},
    ]


@pytest.mark.parametrize(
    ("model", "name"),
    [
        (ug.Markov(), "markov"),
        (ug.Markov(order=2), "markov_2"),
        (ug.Markov(name="chain"), "chain"),
        (ug.Shapley(), "shapley"),
        (ug.Shapley(game="conversion_rate"), "shapley_conversion_rate"),
        (ug.Shapley(ordered=True), "shapley_ordered"),
        (ug.Counterfactual(), "counterfactual"),
    ],
)
def test_models_are_named_by_what_they_are(model, name):
    assert model.name == name
    assert model == type(model)(**{f: getattr(model, f) for f in model.__dataclass_fields__})


@pytest.mark.parametrize("model", [ug.Markov(), ug.Shapley(game="conversion_rate")])
def test_models_without_touches_say_what_to_use(model):
    js = from_paths({("a",): (1, 0)})
    with pytest.raises(
        ValueError, match=r"says nothing of single touches\nhint: use `ug\.compare`"
    ):
        ug.attribute(js, model)


@pytest.mark.parametrize(
    ("model", "credit"),
    [
        (ug.Shapley(), [0.25, 0.5, 0.25]),
        (ug.Shapley(ordered=True), [0.25, 0.5, 0.25]),
        # Without `b` half of the journeys still convert, without `a` none.
        (ug.Markov(allocation="per_journey"), [1 / 3, 1 / 3, 1 / 3]),
        (ug.Counterfactual(), [1 / 3, 1 / 3, 1 / 3]),
    ],
)
def test_touches_of_one_channel_share_what_it_earns(model, credit):
    table = pa.table({"path": ["a > b > a"], "conversions": [1]})
    found = ug.attribute(ug.Journeys.from_paths(table), model).column("credit").to_pylist()
    assert found == pytest.approx(credit)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: ug.Markov(order=0), "order must be from 1 to 8, got `0`"),
        (lambda: ug.Markov(order=1.5), "order must be a whole number"),
        (lambda: ug.Markov(removal="fail"), "no removal `fail`"),
        (lambda: ug.Markov(allocation="x"), "no allocation `x`"),
        (lambda: ug.Shapley(game="x"), "no game `x`"),
        (lambda: ug.Shapley("conversion_rate", ordered=True), "ordered is for game"),
    ],
)
def test_what_cannot_be_meant_is_refused(make, said):
    with pytest.raises(ValueError, match=said):
        make()


def test_a_long_path_is_no_trouble():
    path = [f"channel {number % 50}" for number in range(20_000)]
    js = ug.Journeys.from_paths(pa.table({"path": [path, path[1:]], "conversions": [1, 1]}))
    for model in (ug.Counterfactual(), ug.Shapley(), ug.Markov(2)):
        assert sum(credit_of(js, model).values()) == pytest.approx(2)


def test_removal_effects_want_a_chain():
    with pytest.raises(ValueError, match=r"hint: pass ug\.Markov\(\)"):
        ug.removal_effects(from_paths({("a",): (1, 0)}), ug.Linear())
