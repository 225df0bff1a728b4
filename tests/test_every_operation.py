"""What holds for every operation, now and for each one added later, on both transports and both databases."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from sqlmodel import Session, col, select

import rekomi_mcp.storage as storage
from rekomi_mcp.app import App
from rekomi_mcp.domain.access import Plan, Role, System
from rekomi_mcp.gateways.stripe import NewCoupon, NewPromotionCode
from rekomi_mcp.gateways.stripe_inbox import inbox_row
from rekomi_mcp.operation import AnyOperation
from rekomi_mcp.storage import tokens
from rekomi_mcp.storage.tables import ApiTokenRow, AuditLineRow
from rekomi_mcp.tools import CATALOGUE
from tests.support.callers import Caller, http_caller, mcp_caller
from tests.support.world import Brand, World, operate

pytestmark = pytest.mark.anyio

EXPOSED = list(CATALOGUE.exposed())
GOOD: dict[str, Callable[[Brand], dict[str, Any]]] = {
    "whoami": lambda b: {},
    "get_organization": lambda b: {},
    "get_billing_state": lambda b: {},
    "create_program": lambda b: {
        "name": "Holiday",
        "defaultCommissionType": "Percentage",
        "defaultCommissionValue": 30,
    },
    "list_programs": lambda b: {},
    "get_program": lambda b: {"programId": b.program},
    "update_program": lambda b: {"programId": b.program, "name": "Renamed"},
    "archive_program": lambda b: {"programId": b.program},
    "create_affiliate": lambda b: {"programId": b.program, "email": "new@example.com"},
    "list_affiliates": lambda b: {"programId": b.program},
    "get_affiliate": lambda b: {"affiliateId": b.affiliate},
    "update_affiliate": lambda b: {"affiliateId": b.affiliate, "notes": "Promising."},
    "approve_affiliate": lambda b: {"affiliateId": b.applicant},
    "reject_affiliate": lambda b: {"affiliateId": b.applicant, "reason": "Off topic"},
    "create_link": lambda b: {"affiliateId": b.affiliate, "slug": f"{b.slug}-spring"},
    "list_links": lambda b: {"affiliateId": b.affiliate},
    "rename_link": lambda b: {"linkId": b.link, "slug": f"{b.slug}-renamed"},
    "list_clicks": lambda b: {"affiliateId": b.affiliate, "programId": b.program},
    "get_install_snippet": lambda b: {},
    "get_attribution_params": lambda b: {},
    "set_attribution_params": lambda b: {"custom": "my_aff"},
    "create_campaign_coupon": lambda b: {"programId": b.program, "name": "Summer", "discountValue": 15},
    "list_campaign_coupons": lambda b: {"programId": b.program},
    "update_campaign_coupon": lambda b: {"programId": b.program, "couponId": b.coupon, "name": "Spring"},
    "archive_campaign_coupon": lambda b: {"programId": b.program, "couponId": b.coupon},
    "mint_affiliate_code": lambda b: {"affiliateId": b.affiliate, "code": "NEW-CODE"},
    "list_adoptable_codes": lambda b: {},
    "adopt_promotion_code": lambda b: {"affiliateId": b.affiliate, "promotionCodeId": "promo_of_the_example"},
    "list_affiliate_codes": lambda b: {"affiliateId": b.affiliate},
    "deactivate_affiliate_code": lambda b: {"affiliateId": b.affiliate, "codeId": b.code},
    "record_lead": lambda b: {"affiliateId": b.affiliate, "programId": b.program, "email": "kim@example.com"},
    "list_leads": lambda b: {"affiliateId": b.affiliate, "programId": b.program},
    "record_sale": lambda b: {
        "externalEventId": "order-1",
        "affiliateId": b.affiliate,
        "programId": b.program,
        "amountCents": 4900,
        "currency": "USD",
    },
    "record_refund": lambda b: {
        "externalEventId": "order-9",
        "refundId": "refund-1",
        "amountCents": 100,
        "currency": "USD",
    },
    "list_conversions": lambda b: {"affiliateId": b.affiliate, "programId": b.program},
    "get_conversion": lambda b: {"conversionId": b.conversion},
    "explain_attribution": lambda b: {"conversionId": b.conversion},
    "run_payout_preview": lambda b: {"affiliateIds": [b.affiliate]},
    "tracking_health": lambda b: {},
    "find_missed_sales": lambda b: {},
    "repair_missed_sales": lambda b: {},
    "replay_failed_events": lambda b: {"eventIds": [f"evt_failed_{b.slug}"]},
    "list_audit_log": lambda b: {},
}
FOREIGN: dict[str, Callable[[Brand], Any]] = {
    "programId": lambda b: b.program,
    "affiliateId": lambda b: b.affiliate,
    "affiliateIds": lambda b: [b.affiliate],
    "couponId": lambda b: b.coupon,
    "codeId": lambda b: b.code,
    "linkId": lambda b: b.link,
    "promotionCodeId": lambda b: f"promo_{b.slug}_sarah",
    "conversionId": lambda b: b.conversion,
    "eventIds": lambda b: [f"evt_failed_{b.slug}"],
}
PLANS_FIRST = {"repair_missed_sales"}
"""Writes that only answer their plan until it is confirmed."""
OTHER_ARGUMENTS = {"repair_missed_sales": ("until", "2026-01-01"), "replay_failed_events": ("eventIds", ["another"])}
LAPSE_SURVIVORS = {"whoami", "get_organization", "get_billing_state", "list_audit_log"}

every_operation = pytest.mark.parametrize("operation", EXPOSED, ids=lambda operation: operation.name)
every_write = pytest.mark.parametrize("operation", [o for o in EXPOSED if not o.reads], ids=lambda o: o.name)


@pytest.fixture(params=["http", "mcp"])
def transport(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def call(transport: str, app: App) -> Caller:
    return http_caller(app) if transport == "http" else mcp_caller(app)


async def token(app: App, transport: str, organization: str = "acme", **wanted: Any) -> str:
    """A token of the transport's kind with a scope, role or expiry."""
    kind = "LIVE" if transport == "http" else "MCP"
    request = {"organization": organization, "kind": kind, "name": "test", **wanted}
    return (await operate(app, "create_token", request))["token"]


