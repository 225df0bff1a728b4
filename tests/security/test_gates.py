"""Every operation before every standing of a caller: scope x role x plan x subscription, at both doors."""

from __future__ import annotations

import itertools
from datetime import timedelta
from typing import NamedTuple

import pytest
from sqlmodel import col, update

from rekomi_mcp.domain.access import Role, Scope
from rekomi_mcp.operation import AnyOperation
from rekomi_mcp.storage.tables import ApiTokenRow, OrganizationRow
from rekomi_mcp.tools import CATALOGUE
from tests.security.conftest import Scene
from tests.support.contents import audit_lines, contents
from tests.support.doors import DOORS, key_to

pytestmark = pytest.mark.anyio

on_sqlite = pytest.mark.parametrize("stored", ["sqlite"], indirect=True)
"""A gate is a comparison in memory, whichever the database; `test_every_operation` opens each on both."""

TIERS = ("Starter", "Growth", "Pro", "Enterprise")
SUBSCRIPTIONS = ("Active", "Trialing", "trial over", "None")
SURVIVES_LAPSE = {"whoami", "get_organization", "get_billing_state", "list_audit_log"}
OWNERS_ONLY = {"archive_program", "run_payout_preview", "list_audit_log", "set_attribution_params"}
NEEDS = {
    **dict.fromkeys(
        (
            "create_campaign_coupon",
            "list_campaign_coupons",
            "update_campaign_coupon",
            "archive_campaign_coupon",
            "mint_affiliate_code",
            "list_adoptable_codes",
            "adopt_promotion_code",
            "list_affiliate_codes",
            "deactivate_affiliate_code",
        ),
        "Growth",
    ),
    "list_audit_log": "Pro",
}
"""The plan an operation needs where that is not Starter. Written down here again: a gate must not open by accident."""
WRITES = {
    "create_program",
    "update_program",
    "archive_program",
    "create_affiliate",
    "update_affiliate",
    "approve_affiliate",
    "reject_affiliate",
    "create_link",
    "rename_link",
    "set_attribution_params",
    "create_campaign_coupon",
    "update_campaign_coupon",
    "archive_campaign_coupon",
    "mint_affiliate_code",
    "adopt_promotion_code",
    "deactivate_affiliate_code",
    "record_lead",
    "record_sale",
    "record_refund",
}


class Standing(NamedTuple):
    scope: Scope
    role: Role
    tier: str
    subscription: str


STANDINGS = [Standing(*s) for s in itertools.product(Scope, Role, TIERS, SUBSCRIPTIONS)]
EXPOSED = list(CATALOGUE.exposed())


def expected(operation: AnyOperation, standing: Standing) -> str:
    """What this caller hears. Who passes every gate is told of the argument that does not exist, and changes nothing."""
    name = operation.name
    if name in WRITES and standing.scope is Scope.READ:
        return "forbidden"
    lowest = Role.Owner if name in OWNERS_ONLY else Role.Manager if name in WRITES else Role.Viewer
    if standing.role < lowest:
        return "forbidden"
    if standing.subscription == "Trialing":
        return "validation_failed"
    lapsed = standing.subscription != "Active" and name not in SURVIVES_LAPSE
    if lapsed or TIERS.index(standing.tier) < TIERS.index(NEEDS.get(name, "Starter")):
        return "plan_tier_required"
    return "validation_failed"


def stand(scene: Scene, standing: Standing) -> None:
    """Give Acme's tokens and Acme itself this standing."""
    acme, now = scene.world.acme.id, scene.app.clock()
    status = "Trialing" if standing.subscription == "trial over" else standing.subscription
    ends = now + timedelta(days=-1 if standing.subscription == "trial over" else 1)
    of_organization = {"plan_tier": standing.tier, "subscription_status": status, "trial_ends_at": ends}
    with scene.app.open_store().writing() as session:
        session.exec(
            update(ApiTokenRow)
            .where(col(ApiTokenRow.organization_id) == acme)
            .values(scope=standing.scope.value, role=standing.role.name)
        )
        session.exec(update(OrganizationRow).where(col(OrganizationRow.id) == acme).values(**of_organization))


async def test_the_written_gates_are_those_of_the_catalogue() -> None:
    assert {o.name for o in EXPOSED if not o.reads} == WRITES
    assert {o.name for o in EXPOSED if o.gate.survives_lapse} == SURVIVES_LAPSE
    assert {o.name for o in EXPOSED if o.role is Role.Owner} == OWNERS_ONLY
    assert {o.name: o.gate.tier.name for o in EXPOSED if o.gate.tier.name != "Starter"} == NEEDS


@on_sqlite
@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("tier", TIERS)
async def test_every_operation_answers_every_standing_as_it_must(scene: Scene, door: str, tier: str) -> None:
    token = key_to(door, scene.world.acme)
    wrong: list[str] = []
    for standing in (s for s in STANDINGS if s.tier == tier):
        stand(scene, standing)
        before, lines = contents(scene.app), len(audit_lines(scene.app))
        opened: set[str] = set()
        for operation in EXPOSED:
            arguments = {"programId": "p", "affiliateId": "a", "codeId": "c", "couponId": "c", "conversionId": "c"}
            declared = operation.input.model_json_schema()["properties"]
            given = {name: value for name, value in arguments.items() if name in declared}
            reply = await scene.doors.call(door, operation, given | {"noSuchThing": "x"}, token)
            if reply.code != expected(operation, standing):
                wrong.append(f"{operation.name} as {standing}: {reply.code}")
            if reply.code == "validation_failed":
                opened.add(operation.name)
        me = await scene.doors.call(door, EXPOSED[0], {}, token)
        assert me.body is not None
        assert set(me.body["may"]) == opened, standing
        assert contents(scene.app) == before
        assert len(audit_lines(scene.app)) == lines + len(WRITES), "each refused write leaves one line"
    assert not wrong
