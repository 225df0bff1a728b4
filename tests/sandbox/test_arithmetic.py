"""The sums behind the amounts, and the calendar behind the periods."""

from datetime import UTC, datetime
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from rekomi_mcp.sandbox.forms import decode, from_json
from rekomi_mcp.sandbox.periods import add_periods
from rekomi_mcp.sandbox.pricing import PricedLine, price_lines
from rekomi_mcp.sandbox.shapes import JsonObject, changed_attributes

amounts = st.lists(st.integers(0, 10_000_000), min_size=1, max_size=6)
rates = st.lists(
    st.tuples(st.integers(0, 300_000), st.booleans()).map(
        lambda drawn: {"id": f"txr_{drawn}", "percentage": drawn[0] / 10_000, "inclusive": drawn[1]}
    ),
    max_size=3,
    unique_by=lambda rate: rate["id"],
)


def lines_of(subtotals: list[int], tax_rates: list[JsonObject]) -> list[PricedLine]:
    return [PricedLine({"product": "prod"}, 1, subtotal, tax_rates) for subtotal in subtotals]


def coupon(**terms: Any) -> JsonObject:
    return {"percent_off": None, "amount_off": None, "_": {"products": []}, **terms}


@given(amounts, st.integers(1, 20_000_000), rates)
def test_an_amount_off_is_spread_without_a_remainder(subtotals: list[int], off: int, tax: list[JsonObject]) -> None:
    lines = lines_of(subtotals, tax)
    price_lines(lines, [coupon(amount_off=off)])
    assert sum(line.discounts[0] for line in lines) == min(off, sum(subtotals))
    assert all(0 <= line.discounted <= line.subtotal for line in lines)


@given(amounts, st.integers(1, 10_000), rates)
def test_totals_and_taxes_add_up(subtotals: list[int], hundredths: int, tax: list[JsonObject]) -> None:
    lines = lines_of(subtotals, tax)
    price_lines(lines, [coupon(percent_off=hundredths / 100), coupon(amount_off=500)])
    for line in lines:
        exclusive = sum(each.amount for each in line.taxes if not each.rate["inclusive"])
        assert line.total == line.discounted + exclusive
        assert line.total_excluding_tax == line.total - line.tax
        assert 0 <= line.total_excluding_tax <= line.subtotal


def test_halves_are_rounded_up() -> None:
    lines = lines_of([50, 12999], [])
    price_lines(lines, [coupon(percent_off=5)])
    assert [line.discounts for line in lines] == [[3], [650]]


def test_a_coupon_for_one_product_leaves_the_others_alone() -> None:
    lines = [PricedLine({"product": name}, 1, 1000, []) for name in ("a", "b")]
    price_lines(lines, [coupon(percent_off=10, _={"products": ["b"]})])
    assert [line.discounts for line in lines] == [[0], [100]]


def test_months_end_where_they_end() -> None:
    def moment(text: str) -> int:
        return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp())

    january = moment("2027-01-31T10:00")
    assert add_periods(january, "month", 1) == moment("2027-02-28T10:00")
    assert add_periods(january, "month", 2) == moment("2027-03-31T10:00")
    assert add_periods(january, "month", 12) == moment("2028-01-31T10:00")
    assert add_periods(moment("2028-02-29T10:00"), "year", 1) == moment("2029-02-28T10:00")
    assert add_periods(january, "week", 2) == moment("2027-02-14T10:00")
    assert add_periods(january, "day", 3) == moment("2027-02-03T10:00")


def test_forms_are_decoded_as_stripe_writes_them() -> None:
    assert decode("a=1&b[c]=2&b[d][0][e]=3&f[]=x&f[]=y&g=") == {
        "a": "1",
        "b": {"c": "2", "d": {"0": {"e": "3"}}},
        "f": {"0": "x", "1": "y"},
        "g": "",
    }


def test_json_reads_like_the_form_that_means_the_same() -> None:
    assert from_json({"a": True, "b": 1.5, "c": ["x", {"y": None}], "d": None}) == {
        "a": "true",
        "b": "1.5",
        "c": {"0": "x", "1": {}},
    }


def test_changes_are_told_hash_by_hash() -> None:
    before = {"same": 1, "hash": {"a": 1, "b": 2}, "list": [1]}
    after = {"same": 1, "hash": {"a": 1, "b": 3, "c": 4}, "list": [1, 2]}
    assert changed_attributes(before, after) == {"hash": {"b": 2, "c": None}, "list": [1]}
