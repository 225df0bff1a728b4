"""Remembered answers: one claimant a key, and whoever comes second receives what the first was told."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from sqlmodel import Session

from rekomi_mcp.storage import idempotency
from rekomi_mcp.storage.engine import Store
from rekomi_mcp.storage.idempotency import Key
from tests.storage.support import ROLL_BACK, at, overlapping, together
from tests.support.world import World

ANSWER = {"id": "row", "amount": 4200, "nested": {"name": "Zoë"}, "none": None}


@pytest.fixture
def key(world: World) -> Key:
    return Key(world.acme.id, "create_program", "friday", "digest")


def remember(session: Session, key: Key, answer: dict[str, Any] = ANSWER) -> None:
    idempotency.remember(session, key.organization_id, key.operation, key.key, answer)


def answered(store: Store, key: Key) -> None:
    with store.writing() as session:
        assert idempotency.claim(session, key, at(0)) is None
        remember(session, key)


def test_the_first_to_come_takes_the_key_and_the_second_is_answered(store: Store, key: Key) -> None:
    answered(store, key)
    with store.writing() as session:
        record = idempotency.claim(session, replace(key, request_sha256="other"), at(1))
        assert record is not None
        assert (record.request_sha256, record.response, record.created_at) == ("digest", ANSWER, at(0))


def test_a_key_that_still_waits_has_no_answer_yet(store: Store, key: Key) -> None:
    with store.writing() as session:
        idempotency.claim(session, key, at(0))
    with store.writing() as session:
        record = idempotency.claim(session, key, at(1))
        assert record is not None
        assert record.response is None


def test_a_key_is_taken_only_within_its_organization_and_operation(store: Store, key: Key, world: World) -> None:
    answered(store, key)
    others = [
        replace(key, organization_id=world.neighbour.id),
        replace(key, operation="create_affiliate"),
        replace(key, key="Friday"),
    ]
    with store.writing() as session:
        assert [idempotency.claim(session, other, at(1)) for other in others] == [None] * 3


def test_remembering_one_answer_leaves_the_others_alone(store: Store, key: Key, world: World) -> None:
    neighbour = replace(key, organization_id=world.neighbour.id)
    answered(store, neighbour)
    with store.writing() as session:
        idempotency.claim(session, key, at(0))
        remember(session, key, {"mine": True})
        found = idempotency.claim(session, neighbour, at(1))
        assert found is not None
        assert found.response == ANSWER


def test_a_claim_that_is_rolled_back_frees_the_key(store: Store, key: Key) -> None:
    def fail() -> None:
        with store.writing() as session:
            idempotency.claim(session, key, at(0))
            raise LookupError

    with pytest.raises(LookupError):
        fail()
    with store.writing() as session:
        assert idempotency.claim(session, key, at(1)) is None


def test_a_forgotten_key_can_be_claimed_again_and_others_stay(store: Store, key: Key) -> None:
    other = replace(key, key="monday")
    answered(store, key)
    answered(store, other)
    with store.writing() as session:
        idempotency.forget(session, key.organization_id, key.operation, key.key)
        assert idempotency.claim(session, key, at(1)) is None
        assert idempotency.claim(session, other, at(1)) is not None


def test_purging_drops_what_is_older_and_nothing_else(store: Store, key: Key) -> None:
    with store.writing() as session:
        for minute in (0, 1, 2, 3):
            idempotency.claim(session, replace(key, key=str(minute)), at(minute))
    with store.writing() as session:
        assert idempotency.purge(session, at(2)) == 2
        left = [m for m in range(4) if idempotency.claim(session, replace(key, key=str(m)), at(9)) is not None]
        assert left == [2, 3]


def test_of_many_claimants_at_once_one_writes_and_all_receive_its_answer(store: Store, key: Key) -> None:
    def call(number: int) -> tuple[bool, dict[str, Any] | None]:
        with store.writing() as session:
            record = idempotency.claim(session, key, at(number))
            if record is None:
                remember(session, key, {"by": number})
                return True, {"by": number}
            return False, record.response

    answers = together(6, call)
    assert [first for first, _ in answers].count(True) == 1
    [winner] = [answer for first, answer in answers if first]
    assert [answer for _, answer in answers] == [winner] * 6


@pytest.mark.parametrize("fails", [False, True], ids=["commits", "rolls back"])
def test_a_second_claimant_waits_for_the_end_of_the_first(store: Store, key: Key, fails: bool) -> None:
    def first(session: Session) -> object:
        assert idempotency.claim(session, key, at(0)) is None
        remember(session, key)
        return ROLL_BACK if fails else None

    def second(session: Session) -> dict[str, Any] | None:
        record = idempotency.claim(session, key, at(1))
        return record.response if record is not None else None

    assert overlapping(store, first, second) == (None if fails else ANSWER)
