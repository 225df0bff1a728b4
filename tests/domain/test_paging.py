"""Cursors: what one list encodes only that list decodes, and anything else is refused."""

import base64
import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rekomi_mcp.domain.errors import InvalidInput
from rekomi_mcp.domain.paging import decode_cursor, decode_number, encode_cursor, encode_number

NOW = datetime(2026, 3, 1, 12, 30, 15, 123456, UTC)

zones = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
moments = st.datetimes(datetime(1970, 1, 2), datetime(9998, 12, 30), timezones=zones)
row_ids = st.one_of(st.uuids().map(str), st.from_regex(r"\A[A-Za-z0-9_-]{1,64}\Z"))
json_values: Any = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=10)),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=6,
)


def forged(content: object) -> str:
    """A cursor as somebody makes it who has seen one."""
    return base64.urlsafe_b64encode(json.dumps(content).encode()).rstrip(b"=").decode()


def refused(cursor: str) -> None:
    for decode in (decode_cursor, decode_number):
        with pytest.raises(InvalidInput) as refusal:
            decode("leads", cursor)
        assert refusal.value.field == "cursor"


@given(moments, row_ids)
def test_a_cursor_returns_the_same_microsecond_and_id(at: datetime, row_id: str) -> None:
    found_at, found_id = decode_cursor("leads", encode_cursor("leads", at, row_id))
    assert (found_at, found_id) == (at, row_id)
    assert found_at.utcoffset() == timedelta(0)


@given(st.integers(0, 2**62 - 1))
def test_a_numbered_cursor_returns_the_same_number(number: int) -> None:
    assert decode_number("audit_log", encode_number("audit_log", number)) == number


@given(moments, row_ids)
def test_a_cursor_is_safe_in_an_address(at: datetime, row_id: str) -> None:
    cursor = encode_cursor("leads", at, row_id)
    assert cursor.isascii()
    assert not set(cursor) & set("+/=&?# ")


@given(st.text(max_size=500))
def test_any_text_is_refused(text: str) -> None:
    refused(text)


@given(json_values)
def test_any_forged_content_is_refused(content: object) -> None:
    refused(forged(content))


def test_a_cursor_of_another_list_is_refused() -> None:
    with pytest.raises(InvalidInput):
        decode_cursor("conversions", encode_cursor("leads", NOW, "row"))
    with pytest.raises(InvalidInput):
        decode_number("conversions", encode_number("audit_log", 7))


def test_a_cursor_of_the_other_kind_is_refused() -> None:
    with pytest.raises(InvalidInput):
        decode_cursor("leads", encode_number("leads", 7))
    with pytest.raises(InvalidInput):
        decode_number("leads", encode_cursor("leads", NOW, "row"))


@pytest.mark.parametrize(
    "content",
    [
        ["leads", -1, "row"],
        ["leads", 10**30, "row"],
        ["leads", 1.5, "row"],
        ["leads", True, "row"],
        ["leads", 1, 2],
        ["leads", 1, "row", "more"],
        ["leads", -1],
        ["leads", 2**62],
        ["leads", True],
    ],
    ids=str,
)
def test_a_key_that_no_row_has_is_refused(content: list[object]) -> None:
    refused(forged(content))


@pytest.mark.parametrize("row_id", ["\x00", "row\x00", "\ud800"], ids=ascii)
def test_an_id_that_no_database_could_hold_is_refused(row_id: str) -> None:
    refused(forged(["leads", 1, row_id]))