def owner(transport: str, brand: Brand) -> str:
    return brand.live_token if transport == "http" else brand.mcp_token


async def good(app: App, operation: AnyOperation, brand: Brand) -> dict[str, Any]:
    """Arguments that this operation accepts from this brand now."""
    arguments = GOOD[operation.name](brand)
    if operation.name == "mint_affiliate_code":
        wanted = {"name": "For the mint", "discountValue": 10, "programId": brand.program}
        coupon = await operate(app, "create_campaign_coupon", wanted, System(brand.id))
        arguments["couponId"] = coupon["id"]
    elif operation.name == "replay_failed_events":
        give_up_an_event(app, brand)
    elif operation.name == "adopt_promotion_code":
        arguments["promotionCodeId"] = await in_stripe(app)
    return arguments


def give_up_an_event(app: App, brand: Brand) -> None:
    event: dict[str, Any] = {
        "id": f"evt_failed_{brand.slug}",
        "type": "invoice.paid",
        "created": 1,
        "data": {"object": {}},
    }
    row = inbox_row(event, source="webhook", live=False, now=app.clock())
    with app.open_store().writing() as session:
        storage.inbox.store(session, [{**row, "account": brand.account, "state": "failed"}])


async def in_stripe(app: App) -> str:
    """A promotion code that somebody made in Stripe, in the sandbox's own account."""
    stripe = app.stripe.account("self")
    coupon = NewCoupon(id="MERCHANTS", row_id="elsewhere", name="Ten off", percent_off=10, duration="once")
    await stripe.create_coupon(coupon)
    return await stripe.create_promotion_code(
        NewPromotionCode(row_id="elsewhere", coupon_id="MERCHANTS", code="BLOG10")
    )


def trail(app: App, brand: Brand) -> list[tuple[str, str]]:
    """The audit log as (action, outcome), oldest first."""
    with app.open_store().reading() as session:
        return _trail(session, brand)


def _trail(session: Session, brand: Brand) -> list[tuple[str, str]]:
    query = select(AuditLineRow).where(AuditLineRow.organization_id == brand.id).order_by(col(AuditLineRow.seq))
    return [(row.action, row.outcome) for row in session.exec(query)]


