"""Refusals: the tree in the module's docstring is the tree of classes, and every code is its own."""

import re
from collections.abc import Iterator
from http import HTTPStatus

import pytest

import rekomi_mcp.domain.errors as errors
from rekomi_mcp.domain.errors import NotFound, Refusal

BRANCH = re.compile(r"^(?P<indent>[│ ]*)[├└]── (?P<name>\w+) +(?P<status>\d{3}) (?P<code>\w+)$", re.MULTILINE)


def subclasses(parent: type[Refusal]) -> Iterator[type[Refusal]]:
    for child in parent.__subclasses__():
        if child.__module__ == errors.__name__:
            yield child
            yield from subclasses(child)


def documented() -> list[tuple[str, str, int, str]]:
    """Each branch of the tree as (class, parent, status, code)."""
    found: list[tuple[str, str, int, str]] = []
    above: list[str] = []
    for branch in BRANCH.finditer(str(errors.__doc__)):
        depth = len(branch["indent"]) // 4
        parent = above[depth - 1] if depth else "Refusal"
        above[depth:] = [branch["name"]]
        found.append((branch["name"], parent, int(branch["status"]), branch["code"]))
    return found


REFUSALS = list(subclasses(Refusal))


def test_the_documented_tree_is_the_tree_of_classes() -> None:
    declared = [(c.__name__, c.__bases__[0].__name__, c.status, c.code) for c in REFUSALS]
    assert sorted(documented()) == sorted(declared)


def test_the_tree_shows_statuses_in_order() -> None:
    statuses = [status for _, parent, status, _ in documented() if parent == "Refusal"]
    assert statuses == sorted(statuses)


def test_every_code_belongs_to_one_class() -> None:
    codes = [refusal.code for refusal in REFUSALS]
    assert len(set(codes)) == len(codes)


@pytest.mark.parametrize("refusal", REFUSALS, ids=lambda refusal: refusal.__name__)
def test_a_refusal_names_its_own_code_and_a_real_status(refusal: type[Refusal]) -> None:
    assert "code" in vars(refusal)
    assert re.fullmatch("[a-z0-9_]+", refusal.code)
    assert HTTPStatus(refusal.status) >= 400


def test_a_refusals_body_holds_the_code_the_message_and_its_details() -> None:
    assert NotFound("Nothing here. Look elsewhere.").body() == {
        "error": "not_found",
        "message": "Nothing here. Look elsewhere.",
    }
    assert NotFound("No.", field="programId", required="Pro").body() == {
        "error": "not_found",
        "message": "No.",
        "field": "programId",
        "required": "Pro",
    }
    assert str(NotFound("No.")) == "No."
