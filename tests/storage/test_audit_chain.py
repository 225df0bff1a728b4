"""The audit log's hash chain: whole however it was written, and broken where anybody touched it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta, timezone
from typing import Any

import pytest
from sqlalchemy import delete, update
from sqlmodel import Session, col, select

from rekomi_mcp.storage import audit
from rekomi_mcp.storage.audit import Actor, ChainReport, Line
from rekomi_mcp.storage.engine import Store
from rekomi_mcp.storage.tables import AuditHeadRow, AuditLineRow, OrganizationRow
from tests.storage.support import at, together
from tests.support.world import World

ACTOR = Actor("mcp", "token", "127.0.0.1", "a test")
LINES = 6


def line(number: int) -> Line:
    return Line("thing.changed", "ok", "thing", f"id-{number}", f'{{"n":{number}}}', f'{{"n":{number + 1},"é":"✓"}}')


@pytest.fixture
def organization(store: Store) -> str:
    """An organization of its own, with six lines."""
    with store.writing() as session:
        row = OrganizationRow(
            name="Chain",
            slug="chain",
            plan_tier="Pro",
            subscription_status="Active",
            payout_grace_days=30,
            home_currency="USD",
            created_at=at(0),
            updated_at=at(0),
        )
        session.add(row)
        session.flush()
        audit.open_chain(session, row.id)
        for number in range(LINES):
            audit.append(session, row.id, ACTOR, [line(number)], at(number, microseconds=number))
        return row.id


def verify(store: Store, organization: str) -> ChainReport:
    with store.reading() as session:
        return audit.verify_chain(session, organization)


def change(session: Session, organization: str, number: int, **values: Any) -> None:
    session.exec(
        update(AuditLineRow)
        .where(col(AuditLineRow.organization_id) == organization, col(AuditLineRow.seq) == number)
        .values(**values)
    )


def remove(session: Session, organization: str, *seqs: int) -> None:
    session.exec(
        delete(AuditLineRow).where(col(AuditLineRow.organization_id) == organization, col(AuditLineRow.seq).in_(seqs))
    )


def set_head(session: Session, organization: str, seq: int, sha256: str) -> None:
    session.exec(
        update(AuditHeadRow).where(col(AuditHeadRow.organization_id) == organization).values(seq=seq, sha256=sha256)
    )


def copy_of(session: Session, organization: str, seq: int) -> dict[str, Any]:
    return session.get_one(AuditLineRow, (organization, seq)).model_dump()


def test_a_chain_that_nobody_touched_is_whole(store: Store, organization: str) -> None:
    assert verify(store, organization) == ChainReport(LINES, None)


def test_every_chain_that_the_server_wrote_is_whole(store: Store, world: World) -> None:
    for brand in (world.acme, world.neighbour):
        report = verify(store, brand.id)
        assert report.lines > 1
        assert report.broken_at is None


def test_a_chain_without_lines_is_whole(store: Store, world: World, organization: str) -> None:
    with store.writing() as session:
        remove(session, organization, *range(1, LINES + 1))
        set_head(session, organization, 0, audit.GENESIS)
    assert verify(store, organization) == ChainReport(0, None)


def test_several_lines_of_one_change_are_numbered_in_order(store: Store, organization: str) -> None:
    with store.writing() as session:
        audit.append(session, organization, ACTOR, [line(10), line(11), line(12)], at(10))
        audit.append(session, organization, ACTOR, [], at(11))
    assert verify(store, organization) == ChainReport(LINES + 3, None)
    with store.reading() as session:
        assert [copy_of(session, organization, LINES + n)["entity_id"] for n in (1, 2, 3)] == [
            "id-10",
            "id-11",
            "id-12",
        ]


def test_a_line_written_at_a_time_of_another_zone_holds(store: Store, organization: str) -> None:
    with store.writing() as session:
        audit.append(session, organization, ACTOR, [line(1)], at(10).astimezone(timezone(timedelta(hours=2))))
    assert verify(store, organization) == ChainReport(LINES + 1, None)


CHANGES: dict[str, Any] = {
    "id": "another-id",
    "action": "thing.created",
    "outcome": "forbidden",
    "entity_type": "other",
    "entity_id": None,
    "actor_type": "user",
    "actor_id": "another-token",
    "ip": None,
    "user_agent": "",
    "before": None,
    "after": '{"n":4,"é":"✗"}',
    "created_at": at(2, microseconds=3),
    "sha256": "0" * 64,
    "seq": 1000,
}


def test_every_column_but_the_organization_is_among_the_changes() -> None:
    assert set(CHANGES) == set(AuditLineRow.model_fields) - {"organization_id"}


@pytest.mark.parametrize("field", CHANGES)
def test_a_changed_field_is_found_at_its_line(store: Store, organization: str, field: str) -> None:
    with store.writing() as session:
        change(session, organization, 3, **{field: CHANGES[field]})
    assert verify(store, organization) == ChainReport(2, 3)


def test_a_line_moved_to_another_organization_breaks_both_chains(store: Store, organization: str, world: World) -> None:
    lines = verify(store, world.acme.id).lines
    with store.writing() as session:
        change(session, organization, 3, organization_id=world.acme.id, seq=lines + 1)
    assert verify(store, organization) == ChainReport(2, 3)
    assert verify(store, world.acme.id) == ChainReport(lines, lines + 1)


@pytest.mark.parametrize("seq", range(1, LINES + 1))
def test_a_deleted_line_is_found_where_it_was(store: Store, organization: str, seq: int) -> None:
    with store.writing() as session:
        remove(session, organization, seq)
    assert verify(store, organization) == ChainReport(seq - 1, seq)


def test_a_cut_off_end_is_found_where_it_began(store: Store, organization: str) -> None:
    with store.writing() as session:
        remove(session, organization, LINES - 1, LINES)
    assert verify(store, organization) == ChainReport(LINES - 2, LINES - 1)


def put_back(session: Session, line: dict[str, Any], **changed: Any) -> None:
    session.add(AuditLineRow(**(line | changed)))


def swap(session: Session, organization: str) -> None:
    second, fifth = copy_of(session, organization, 2), copy_of(session, organization, 5)
    session.expunge_all()
    remove(session, organization, 2, 5)
    put_back(session, second, seq=5)
    put_back(session, fifth, seq=2)


def insert_copy(session: Session, organization: str) -> None:
    """Make room at 3 and put a copy of line 2 there."""
    for seq in range(LINES, 2, -1):
        change(session, organization, seq, seq=seq + 1)
    put_back(session, copy_of(session, organization, 2), seq=3, id="inserted")


@pytest.mark.parametrize(("tamper", "broken_at"), [(swap, 2), (insert_copy, 3)], ids=["swapped", "inserted"])
def test_lines_out_of_their_place_are_found(
    store: Store, organization: str, tamper: Callable[[Session, str], None], broken_at: int
) -> None:
    with store.writing() as session:
        tamper(session, organization)
    assert verify(store, organization) == ChainReport(broken_at - 1, broken_at)


def test_a_line_added_behind_the_last_with_a_right_hash_is_found(store: Store, organization: str) -> None:
    with store.writing() as session:
        head = session.get_one(AuditHeadRow, organization).model_dump()
        audit.append(session, organization, ACTOR, [line(99)], at(99))
        set_head(session, organization, head["seq"], head["sha256"])
    assert verify(store, organization) == ChainReport(LINES, LINES + 1)


def test_a_line_rewritten_with_a_right_hash_is_found_at_the_next(store: Store, organization: str) -> None:
    with store.writing() as session:
        kept = {seq: copy_of(session, organization, seq) for seq in range(2, LINES + 1)}
        session.expunge_all()
        remove(session, organization, *range(3, LINES + 1))
        set_head(session, organization, 2, kept[2]["sha256"])
        audit.append(session, organization, ACTOR, [line(666)], at(2))
        session.add_all(AuditLineRow(**kept[seq]) for seq in range(4, LINES + 1))
        set_head(session, organization, LINES, kept[LINES]["sha256"])
    assert verify(store, organization) == ChainReport(3, 4)


def test_a_log_whose_head_is_gone_or_changed_is_not_whole(store: Store, organization: str) -> None:
    with store.writing() as session:
        session.get_one(AuditHeadRow, organization).sha256 = "0" * 64
    assert verify(store, organization).broken_at is not None
    with store.writing() as session:
        session.delete(session.get_one(AuditHeadRow, organization))
    assert verify(store, organization).broken_at is not None


def test_writers_at_the_same_moment_keep_one_chain_without_a_gap(store: Store, organization: str) -> None:
    def write(thread: int) -> None:
        for number in range(5):
            with store.writing() as session:
                audit.append(session, organization, ACTOR, [line(100 * thread + number)] * (1 + number % 2), at(thread))

    together(6, write)
    expected = LINES + 6 * (3 + 2 * 2)
    assert verify(store, organization) == ChainReport(expected, None)
    with store.reading() as session:
        query = select(AuditLineRow.seq).where(AuditLineRow.organization_id == organization)
        assert sorted(session.exec(query)) == list(range(1, expected + 1))


def test_a_write_that_is_rolled_back_leaves_no_gap(store: Store, organization: str) -> None:
    def fail() -> None:
        with store.writing() as session:
            audit.append(session, organization, ACTOR, [line(7)], at(7))
            raise LookupError

    with pytest.raises(LookupError):
        fail()
    with store.writing() as session:
        audit.append(session, organization, ACTOR, [line(8)], at(8))
    assert verify(store, organization) == ChainReport(LINES + 1, None)
