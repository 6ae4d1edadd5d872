"""On Spark, the same credit as on one machine."""

import os
import sys
import warnings

import numpy as np
import pyarrow as pa
import pytest

import unmogrowp as ug

PATH_MODELS = [ug.Markov(), ug.Markov(2), ug.Shapley("conversion_rate"), ug.Counterfactual()]
RULES = [ug.FirstTouch(), ug.WShape(), ug.TimeDecay("3d"), ug.Shapley()]
COLUMNS = {
    "user": "who is it",
    "conversion_name": "event",
    "currency": "currency",
    "touch_type": "type",
    "key_touch": "is_key",
    "conversion_id": "id",
    "click_lookback": "5d",
    "policy": "overlap",
}


@pytest.fixture(scope="module")
def spark():
    os.environ |= {"SPARK_LOCAL_IP": "127.0.0.1", "PYSPARK_PYTHON": sys.executable}
    with warnings.catch_warnings():
        # It asks for an older pandas, which nothing here uses.
        warnings.simplefilter("ignore")
        from pyspark.sql import SparkSession

        session = (
            SparkSession.builder.master("local[2]")
            .config("spark.driver.host", "127.0.0.1")
            .config("spark.driver.bindAddress", "127.0.0.1")
            .config("spark.ui.enabled", "false")
            .config("spark.sql.shuffle.partitions", "5")
            .config("spark.sql.adaptive.enabled", "false")
            .config("spark.sql.session.timeZone", "America/New_York")
            .getOrCreate()
        )
        yield session
        session.stop()


@pytest.fixture(autouse=True)
def _pandas_is_not_used():
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=FutureWarning)
        warnings.filterwarnings("ignore", category=ResourceWarning)
        yield


def table(rows=4_000, people=300, seed=1):
    rng = np.random.default_rng(seed)
    # No two rows at the same time: nobody says which of them comes first.
    times = rng.choice(40 * 86_400_000_000, rows, replace=False)
    is_conversion = rng.random(rows) < 0.1
    pick = lambda of: [of[n] for n in rng.integers(0, len(of), rows)]  # noqa: E731
    return pa.table(
        {
            "who is it": [f"p{n}" for n in rng.integers(0, people, rows)],
            "timestamp": pa.array(times, pa.timestamp("us", "UTC")),
            "channel": pick(["ads", "mail", "we`b", None, "(start)"]),
            "is_conversion": is_conversion,
            "value": pa.array(rng.integers(0, 9_999, rows)).cast(pa.decimal128(21, 2)),
            "event": pick(["install", "purchase"]),
            "currency": pick(["EUR", "USD", None]),
            "type": pick(["click", "impression", None]),
            "is_key": rng.random(rows) < 0.2,
            "id": [f"c{n}" for n in range(rows)],
        }
    )


def frame(spark, given):
    return spark.createDataFrame(given).repartition(7)


def close(one, other):
    assert one.column_names == other.column_names
    for name in one.column_names:
        left, right = one[name].to_pylist(), other[name].to_pylist()
        if pa.types.is_floating(one[name].type):
            right = pytest.approx(right, rel=1e-9, abs=1e-9)
        assert left == right, name


@pytest.mark.service
def test_models_side_by_side_are_those_of_one_machine(spark):
    given, models = table(), [*RULES, *PATH_MODELS]
    expected = ug.compare(ug.journeys(given, **COLUMNS), models)
    found = ug.spark.compare(frame(spark, given), models, **COLUMNS)
    close(found.to_pyarrow(), expected.to_pyarrow())
    assert found.plot().containers


@pytest.mark.service
def test_every_touch_has_the_credit_of_one_machine(spark):
    given = table()
    for model in RULES:
        expected = ug.attribute(ug.journeys(given, **COLUMNS), model).to_pyarrow()
        made = ug.spark.attribute(frame(spark, given), model, **COLUMNS)
        found = made.toArrow()
        assert found.schema.field("touch_index").type == pa.int64()
        by = [("conversion_id", "ascending"), ("touch_index", "ascending")]
        touch_index = expected["touch_index"].cast(pa.int64())
        expected = expected.set_column(1, "touch_index", touch_index)
        close(found.sort_by(by), expected.sort_by(by))


@pytest.mark.service
def test_journeys_on_the_driver_have_the_same_chain(spark):
    given = table()
    own, found = ug.journeys(given, **COLUMNS), ug.spark.journeys(frame(spark, given), **COLUMNS)
    assert (found.conversions, found.unattributed) == (own.conversions, own.unattributed)
    effects = [ug.removal_effects(js, ug.Markov(2)) for js in (own, found)]
    close(*(table.to_pyarrow() for table in effects))
    assert ug.markov_orders(found).best == ug.markov_orders(own).best


@pytest.mark.service
def test_a_table_of_defaults_needs_no_columns_named(spark):
    given = table().select(["timestamp", "channel", "is_conversion"])
    given = given.append_column("user_id", pa.array([n % 50 for n in range(len(given))]))
    expected = ug.compare(ug.journeys(given), [ug.Linear(), ug.Markov()])
    close(
        ug.spark.compare(frame(spark, given), [ug.Linear(), ug.Markov()]).to_pyarrow(),
        expected.to_pyarrow(),
    )


@pytest.mark.service
def test_a_frame_without_rows_has_no_channel(spark):
    empty = spark.createDataFrame(table()).limit(0)
    found = ug.spark.compare(empty, [ug.Linear(), ug.Markov()], **COLUMNS)
    assert set(found.column("channel").to_pylist()) <= {"(unattributed)"}


@pytest.mark.service
def test_what_cannot_be_done_is_said_before_rows_move(spark):
    df = spark.createDataFrame(table(10))
    with pytest.raises(ValueError, match="no column `user_id` for user"):
        ug.spark.compare(df, [ug.Linear()])
    with pytest.raises(ValueError, match="conversion_id must be named"):
        ug.spark.attribute(df, ug.Linear(), user="who is it")
    with pytest.raises(ValueError, match="`markov` looks at all journeys at once"):
        ug.spark.attribute(df, ug.Markov(), **COLUMNS)
    with pytest.raises(ValueError, match="two models are named `linear`"):
        ug.spark.compare(df, [ug.Linear(), ug.Linear()], **COLUMNS)
