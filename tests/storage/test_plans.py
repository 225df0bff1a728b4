"""Every statement walks an index: none reads a whole table, however many rows it has."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, event
from sqlmodel import SQLModel

from rekomi_mcp.app import App
from rekomi_mcp.domain.access import ActorType, BearerToken, LocalOwner, System, TokenKind
from rekomi_mcp.domain.errors import NotFound
from rekomi_mcp.domain.sales import (
    Fact,
    Payment,
    Reversal,
    ReversalKind,
    ReversalStatus,
    SaleReference,
    SaleSource,
    SubscriptionStarted,
)
from rekomi_mcp.operation import AnyOperation
from rekomi_mcp.storage import prepared, server_sales, subscription_starts
from rekomi_mcp.storage.tables import AffiliateCodeRow, OrganizationRow
from rekomi_mcp.tools import CATALOGUE
from tests.support.databases import copy_sqlite
from tests.support.world import World, operate, sale, sell

Statement = tuple[str, Any]
pytestmark = pytest.mark.anyio

MANY_ROWS = SQLModel.metadata.tables.keys() - {"deployment", "organization", "audit_head"}
"""The tables that grow."""


ONE: dict[str, Any] = {"eventIds": ["evt_1"]}


@pytest.fixture
def database(sqlite_template: Path, tmp_path: Path) -> str:
    """Only SQLite goes about a statement in the same way however few rows there are."""
    return copy_sqlite(sqlite_template, tmp_path / "store.db")


@contextmanager
def statements(app: App) -> Generator[list[Statement]]:
    """What is sent to the database, while the block lasts."""
    sent: list[Statement] = []

    def keep(_: Any, __: Any, statement: str, parameters: Any, ___: Any, many: bool) -> None:
        if statement.split()[0] in ("SELECT", "UPDATE", "DELETE"):
            sent.append((statement, parameters[0] if many else parameters))

    def fetch(lent: Any, statement: str, values: Any) -> Sequence[Any]:
        sent.append((statement, values))
        return driver(lent, statement, values)

    driver, prepared.fetch = prepared.fetch, fetch
    event.listen(Engine, "before_cursor_execute", keep)
    try:
        yield sent
    finally:
        event.remove(Engine, "before_cursor_execute", keep)
        prepared.fetch = driver


def steps(app: App, sent: list[Statement]) -> list[tuple[str, str]]:
    """How the database goes about these statements, step by step, each step with its statement."""
    found: list[tuple[str, str]] = []
    with app.open_store().reading() as session:
        connection: Any = session.connection().connection.dbapi_connection
        for statement, parameters in sent:
            plan = connection.execute(f"EXPLAIN QUERY PLAN {statement}", parameters)
            found += [(str(step), " ".join(statement.split())[:200]) for *_, step in plan]
    return found


def whole_reads(app: App, sent: list[Statement], *, of_a_brand: bool = False) -> list[tuple[str, str]]:
    """The steps that read a whole table, or all that one brand has in it, each with its statement."""
    found: list[tuple[str, str]] = []
    for step, statement in steps(app, sent):
        how, table = step.split()[:2]
        whole = (how == "SCAN" and "INDEX" not in step) or (of_a_brand and "(organization_id=?)" in step)
        if whole and table in MANY_ROWS:
            found.append((step, statement))
    return found


@pytest.mark.parametrize("operation", [o for o in CATALOGUE if o.asks_nothing], ids=lambda operation: operation.name)
async def test_an_operation_that_asks_nothing_costs_one_statement_whoever_calls(
    app: App, world: World, operation: AnyOperation
) -> None:
    app.open_store()
    for caller in (
        BearerToken(world.acme.mcp_token, TokenKind.MCP),
        LocalOwner(ActorType.MCP, "acme"),
        System(world.acme.id),
    ):
        with statements(app) as sent:
            answer = await operate(app, operation.name, {}, caller)
        assert world.acme.id in answer.values()
        assert len(sent) == 1, sent


async def test_an_explanation_costs_few_statements_beside_the_one_that_finds_the_caller(app: App, world: World) -> None:
    app.open_store()
    credential = BearerToken(world.acme.mcp_token, TokenKind.MCP)
    for arguments, expected in (
        ({"sourceId": world.acme.source}, 1),
        ({"conversionId": world.acme.conversion}, 1),
        ({"customerEmail": "kim@example.com"}, 2),
        ({"code": "sarah20"}, 2),
    ):
        with statements(app) as sent:
            await operate(app, "explain_attribution", arguments, credential)
        assert len(sent) == 1 + expected, (arguments, sent)


def arguments_of(name: str, world: World) -> list[dict[str, Any]]:
    """Each way of asking that leads to a statement of its own."""
    acme, since = world.acme, "2026-01-01T00:00:00Z"
    listed: dict[str, list[dict[str, Any]]] = {
        "list_conversions": [
            {},
            {"affiliateId": acme.affiliate},
            {"programId": acme.program, "since": since},
            {"status": "Approved"},
            {"code": "SARAH20"},
        ],
        "list_affiliates": [{}, {"programId": acme.program}, {"status": "Approved"}],
        "list_links": [{}, {"affiliateId": acme.affiliate}],
        "list_clicks": [{}, {"affiliateId": acme.affiliate}, {"programId": acme.program, "groupBy": "link"}],
        "list_affiliate_codes": [{}, {"affiliateId": acme.affiliate}, {"code": "SARAH20"}],
        "list_leads": [{}, {"affiliateId": acme.affiliate}],
        "list_audit_log": [{}, {"action": "program.created"}, {"entityType": "program"}],
        "explain_attribution": [
            {"sourceId": acme.source},
            {"conversionId": acme.conversion},
            {"customerEmail": "kim@example.com"},
            {"code": "sarah20"},
        ],
        "run_payout_preview": [{}, {"periodStart": "2026-01-01", "affiliateIds": [acme.affiliate]}],
    }
    one = {"programId": acme.program, "affiliateId": acme.affiliate, "conversionId": acme.conversion}
    operation = CATALOGUE.get(name)
    assert operation is not None
    wanted = {f.alias or n for n, f in operation.input.model_fields.items() if f.is_required()}
    return listed.get(name) or [{field: one[field] for field in wanted}]


READS = [operation.name for operation in CATALOGUE.exposed() if operation.reads]


@pytest.mark.parametrize("name", READS)
async def test_a_read_walks_indexes(app: App, world: World, name: str) -> None:
    for arguments in arguments_of(name, world):
        with statements(app) as sent:
            await operate(app, name, arguments, System(world.acme.id))
        assert sent
        assert whole_reads(app, sent) == []


async def test_ingest_walks_indexes(app: App, world: World) -> None:
    renewal: dict[str, Any] = {"customer_id": "cus_1", "subscription_id": "sub_1", "customer_email": "kim@example.com"}
    facts: list[Fact] = [
        sale("in_1", codes=("promo_acme_sarah",), payments=(Payment("pi_1"),), **renewal),
        sale("in_2", payments=(Payment("pi_2"),), **renewal),
        sale("cs_1", source=SaleSource.CheckoutSession),
        SaleReference("pi_3", SaleSource.Invoice, "in_3", "evt_3"),
        Reversal(
            id="re_1",
            kind=ReversalKind.Refund,
            event_id="evt_re_1",
            occurred_at=datetime.now(UTC),
            currency="USD",
            amount_minor=1000,
            status=ReversalStatus.Succeeded,
            payment_intent_id="pi_1",
            charge_id="ch_1",
        ),
    ]
    with statements(app) as sent:
        assert await sell(app, world.acme.id, *facts) == 5
    assert len(sent) > 10
    assert whole_reads(app, sent, of_a_brand=True) == []


async def test_what_began_with_a_code_before_it_was_somebodys_is_found_by_indexes(app: App, world: World) -> None:
    start = SubscriptionStarted("sub_1", "cus_1", "evt_start", datetime.now(UTC), ("promo_later",))
    await sell(app, world.acme.id, start)
    with app.open_store().writing() as session:
        session.get_one(OrganizationRow, world.acme.id).has_adopted_starts = True
    with statements(app) as sent, app.open_store().writing() as session:
        assert subscription_starts.are_there(session, world.acme.id, "promo_later")
        [kept] = subscription_starts.with_codes(session, world.acme.id, ["promo_later"])
        session.get_one(AffiliateCodeRow, world.acme.code).stripe_promotion_code_id = kept.promotion_code_id
    with statements(app) as later:
        await sell(app, world.acme.id, sale("in_1", customer_id="cus_1"))
        await operate(app, "explain_attribution", {"sourceId": world.acme.source}, System(world.acme.id))
    assert [statement for statement, _ in later if "subscription_start" in statement]
    assert whole_reads(app, sent + later, of_a_brand=True) == []


async def test_a_brand_that_adopted_no_such_code_is_not_asked_for_beginnings(app: App, world: World) -> None:
    with statements(app) as sent:
        await sell(app, world.acme.id, sale("in_1", customer_id="cus_1"))
    assert [statement for statement, _ in sent if "subscription_start" in statement] == []


async def test_events_are_found_by_their_state_and_not_by_walking_all_of_an_account(app: App, world: World) -> None:
    """Of an account there are all events of weeks; of those that wait or failed, a few."""
    for name, arguments in (("tracking_health", {}), ("replay_failed_events", {}), ("replay_failed_events", ONE)):
        with statements(app) as sent, suppress(NotFound):
            await operate(app, name, arguments, System(world.acme.id))
        walked = [step for step, _ in steps(app, sent) if "inbox_event" in step]
        assert walked, name
        assert [step for step in walked if step.endswith("(account=?)")] == []
        assert whole_reads(app, sent) == []


async def test_whether_a_server_ever_told_of_a_sale_is_found_by_an_index(app: App, world: World) -> None:
    with app.open_store().reading() as session, statements(app) as sent:
        assert not server_sales.have_come(session, world.acme.id)
    assert len(sent) == 1
    assert whole_reads(app, sent, of_a_brand=True) == []


async def test_a_statement_that_reads_a_whole_table_is_found(app: App) -> None:
    assert whole_reads(app, [("SELECT * FROM sale WHERE net_minor = ?", (1,))]) != []
