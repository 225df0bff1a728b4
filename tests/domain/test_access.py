"""Access: every combination of plan, subscription and trial before every gate, and of scope and role."""

from datetime import UTC, datetime, timedelta
from itertools import product

import pytest

from rekomi_mcp.domain.access import (
    ActorType,
    Caller,
    Gate,
    Plan,
    Role,
    Scope,
    Standing,
    SubscriptionStatus,
    scope_or_role_refusal,
)

NOW = datetime(2026, 3, 1, tzinfo=UTC)
TRIALS = {"no end": None, "running": NOW + timedelta(seconds=1), "ends now": NOW, "ended": NOW - timedelta(days=1)}


def caller(scope: Scope, role: Role) -> Caller:
    return Caller(ActorType.MCP, "token", "acme", scope, role, Standing(Plan.Pro, SubscriptionStatus.Active))


@pytest.mark.parametrize("trial", TRIALS)
@pytest.mark.parametrize("status", SubscriptionStatus)
def test_only_an_active_subscription_or_a_running_trial_is_live(status: SubscriptionStatus, trial: str) -> None:
    standing = Standing(Plan.Starter, status, TRIALS[trial])
    running = status is SubscriptionStatus.Trialing and trial in ("no end", "running")
    assert standing.trialing(NOW) is running
    assert standing.live(NOW) is (running or status is SubscriptionStatus.Active)


@pytest.mark.parametrize("survives", [False, True])
@pytest.mark.parametrize("tier", Plan)
def test_a_gate_opens_to_exactly_those_it_names(tier: Plan, survives: bool) -> None:
    gate = Gate(tier, survives_lapse=survives)
    for plan, status, trial in product(Plan, SubscriptionStatus, TRIALS):
        standing = Standing(plan, status, TRIALS[trial])
        reaches = plan >= tier
        paid = status is SubscriptionStatus.Active
        expected = standing.trialing(NOW) or (reaches and (paid or survives))
        assert (gate.refusal(standing, NOW) is None) is expected, (plan, status, trial)


def test_a_refused_plan_is_told_what_it_needs_and_what_it_has() -> None:
    refusal = Gate(Plan.Pro).refusal(Standing(Plan.Starter, SubscriptionStatus.Active), NOW)
    assert refusal is not None
    assert (refusal.status, refusal.code) == (402, "plan_tier_required")
    body = refusal.body()
    assert (body["required"], body["current"], body["trialing"]) == ("Pro", "Starter", False)
    assert "Pro" in refusal.message and "Starter" in refusal.message


def test_a_lapsed_organization_on_a_sufficient_plan_is_told_to_activate_it() -> None:
    ended = Standing(Plan.Enterprise, SubscriptionStatus.Trialing, NOW - timedelta(days=1))
    refusal = Gate(Plan.Growth).refusal(ended, NOW)
    assert refusal is not None
    assert "no live subscription" in refusal.message
    assert refusal.body()["subscriptionStatus"] == "Trialing"


def test_a_gate_that_survives_a_lapse_still_needs_its_plan() -> None:
    gate = Gate(Plan.Pro, survives_lapse=True)
    assert gate.refusal(Standing(Plan.Pro, SubscriptionStatus.None_), NOW) is None
    assert gate.refusal(Standing(Plan.Growth, SubscriptionStatus.None_), NOW) is not None


@pytest.mark.parametrize(("has", "needs"), list(product(Role, Role)))
def test_a_role_opens_what_it_and_the_lower_roles_open(has: Role, needs: Role) -> None:
    refusal = scope_or_role_refusal(caller(Scope.READ_WRITE, has), Scope.READ_WRITE, needs)
    if has >= needs:
        assert refusal is None
    else:
        assert refusal is not None
        assert (refusal.status, refusal.code) == (403, "forbidden")
        assert needs.name in refusal.message and has.name in refusal.message


@pytest.mark.parametrize(
    ("has", "needs", "opens"),
    [
        (Scope.READ, Scope.READ, True),
        (Scope.READ, Scope.READ_WRITE, False),
        (Scope.READ_WRITE, Scope.READ, True),
        (Scope.READ_WRITE, Scope.READ_WRITE, True),
    ],
)
def test_the_writing_scope_includes_the_reading_one(has: Scope, needs: Scope, opens: bool) -> None:
    refusal = scope_or_role_refusal(caller(has, Role.Owner), needs, Role.Owner)
    assert (refusal is None) is opens
    if refusal is not None:
        assert "read_write" in refusal.message


def test_roles_and_plans_rise_in_the_order_people_know() -> None:
    assert [role.name for role in sorted(Role)] == ["Viewer", "Manager", "Admin", "Owner"]
    assert [plan.name for plan in sorted(Plan)] == ["Starter", "Growth", "Pro", "Enterprise"]