async def test_every_operation_has_an_example() -> None:
    assert set(GOOD) == {operation.name for operation in EXPOSED}


@every_operation
async def test_an_unknown_token_is_refused(call: Caller, operation: AnyOperation, world: World) -> None:
    for nonsense in ("nonsense", "rk_live_nonsense", "rk_mcp_nonsense"):
        assert (await call(operation, GOOD[operation.name](world.acme), nonsense)).code == "unauthorized"


@every_operation
async def test_the_other_transports_token_is_refused(
    call: Caller, transport: str, operation: AnyOperation, world: World
) -> None:
    other = owner("mcp" if transport == "http" else "http", world.acme)
    assert (await call(operation, GOOD[operation.name](world.acme), other)).code == "unauthorized"


@every_operation
async def test_an_expired_and_a_revoked_token_are_refused(
    app: App, call: Caller, transport: str, operation: AnyOperation, world: World
) -> None:
    secret = await token(app, transport)
    with app.open_store().writing() as session:
        row = session.exec(select(ApiTokenRow).where(ApiTokenRow.sha256 == tokens.digest(secret))).one()
        row.expires_at = app.clock() - timedelta(seconds=1)
        token_id = row.id
    assert (await call(operation, GOOD[operation.name](world.acme), secret)).code == "token_expired"
    await operate(app, "revoke_token", {"tokenId": token_id})
    assert (await call(operation, GOOD[operation.name](world.acme), secret)).code == "token_revoked"


@every_operation
async def test_a_reading_token_may_read_and_not_write(
    app: App, call: Caller, transport: str, operation: AnyOperation, world: World
) -> None:
    reply = await call(operation, GOOD[operation.name](world.acme), await token(app, transport, scope="read"))
    assert reply.code == ("ok" if operation.reads else "forbidden")


@every_operation
async def test_the_role_below_the_needed_one_is_refused(
    app: App, call: Caller, transport: str, operation: AnyOperation, world: World
) -> None:
    if operation.role is Role.Viewer:
        lowest = await token(app, transport, role="Viewer")
        assert (await call(operation, GOOD[operation.name](world.acme), lowest)).code == "ok"
        return
    below = await token(app, transport, role=Role(operation.role - 1).name)
    assert (await call(operation, GOOD[operation.name](world.acme), below)).code == "forbidden"


@every_operation
async def test_the_plan_below_the_needed_one_is_refused(
    app: App, call: Caller, transport: str, operation: AnyOperation, world: World
) -> None:
    below = Plan(max(Plan.Starter, operation.gate.tier - 1))
    arguments = await good(app, operation, world.acme)
    await operate(app, "update_organization", {"organization": "acme", "plan": below.name, "status": "Active"})
    reply = await call(operation, arguments, owner(transport, world.acme))
    if operation.gate.tier is Plan.Starter:
        assert reply.code == "ok"
        return
    assert reply.code == "plan_tier_required"
    assert reply.body is not None
    assert (reply.body["required"], reply.body["current"]) == (operation.gate.tier.name, below.name)
    assert reply.body["trialing"] is False


@every_operation
async def test_a_trial_opens_every_plan(
    app: App, call: Caller, transport: str, operation: AnyOperation, world: World
) -> None:
    arguments = await good(app, operation, world.acme)
    await operate(app, "update_organization", {"organization": "acme", "plan": "Starter", "status": "Trialing"})
    assert (await call(operation, arguments, owner(transport, world.acme))).code == "ok"


@every_operation
async def test_a_lapsed_organization_can_only_look_at_itself(
    app: App, call: Caller, transport: str, operation: AnyOperation, world: World
) -> None:
    await operate(app, "update_organization", {"organization": "acme", "status": "None"})
    reply = await call(operation, GOOD[operation.name](world.acme), owner(transport, world.acme))
    assert reply.code == ("ok" if operation.name in LAPSE_SURVIVORS else "plan_tier_required")


@every_operation
async def test_an_unknown_argument_is_refused_by_name(
    call: Caller, transport: str, operation: AnyOperation, world: World
) -> None:
    arguments = GOOD[operation.name](world.acme) | {"detial": "x"}
    reply = await call(operation, arguments, owner(transport, world.acme))
    assert reply.code == "validation_failed"
    assert reply.body is not None
    assert reply.body["field"] == "detial"


