"""Sums of credit as integers: what is shown adds up."""

from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from unmogrowp.warehouse import credit

UNIT = 1 << 50
parts = st.integers(-(10**15), 10**15).map(lambda n: Fraction(n, 7))


def row(value: Fraction, currency: str = "USD") -> dict[str, object]:
    whole, rest = divmod(value * UNIT // 1, UNIT)
    return {"currency": currency, "value_whole": str(whole), "value_rest": str(rest)}


@given(st.lists(parts, min_size=1, max_size=20))
def test_rows_add_up_and_each_is_next_to_its_sum(exact: list[Fraction]) -> None:
    total = round(sum(exact))
    shown = credit.values([row(value) for value in exact], {"USD": total})
    assert sum(shown) == total
    assert all(abs(micros - value) < 2 for micros, value in zip(shown, exact, strict=True))


def test_what_is_left_goes_where_most_was_cut_off() -> None:
    rows = [row(Fraction(value)) for value in ("1.25", "1.75", "2.0")]
    assert credit.values(rows, {"USD": 5}) == [1, 2, 2]


def test_currencies_are_apart_and_a_row_without_one_has_no_value() -> None:
    rows = [row(Fraction(1, 2)), row(Fraction(1, 2), "EUR"), row(Fraction(0), "")]
    assert credit.values(rows, {"USD": 1, "EUR": 0}) == [1, 0, 0]


def test_shares_are_rounded_once() -> None:
    thirds = {"share_whole": str(UNIT // 3 * 3), "share_rest": str(UNIT)}
    assert credit.conversions(thirds) == 1.0
