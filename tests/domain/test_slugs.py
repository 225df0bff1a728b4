"""Slugs: what is valid, what a name becomes, and which words stand for something else."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rekomi_mcp.domain.slugs import RESERVED, is_valid, slugify


@pytest.mark.parametrize("slug", ["abc", "sarah-lee", "a1b", "x" * 64, "a--b"])
def test_these_are_slugs(slug: str) -> None:
    assert is_valid(slug)


@pytest.mark.parametrize("slug", ["", "ab", "-abc", "abc-", "Abc", "a_b", "x" * 65, "sarah lee", "abc\n", "säh"])
def test_these_are_not_slugs(slug: str) -> None:
    assert not is_valid(slug)


@given(st.one_of(st.text(max_size=80), st.from_regex(r"\A[A-Za-z0-9 .'-]{0,80}\Z")))
def test_any_text_becomes_a_valid_slug_or_nothing(text: str) -> None:
    slug = slugify(text)
    assert slug == "" or is_valid(slug)


@given(st.from_regex(r"\A[A-Za-z0-9 .'-]{0,80}\Z"))
def test_a_text_with_a_latin_letter_or_digit_becomes_a_slug_that_stays_as_it_is(text: str) -> None:
    slug = slugify(text)
    assert bool(slug) == bool(re.search("[A-Za-z0-9]", text))
    assert slugify(slug) == slug


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Sarah Lée", "sarah-lee"),
        ("  --Ünïcode & Söns--  ", "unicode-sons"),
        ("Al", "al-link"),
        ("李小龍", ""),
        ("", ""),
        ("a" * 60, "a" * 48),
        ("a" * 47 + " b", "a" * 47),
    ],
)
def test_the_slug_of_a_name(text: str, expected: str) -> None:
    assert slugify(text) == expected


@pytest.mark.parametrize("word", ["api", "mcp", "webhooks", "healthz", "openapi", "admin", "login", "stripe"])
def test_words_that_stand_for_a_route_or_mislead_are_reserved(word: str) -> None:
    assert word in RESERVED


def test_reserved_words_are_written_as_slugs_are() -> None:
    assert all(re.fullmatch("[a-z0-9-]+", word) for word in RESERVED)
