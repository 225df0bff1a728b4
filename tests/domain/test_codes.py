"""The text of codes: what is allowed, and what is offered."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rekomi_mcp.domain.codes import CODE_PATTERN, base_code, candidates, dashed, is_valid, normalise

names = st.one_of(st.text(max_size=40), st.from_regex(r"\A[A-Za-z ]{0,60}\Z"))
discounts = st.from_regex(r"\A[0-9]{0,18}\Z")
valid_codes = st.from_regex(CODE_PATTERN, fullmatch=True).filter(is_valid)
draws = st.lists(st.integers(0, 2**16), max_size=20)


@pytest.mark.parametrize("code", ["SARAH20", "A-1", "A_B", "X" * 32, "---"])
def test_these_are_codes(code: str) -> None:
    assert is_valid(code)


@pytest.mark.parametrize("code", ["AB", "X" * 33, "sarah20", "SARAH 20", "SARAH20\n", "SÄRAH", "SARAH%", "", "٣٣٣"])
def test_these_are_not_codes(code: str) -> None:
    assert not is_valid(code)


@given(st.from_regex(r"\A[A-Za-z0-9_-]{3,32}\Z"), st.sampled_from(["", " ", "\t ", "\n"]))
def test_case_and_surrounding_space_do_not_matter(text: str, space: str) -> None:
    assert is_valid(normalise(space + text + space))
    assert normalise(text.lower()) == normalise(text.upper())


@given(names, names, discounts)
def test_the_code_made_for_anybody_is_valid(full_name: str, email: str, discount: str) -> None:
    code = base_code(full_name, email, discount)
    assert is_valid(code)
    assert discount in code


@pytest.mark.parametrize(
    ("full_name", "email", "discount", "expected"),
    [
        ("Sarah Lee", "s@example.com", "20", "SARAH20"),
        ("Zoë", "z@example.com", "15", "ZOE15"),
        ("李小龍", "bruce.lee@example.com", "20", "BRUCELEE20"),
        ("", "kim@example.com", "", "KIM"),
        ("Al", "a@example.com", "", "AL0"),
        ("李", "李@example.com", "20", "CODE20"),
        ("O'Brien Pat", "p@example.com", "5", "OBRIEN5"),
    ],
)
def test_the_code_an_owner_would_pick(full_name: str, email: str, discount: str, expected: str) -> None:
    assert base_code(full_name, email, discount) == expected


@given(names, names, discounts, draws)
def test_every_candidate_is_valid_and_begins_with_the_base(
    full_name: str, email: str, discount: str, random_indexes: list[int]
) -> None:
    base = base_code(full_name, email, discount)
    offered = list(candidates(base, random_indexes))
    assert offered[0] == base
    for code in offered:
        assert is_valid(code)
        assert code == base or code.startswith(f"{base}-")


def test_candidates_grow_and_their_suffixes_are_easy_to_hear() -> None:
    offered = list(candidates("SARAH20", range(15)))
    assert [len(code) - len("SARAH20") for code in offered] == [0, 3, 4, 5, 7]
    suffixes = "".join(code.removeprefix("SARAH20") for code in offered)
    assert not set(suffixes) & set("IO01")


@pytest.mark.parametrize(("numbers", "offered"), [(0, 1), (1, 1), (2, 2), (5, 3), (9, 4), (15, 5), (20, 5)])
def test_each_further_candidate_needs_random_numbers_of_its_own(numbers: int, offered: int) -> None:
    assert len(set(candidates("BOB", range(numbers)))) == offered


@given(valid_codes)
def test_the_dashed_form_that_is_advised_is_a_valid_code_without_underscores(code: str) -> None:
    assert "_" not in dashed(code)
    assert is_valid(dashed(code))
