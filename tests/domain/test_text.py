"""Clean text: one visible line, whatever was written."""

import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from rekomi_mcp.domain.text import clean

BIDI = "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
NON_JOINER, JOINER = "\u200c", "\u200d"
INVISIBLE_LETTERS = "\u115f\u1160\u3164\uffa0"
FAMILY = f"\N{MAN}{JOINER}\N{WOMAN}"

any_text = st.text(
    st.one_of(st.characters(), st.characters(categories=["Cc", "Cf", "Cs", "Zs", "Mn"]), st.sampled_from(BIDI)),
    max_size=30,
)


@given(any_text)
@example("a\ufeff\u0301")
@example("\u1100\u200b\u1161")
def test_cleaning_twice_is_cleaning_once(text: str) -> None:
    assert clean(clean(text)) == clean(text)


@given(any_text)
def test_no_control_and_no_bidirectional_character_is_left(text: str) -> None:
    left = set(clean(text)) - {NON_JOINER, JOINER}
    assert not left & set(BIDI)
    assert not {c for c in left if unicodedata.category(c).startswith("C")}


@given(any_text)
def test_a_clean_text_is_one_line_without_runs_of_space(text: str) -> None:
    cleaned = clean(text)
    assert cleaned == cleaned.strip()
    assert "  " not in cleaned
    assert len(cleaned.splitlines()) <= 1
    assert all(c == " " or not c.isspace() for c in cleaned)


@given(st.text(st.characters(categories=["L", "N", "P"], exclude_characters=INVISIBLE_LETTERS), max_size=30))
def test_visible_text_is_kept_in_its_composed_form(text: str) -> None:
    assert clean(text) == unicodedata.normalize("NFC", text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Sarah Lee", "Sarah Lee"),
        ("  Sarah\t\n Lee ", "Sarah Lee"),
        ("e\u0301", "é"),
        ("\u202eeeL haraS", "eeL haraS"),
        ("Sarah\x00Lee", "Sarah Lee"),
        ("\u200b\u2060\ufeff", ""),
        (FAMILY, FAMILY),
        (f"می{NON_JOINER}خواهم", f"می{NON_JOINER}خواهم"),
        ("\U000e0041\U000e0042", ""),
    ],
    ids=ascii,
)
def test_cleaning_by_example(text: str, expected: str) -> None:
    assert clean(text) == expected


@pytest.mark.parametrize(
    "invisible",
    ["\u3164", "\u115f", "\uffa0", "\u034f", "\U000e0100", f"{JOINER}{NON_JOINER}", "\u2800"],
    ids=lambda text: "+".join(unicodedata.name(c) for c in text),
)
def test_a_name_that_nobody_can_see_is_no_name(invisible: str) -> None:
    assert clean(invisible * 3) == ""
