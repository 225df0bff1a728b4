"""Whoever changes terms keeps what was in force before, and only that is read which a decision may need."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest
from sqlalchemy import update
from sqlmodel import Session, select

from rekomi_mcp.app import App
from rekomi_mcp.domain.access import System
from rekomi_mcp.storage import past_terms
from rekomi_mcp.storage.engine import Store
from rekomi_mcp.storage.tables import AffiliateRow, CampaignCouponRow, PastTermsRow, ProgramRow
from tests.storage.support import at
from tests.support.world import Brand, World, operate

pytestmark = pytest.mark.anyio

PROGRAM: dict[str, dict[str, Any]] = {
    "commission_value": {"defaultCommissionValue": 5},
    "commission_type": {
        "defaultCommissionType": "Fixed",
        "defaultCommissionValue": 5,
        "defaultCommissionCurrency": "EUR",
    },
    "is_active": {"isActive": False},
    "cookie_window_days": {"cookieWindowDays": 7},
    "attribution_model": {"attributionModel": "FirstTouch"},
    "recurring_months": {"recurringMonths": 3},
    "recurring_delay_invoices": {"recurringDelayInvoices": 2},
    "allow_self_purchases": {"allowSelfPurchases": True},
}
AFFILIATE: dict[str, dict[str, Any]] = {
    "status": {"status": "Paused"},
    "commission_value": {"customCommissionType": "Percentage", "customCommissionValue": 5},
    "commission_currency": {
        "customCommissionType": "Fixed",
        "customCommissionValue": 5,
        "customCommissionCurrency": "EUR",
    },
}


def changes(brand: Brand) -> list[tuple[str, dict[str, Any], type[past_terms.Subject], str]]:
    """Every way to change terms: an operation, its arguments, and whose terms that changes."""
    program, affiliate = {"programId": brand.program}, {"affiliateId": brand.affiliate}
    return [
        *(("update_program", program | each, ProgramRow, brand.program) for each in PROGRAM.values()),
        ("archive_program", program, ProgramRow, brand.program),
        *(("update_affiliate", affiliate | each, AffiliateRow, brand.affiliate) for each in AFFILIATE.values()),
        ("approve_affiliate", {"affiliateId": brand.applicant}, AffiliateRow, brand.applicant),
        ("reject_affiliate", {"affiliateId": brand.applicant}, AffiliateRow, brand.applicant),
        (
            "update_campaign_coupon",
            {"couponId": brand.coupon, "overridesClickAttribution": False},
            CampaignCouponRow,
            brand.coupon,
        ),
    ]


WAYS = 15


def terms(store: Store, table: type[past_terms.Subject], subject: str) -> dict[str, Any]:
    with store.reading() as session:
        row = session.get_one(table, subject)
        return {name: getattr(row, name) for name in past_terms.TERMS[table]}


def kept(store: Store, subject: str) -> list[dict[str, Any]]:
    with store.reading() as session:
        rows = session.exec(select(PastTermsRow).where(PastTermsRow.subject_id == subject)).all()
        return [row.terms for row in rows]


@pytest.mark.parametrize("way", range(WAYS))
async def test_each_change_of_terms_keeps_those_it_ends(app: App, world: World, way: int) -> None:
    name, arguments, table, subject = changes(world.acme)[way]
    store = app.open_store()
    before = terms(store, table, subject)
    await operate(app, name, arguments, System(world.acme.id))
    assert terms(store, table, subject) != before
    assert kept(store, subject) == [before]


async def test_all_terms_are_among_those_that_were_changed(app: App, world: World) -> None:
    """A term that is added is either changed here as well, or nobody knows whether it is kept."""
    store, ways = app.open_store(), changes(world.acme)
    assert len(ways) == WAYS
    changed: set[tuple[type, str]] = set()
    for name, arguments, table, subject in ways:
        if name in ("archive_program", "reject_affiliate"):
            continue  # after which nothing else could be changed
        before = terms(store, table, subject)
        await operate(app, name, arguments, System(world.acme.id))
        changed |= {
            (table, column) for column, value in terms(store, table, subject).items() if value != before[column]
        }
    assert changed == {(table, column) for table, columns in past_terms.TERMS.items() for column in columns}


@pytest.mark.parametrize("arguments", [{"name": "Renamed"}, {"isActive": True}, {"defaultCommissionValue": 20}])
async def test_what_changes_no_terms_keeps_nothing(app: App, world: World, arguments: dict[str, Any]) -> None:
    await operate(app, "update_program", {"programId": world.acme.program, **arguments}, System(world.acme.id))
    assert kept(app.open_store(), world.acme.program) == []


async def test_a_bulk_update_past_it_is_found(store: Store, world: World, watched_terms: list[str]) -> None:
    with store.writing() as session:
        session.exec(update(AffiliateRow).values(status="Paused"))
    assert watched_terms == ["affiliate: status"]
    watched_terms.clear()


async def test_a_changed_row_past_it_is_found(store: Store, world: World, watched_terms: list[str]) -> None:
    with store.writing() as session:
        session.get_one(ProgramRow, world.acme.program).commission_value = 1
    assert watched_terms == ["program: commission_value"]
    watched_terms.clear()


def change(session: Session, program: str, value: int, minute: float) -> None:
    row = session.get_one(ProgramRow, program)
    with past_terms.kept(session, row, at(minute)):
        row.commission_value = value


def rates(store: Store, world: World, since: datetime) -> list[tuple[datetime, int]]:
    with store.reading() as session:
        found = past_terms.of_subjects(session, world.acme.id, [world.acme.program], since)
        return [(until, terms["commission_value"]) for until, terms in found.get(world.acme.program, [])]


@pytest.mark.parametrize("late", [1, 2])
async def test_a_change_that_is_timed_before_the_last_one_says_nothing_of_the_time_before(
    store: Store, world: World, late: float
) -> None:
    """It waited for the other's transaction, or its server's clock is behind: its terms were in force at no such time."""
    for value, minute in ((3000, 2), (1000, late), (500, 3)):
        with store.writing() as session:
            change(session, world.acme.program, value, minute)
    assert rates(store, world, at(0)) == [(at(2), 2000), (at(3), 1000)]


async def test_only_terms_that_were_still_in_force_are_read(store: Store, world: World) -> None:
    for minute in (1, 2, 3):
        with store.writing() as session:
            change(session, world.acme.program, minute, minute)
    assert rates(store, world, at(1)) == [(at(2), 1), (at(3), 2)]
    assert rates(store, world, at(3)) == []


async def test_another_brands_past_terms_are_not_read(store: Store, world: World) -> None:
    with store.writing() as session:
        change(session, world.neighbour.program, 1, 1)
    with store.reading() as session:
        assert past_terms.of_subjects(session, world.acme.id, [world.neighbour.program], at(0)) == {}
