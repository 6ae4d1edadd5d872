"""A Spark DataFrame in, credit out: the same kernels, where one machine is not enough.

Rows are brought together by person, and each partition is credited where it lies. Rules need no
more than that. Models of whole paths need to know how all journeys fared: that is counted by path
on each partition, and the counts are brought to the driver.

What a partition has of a person comes in no order: of two touches at the very same time, either may
be the first. PySpark 4 and PyArrow move the rows; neither is needed to import this module.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, TypedDict, Unpack

from unmogrowp.attribution import Model
from unmogrowp.attribution import compare as side_by_side
from unmogrowp.comparison import UNATTRIBUTED, Comparison
from unmogrowp.errors import SchemaError
from unmogrowp.journeys import Duration, Journeys, Policy
from unmogrowp.journeys import journeys as journeys_of
from unmogrowp.table import Table

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import DataFrame


class Columns(TypedDict, total=False):
    """What `ug.journeys` takes of a table of touches and conversions, with the same defaults."""

    user: str
    time: str
    channel: str
    is_conversion: str
    value: str | None
    conversion_name: str | None
    currency: str | None
    touch_type: str | None
    key_touch: str | None
    conversion_id: str | None
    click_lookback: Duration
    view_lookback: Duration
    policy: Policy
    click_over_view: bool


_REQUIRED: Columns = {
    "user": "user_id",
    "time": "timestamp",
    "channel": "channel",
    "is_conversion": "is_conversion",
}
_SETTINGS = ("click_lookback", "view_lookback", "policy", "click_over_view")


def attribute(df: "DataFrame", model: Model, **columns: Unpack[Columns]) -> "DataFrame":
    """Share each conversion's credit among its touches.

    Args:
        df: Rows of touches and conversions, anywhere.
        model: One that looks at a journey at a time: a rule, or `Shapley()`.
        columns: As `ug.journeys` takes them; `conversion_id` must be named, since rows have no
            numbers here.

    Returns:
        As `ug.attribute` does, in no order: `conversion_id`, `touch_index`, `channel`, `credit`,
        and where the rows have them `value` and `currency`.

    Raises:
        SchemaError: A column is missing.
        ValueError: The model looks at all journeys at once.
    """
    from pyspark.sql.types import DoubleType, LongType, StringType, StructField, StructType

    from unmogrowp.attribution import attribute as of_journeys

    _refuse_whole_paths(model)
    given = _given(df, columns)
    number = given.get("conversion_id")
    if number is None:
        raise ValueError(
            "conversion_id must be named: rows have no numbers here\n"
            "hint: name a column that tells conversions apart, e.g. conversion_id=`event_id`"
        )
    types = {
        "conversion_id": df.schema[number].dataType,
        "touch_index": LongType(),
        "channel": StringType(),
        "credit": DoubleType(),
        **({"value": DoubleType()} if given["value"] else {}),
        **({"currency": StringType()} if given.get("currency") else {}),
    }

    def credited(own: Journeys) -> "pa.Table":
        import pyarrow as pa

        table = of_journeys(own, model).to_pyarrow().select(list(types))
        place = table.schema.get_field_index("touch_index")
        return table.set_column(place, "touch_index", table["touch_index"].cast(pa.int64()))

    schema = StructType([StructField(name, kind) for name, kind in types.items()])
    return _by_person(df, given, credited, schema)


def compare(df: "DataFrame", models: Iterable[Model], **columns: Unpack[Columns]) -> Comparison:
    """Set models side by side.

    Args:
        df: Rows of touches and conversions, anywhere.
        models: Any.
        columns: As `ug.journeys` takes them.

    Returns:
        As `ug.compare` does, on the driver.

    Raises:
        SchemaError: A column is missing.
        ValueError: Two models have the same name.
    """
    models = list(models)
    names = [model.name for model in models]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(
                f"two models are named `{name}`\nhint: give one of them another `name=`"
            )
    rules = [model for model in models if not model.rule().needs_all_journeys]
    others = [model for model in models if model.rule().needs_all_journeys]
    parts = [_by_rules(df, _given(df, columns), rules)] if rules else []
    if others:
        parts.append(side_by_side(journeys(df, **columns), others).to_pyarrow())
    return Comparison(Table.read(_joined(parts, names)).batches, names)


def journeys(df: "DataFrame", **columns: Unpack[Columns]) -> Journeys:
    """All journeys by path, on the driver.

    Args:
        df: Rows of touches and conversions, anywhere.
        columns: As `ug.journeys` takes them.

    Returns:
        What `Journeys.from_paths` makes of all paths, converting or not: every model may be asked
        for but `TimeDecay` and `WShape`, and so may `ug.removal_effects`, `ug.markov_orders` and
        pictures.

    Raises:
        SchemaError: A column is missing.
    """
    given = _given(df, columns)
    keys = ["path", *(["currency"] if given.get("currency") else [])]
    sums = ["conversions", "nulls", *(["value"] if given["value"] else [])]
    types = {"path": "array<string>", "currency": "string"}
    schema = ", ".join(f"{name} {types.get(name, 'double')}" for name in [*keys, *sums])

    def counted(own: Journeys) -> "pa.Table":
        return own.to_paths(whole=True).to_pyarrow().select([*keys, *sums])

    counts = _by_person(df, given, counted, schema).groupBy(*keys).sum(*sums)
    return Journeys.from_paths(counts.toArrow().rename_columns([*keys, *sums]))


def _by_rules(df: "DataFrame", given: Columns, rules: list[Model]) -> "pa.Table":
    """Sums of what each partition credits."""
    keys = ["channel", *(["currency"] if given.get("currency") else [])]
    kinds = ["conversions", *(["value"] if given["value"] else [])]
    # Names of models may be anything, those of columns may not.
    sums = [f"sum{place}" for place in range(len(rules) * len(kinds))]
    schema = ", ".join([*(f"{name} string" for name in keys), *(f"{name} double" for name in sums)])

    def credited(own: Journeys) -> "pa.Table":
        return side_by_side(own, rules).to_pyarrow().rename_columns([*keys, *sums])

    credit = _by_person(df, given, credited, schema).groupBy(*keys).sum(*sums)
    named = [f"{rule.name}_{kind}" for rule in rules for kind in kinds]
    return credit.toArrow().rename_columns([*keys, *named])


def _by_person(
    df: "DataFrame",
    given: Columns,
    make: Callable[[Journeys], "pa.Table"],
    schema: object,
) -> "DataFrame":
    """Bring rows together by person, and make of each partition's journeys a table."""
    roles = [name for role, name in given.items() if role not in _SETTINGS and name is not None]
    named = [df[_quoted(str(name))] for name in dict.fromkeys(roles)]

    def made(batches: Iterator["pa.RecordBatch"]) -> Iterator["pa.RecordBatch"]:
        import pyarrow as pa

        rows = list(batches)
        if rows:
            yield from make(journeys_of(pa.Table.from_batches(rows), **given)).to_batches()

    rows = df.select(*named).repartition(df[_quoted(given["user"])])
    return rows.mapInArrow(made, schema)


