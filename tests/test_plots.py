"""Pictures say what the tables say."""

import subprocess
import sys

import matplotlib as mpl
import matplotlib.pyplot as plt
import pyarrow as pa
import pytest

import unmogrowp as ug

mpl.use("Agg")

PATHS = {
    "path": [["ads", "mail"], ["ads", "ads", "web"], ["web"], [None, "mail"], []],
    "conversions": [8, 4, 2, 1, 5],
    "nulls": [2, 0, 30, 1, 0],
    "value": [80.0, 44.0, 6.0, 1.0, 0.0],
}
MODELS = [ug.FirstTouch(), ug.LastTouch()]


@pytest.fixture(autouse=True)
def _closed():
    yield
    plt.close("all")


def journeys(**changed):
    return ug.Journeys.from_paths(pa.table(PATHS | changed))


def names_of(axis):
    return [label.get_text() for label in axis.get_ticklabels()]


def texts(ax):
    return [text.get_text() for text in ax.texts]


def drawn(ax):
    ax.figure.canvas.draw()
    return ax


def test_bars_are_the_credit_of_each_model():
    ax = drawn(ug.compare(journeys(), MODELS).plot())
    assert names_of(ax.yaxis) == ["ads", "mail", "web", "(none)", "(unattributed)"]
    lengths = [[bar.get_width() for bar in bars] for bars in ax.containers]
    assert lengths == [[12.0, 0.0, 2.0, 1.0, 5.0], [0.0, 9.0, 6.0, 0.0, 5.0]]
    assert [text.get_text() for text in ax.get_legend().get_texts()] == [
        "first_touch",
        "last_touch",
    ]
    # What no channel earned has the colour of none.
    greys = {bars[-1].get_facecolor() for bars in ax.containers}
    assert len(greys) == 1
    assert ax.containers[0][0].get_facecolor() not in greys


def test_bars_of_value_are_the_value():
    ax = ug.compare(journeys(), MODELS).plot("value")
    assert [bar.get_width() for bar in ax.containers[0]] == [124.0, 0.0, 6.0, 1.0]
    assert ax.get_title(loc="left") == "Value by channel"


def test_channels_that_earned_least_are_one_bar():
    ax = drawn(ug.compare(journeys(), MODELS).plot(top=1))
    assert names_of(ax.yaxis) == ["ads", "3 others", "(unattributed)"]
    assert [bar.get_width() for bar in ax.containers[1]] == [0.0, 15.0, 5.0]


def test_intervals_are_drawn_where_they_are_known():
    table = ug.compare(journeys(), MODELS, intervals=0.9)
    ax = table.plot(top=2)
    ends = [tuple(line.get_segments()[0][:, 0]) for line in ax.collections]
    lows, highs = (
        table.column(f"first_touch_conversions_{end}").to_pylist() for end in ("low", "high")
    )
    # Of two channels and what no channel earned, by two models; the others together have none.
    assert len(ends) == 6
    assert ends[0] == (lows[0], highs[0])


def test_amounts_are_drawn_in_one_currency():
    table = ug.compare(journeys(currency=["EUR", "USD", "EUR", "USD", None]), MODELS)
    with pytest.raises(ValueError, match='do not add up\nhint: currency="EUR"'):
        table.plot("value")
    with pytest.raises(ValueError, match="no currency `CHF`\nhint: there are EUR, "):
        table.plot("value", currency="CHF")
    ax = drawn(table.plot("value", currency="EUR"))
    lengths = dict(zip(names_of(ax.yaxis), (b.get_width() for b in ax.containers[0]), strict=True))
    assert (lengths["ads"], lengths["web"], lengths["(none)"]) == (80.0, 6.0, 0.0)
    assert table.plot().get_title(loc="left") == "Conversions by channel"


def test_what_is_not_there_is_not_drawn():
    bare = {name: PATHS[name] for name in ("path", "conversions")}
    table = ug.compare(ug.Journeys.from_paths(pa.table(bare)), MODELS)
    with pytest.raises(ValueError, match="there is no value to plot"):
        table.plot("value")
    with pytest.raises(ValueError, match='no `credit` to plot\nhint: "conversions" or "value"'):
        table.plot("credit")
    with pytest.raises(ValueError, match="cannot plot `pie`"):
        journeys().plot("pie")


def test_effects_are_drawn_the_largest_first():
    effects = ug.removal_effects(journeys(), ug.Markov())
    ax = drawn(effects.plot(top=3))
    rows = zip(*(effects.column(n).to_pylist() for n in ("removal_effect", "channel")), strict=True)
    largest = sorted(rows, key=lambda row: -row[0])[:3]
    assert [bar.get_width() for bar in ax.containers[0]] == [effect for effect, _ in largest]
    assert names_of(ax.yaxis) == [channel for _, channel in largest]
    assert ax.get_title(loc="left").endswith("(of 4)")