@every_operation
async def test_an_argument_of_the_wrong_type_is_refused_by_name(
    app: App, operation: AnyOperation, world: World
) -> None:
    call = mcp_caller(app)
    for name in operation.input.model_json_schema()["properties"]:
        arguments = GOOD[operation.name](world.acme) | {name: {"wrong": "type"}}
        reply = await call(operation, arguments, world.acme.mcp_token)
        assert reply.code == "validation_failed", name
        assert reply.body is not None
        assert reply.body["field"].startswith(name)


@every_operation
async def test_another_organizations_id_looks_like_no_id_at_all(
    app: App, call: Caller, transport: str, operation: AnyOperation, world: World
) -> None:
    arguments = await good(app, operation, world.acme)
    for name in arguments.keys() & FOREIGN.keys():
        foreign: Any = FOREIGN[name](world.neighbour)
        nonsense: Any = ["nonsense"] if name.endswith("Ids") else "nonsense"
        replies = [
            await call(operation, arguments | {name: value}, owner(transport, world.acme))
            for value in (foreign, nonsense)
        ]
        assert [reply.code for reply in replies] == ["not_found", "not_found"], name
        assert replies[0].body == replies[1].body


@every_operation
async def test_a_write_leaves_one_audit_line_and_a_read_none(
    app: App, call: Caller, transport: str, operation: AnyOperation, world: World
) -> None:
    arguments = await good(app, operation, world.acme)
    before = trail(app, world.acme)
    assert (await call(operation, arguments, owner(transport, world.acme))).code == "ok"
    added = trail(app, world.acme)[len(before) :]
    assert added == ([] if operation.reads or operation.name in PLANS_FIRST else [(operation.audit, "ok")])


@every_write
async def test_a_refused_write_leaves_its_refusal_in_the_audit_log_and_nothing_else(
    app: App, call: Caller, transport: str, operation: AnyOperation, world: World
) -> None:
    before = trail(app, world.acme)
    reader = await token(app, transport, scope="read")
    await call(operation, GOOD[operation.name](world.acme), reader)
    await call(operation, GOOD[operation.name](world.acme) | {"detial": "x"}, owner(transport, world.acme))
    added = [line for line in trail(app, world.acme)[len(before) :] if line[0] != "token.created"]
    assert added == [(operation.audit, "forbidden"), (operation.audit, "validation_failed")]


@every_operation
async def test_the_answer_fits_the_declared_output(
    app: App, call: Caller, transport: str, operation: AnyOperation, world: World
) -> None:
    reply = await call(operation, await good(app, operation, world.acme), owner(transport, world.acme))
    assert reply.code == "ok"
    if reply.body is not None:
        operation.output.model_validate(reply.body)


@every_write
async def test_a_repeated_key_receives_the_first_answer(
    app: App, call: Caller, transport: str, operation: AnyOperation, world: World
) -> None:
    arguments = await good(app, operation, world.acme)
    secret = owner(transport, world.acme)
    first = await call(operation, arguments, secret, key="friday")
    lines = trail(app, world.acme)
    again = await call(operation, arguments, secret, key="friday")
    assert first.code == "ok"
    assert (again.code, again.body) == ("ok", first.body)
    assert trail(app, world.acme) == lines
    if transport == "http":
        assert (first.replayed, again.replayed) == (False, True)


@every_write
async def test_a_repeated_key_with_other_arguments_is_a_conflict(
    app: App, call: Caller, transport: str, operation: AnyOperation, world: World
) -> None:
    arguments = await good(app, operation, world.acme)
    secret = owner(transport, world.acme)
    assert (await call(operation, arguments, secret, key="friday")).code == "ok"
    name = "fullName" if operation.name == "update_affiliate" else "name"
    if name not in operation.input.model_json_schema()["properties"]:
        name = next((n for n in arguments if n in FOREIGN), next(iter(arguments), "refundId"))
    name, value = OTHER_ARGUMENTS.get(operation.name, (name, "Another"))
    reply = await call(operation, arguments | {name: value}, secret, key="friday")
    assert reply.code == "idempotency_conflict"