def _joined(parts: list["pa.Table"], names: list[str]) -> "pa.Table":
    """Tables of the same rows side by side: channels ascending, no channel last."""
    import pyarrow as pa

    keys = [name for name in ("channel", "currency") if parts and name in parts[0].column_names]
    cells: dict[tuple[str | None, ...], dict[str, float]] = {}
    for part in parts:
        for row in part.to_pylist():
            key = tuple(row.pop(name) for name in keys)
            cells.setdefault(key, {}).update(row)
    rows = sorted(cells, key=lambda key: [_place(name) for name in key])
    columns: dict[str, pa.Array] = {
        name: pa.array([key[place] for key in rows], pa.string()) for place, name in enumerate(keys)
    }
    for name in names:
        for kind in ("conversions", "conversions_standard_error", "value"):
            column = f"{name}_{kind}"
            if any(column in part.column_names for part in parts):
                columns[column] = pa.array([cells[key].get(column, 0.0) for key in rows])
    return pa.table(columns)


def _place(name: str | None) -> tuple[bool, bool, str]:
    return name == UNATTRIBUTED, name is None, name or ""


def _given(df: "DataFrame", columns: Columns) -> Columns:
    """The columns to read, which are all there."""
    given: Columns = {**_REQUIRED, **columns}
    if "value" not in given:
        given["value"] = "value" if "value" in df.columns else None
    for role, name in given.items():
        if role not in _SETTINGS and name is not None and name not in df.columns:
            known = ", ".join(df.columns)
            raise SchemaError(f"no column `{name}` for {role}\nhint: there are {known}")
    return given


def _quoted(name: str) -> str:
    """A column's name, whatever letters it has."""
    return "`" + name.replace("`", "``") + "`"


def _refuse_whole_paths(model: Model) -> None:
    if model.rule().needs_all_journeys:
        raise ValueError(
            f"`{model.name}` looks at all journeys at once, and a partition has some of them\n"
            "hint: use `ug.spark.compare`, or `ug.attribute` of `ug.spark.journeys(df)`"
        )