def test_a_channel_that_comes_back_is_drawn_anew():
    ax = drawn(journeys().plot())
    words = "\n".join(texts(ax))
    # Both touches of ads > ads > web, in columns of their own.
    assert words.count("ads") == 2
    assert ax.get_title(loc="left") == "4 of 4 paths, 15 of 15 attributed conversions"
    assert names_of(ax.xaxis) == ["2 before", "one before", "last touch", "outcome"]
    assert "converted\n15 · 100 %" in texts(ax)
    assert "did not convert" not in words


def test_flows_keep_what_they_carry():
    ax = drawn(journeys().plot(with_unconverted=True))
    thick = {round(patch.get_path().vertices[0][0]): 0.0 for patch in ax.patches}
    for patch in ax.patches:
        corners = patch.get_path().vertices
        thick[round(corners[0][0])] += corners[0][1] - corners[-2][1]
    # Into the outcome goes all; into a last touch, all that has one before.
    assert thick[-1] == pytest.approx(1.0)
    assert thick[-2] == pytest.approx((10 + 4 + 2) / 48)
    assert "did not convert\n33 · 69 %" in texts(ax)


def test_what_lies_further_back_is_one():
    ax = drawn(journeys().plot(steps=1))
    assert any(text.startswith("… earlier") for text in texts(ax))
    assert names_of(ax.xaxis) == ["one before", "last touch", "outcome"]


def test_the_paths_taken_most_are_chosen_where_all_are_drawn():
    converted, taken = journeys().plot(top=1), journeys().plot(top=1, with_unconverted=True)
    assert any(text.startswith("mail") for text in texts(converted))
    assert any(text.startswith("web") for text in texts(taken))


def test_a_heatmap_shows_the_moves_of_the_chain():
    js = journeys()
    ax = drawn(js.plot("transitions"))
    image = ax.images[0].get_array()
    rows, columns = names_of(ax.yaxis), names_of(ax.xaxis)
    assert columns == ["web", "ads", "mail", "(none)", "(conversion)", "(no conversion)"]
    moves = js.transitions().to_pyarrow().to_pylist()
    assert len(moves) == (image > 0).sum()
    for move in moves:
        row = "(start)" if move["kind"] == "start" else move["from"] or "(none)"
        ends = {"conversion": "(conversion)", "null": "(no conversion)"}
        column = ends.get(move["kind"], move["to"] or "(none)")
        cell = image[rows.index(row), columns.index(column)]
        assert cell == pytest.approx(move["probability"])
        assert move["count"] > 0


def test_rare_channels_are_one_row_and_column():
    ax = drawn(journeys().plot("transitions", top=1))
    assert names_of(ax.yaxis) == ["(start)", "web", "3 others"]
    assert ax.images[0].get_array().sum(axis=1).tolist() == pytest.approx([1.0, 1.0, 1.0])


def test_no_name_is_read_as_a_formula():
    odd = [["$\\frac{$"], ["$x$", "_^{"], ["<script>"], ["a" * 300], [""]]
    js = journeys(path=odd)
    for ax in (
        ug.compare(js, [ug.Linear(name="$\\frac{$")]).plot(),
        js.plot(),
        js.plot("transitions"),
        ug.removal_effects(js, ug.Markov()).plot(),
    ):
        shown = "\n".join([*texts(drawn(ax)), *names_of(ax.yaxis), *names_of(ax.xaxis)])
        assert "$\\frac{$" in shown
        assert "a" * 40 not in shown


def test_nothing_is_drawn_of_nothing():
    empty = pa.table({"path": pa.array([], pa.string()), "conversions": pa.array([], pa.int64())})
    js = ug.Journeys.from_paths(empty)
    for ax in (ug.compare(js, MODELS).plot(), js.plot(), js.plot("transitions")):
        drawn(ax)


def test_a_picture_goes_where_the_reader_wants_it():
    _, (left, right) = plt.subplots(1, 2)
    assert journeys().plot(ax=left) is left
    assert ug.compare(journeys(), MODELS).plot(ax=right) is right


def test_without_matplotlib_the_extra_is_named():
    program = (
        "import sys; sys.modules['matplotlib.pyplot'] = None\n"
        "import pyarrow as pa, unmogrowp as ug\n"
        "js = ug.Journeys.from_paths(pa.table({'path': ['a'], 'conversions': [1]}))\n"
        "try:\n    js.plot()\n"
        "except ImportError as error:\n    print(error)\n"
    )
    said = subprocess.check_output([sys.executable, "-c", program], text=True)
    assert "install unmogrowp[viz]" in said
