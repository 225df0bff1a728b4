"""Every argument that names something, given what is another organization's: it looks like nothing at all."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from rekomi_mcp.domain.access import System
from rekomi_mcp.operation import AnyOperation
from rekomi_mcp.tools import CATALOGUE
from tests.security.conftest import Scene
from tests.support.callers import Reply
from tests.support.contents import audit_lines, contents
from tests.support.doors import DOORS, key_to
from tests.support.world import Brand, operate
from tests.test_every_operation import GOOD

pytestmark = pytest.mark.anyio

NAMES: dict[str, Callable[[Brand], Any]] = {
    "programId": lambda b: b.program,
    "affiliateId": lambda b: b.affiliate,
    "affiliateIds": lambda b: [b.affiliate],
    "couponId": lambda b: b.coupon,
    "codeId": lambda b: b.code,
    "linkId": lambda b: b.link,
    "promotionCodeId": lambda b: f"promo_{b.slug}_sarah",
    "conversionId": lambda b: b.conversion,
    "sourceId": lambda b: b.source,
    "affiliateSlug": lambda b: f"link-of-{b.slug}",
    "clickId": lambda b: f"click-of-{b.slug}",
}
"""Arguments that name one thing: whoever has no such thing is told that there is none."""
FILTERS: dict[str, Callable[[Brand], Any]] = {
    "code": lambda b: f"ONLY-{b.slug.upper()}",
    "q": lambda b: f"only-{b.slug}",
    "email": lambda b: f"only-{b.slug}@example.com",
    "externalEventId": lambda b: f"signup-of-{b.slug}",
    "slug": lambda b: b.slug,
    "action": lambda b: "program.created",
    "entityType": lambda b: "program",
}
"""Arguments by which rows are searched, or which must be free: another organization's rows are not among them."""
PLAIN = set(
    """name description termsUrl defaultCommissionType defaultCommissionValue defaultCommissionCurrency
    defaultCommissionModel cookieWindowDays recurringMonths recurringDelayInvoices attributionModel autoApprove isActive
    customDomain networkVisibility websiteUrl allowSelfPurchases isPubliclyDiscoverable includeArchived includeInactive take cursor status fullName
    customCommissionType customCommissionValue customCommissionCurrency clearCustomCommission customAlias tags notes
    reason discountType discountValue discountCurrency duration durationInMonths maxRedemptionsPerCode expiresAt
    amountCents grossAmountCents currency customerId customerEmail subscriptionId occurredAt refundId
    allowAffiliateSelfMint overridesClickAttribution maxRedemptions firstOrderOnly minimumAmountCents
    minimumAmountCurrency since until method periodStart periodEnd format destinationUrl websiteUrl allowSelfPurchases
    groupBy custom""".split()
)
"""Arguments that name nothing. (Cursors have a test of their own.)"""
INSTEAD = {
    "sourceId": "conversionId",
    "affiliateSlug": "affiliateId",
    "code": "affiliateId",
    "clickId": "affiliateId",
}
"""Where one of two is given: the other."""
NONE_SUCH = {"get_install_snippet": "no_program_found"}
"""What is said where nothing is found, when that has a word of its own."""
EXPOSED = list(CATALOGUE.exposed())
OF_ANOTHER = [
    pytest.param(operation, name, id=f"{operation.name}-{name}")
    for operation in EXPOSED
    for name in operation.input.model_json_schema()["properties"]
    if name in NAMES
]


def named(operation: AnyOperation, argument: str, scene: Scene, value: Any) -> dict[str, Any]:
    """Acme's good arguments, but for one."""
    arguments = GOOD[operation.name](scene.world.acme)
    arguments.pop(INSTEAD.get(argument, ""), None)
    return arguments | {argument: value}


def nothing(argument: str, value: Any) -> Any:
    """A value of the same form that names nothing anywhere."""
    return (
        ["00000000-0000-7000-8000-000000000000"] if argument.endswith("s") else "00000000-0000-7000-8000-000000000000"
    )


def assert_silent(reply: Reply, brand: Brand) -> None:
    """Nothing of another brand stands in an answer."""
    said = json.dumps(reply.body)
    for secret in (brand.id, brand.slug, brand.program, brand.affiliate, brand.coupon, brand.code, brand.conversion):
        assert secret not in said


async def test_every_argument_is_known_to_name_something_or_nothing() -> None:
    given = {name for operation in EXPOSED for name in operation.input.model_json_schema()["properties"]}
    assert given == NAMES.keys() | FILTERS.keys() | PLAIN


@pytest.mark.parametrize(("operation", "argument"), OF_ANOTHER)
async def test_what_is_anothers_looks_like_nothing_and_nothing_happens(
    scene: Scene, operation: AnyOperation, argument: str
) -> None:
    acme, neighbour = scene.world.acme, scene.world.neighbour
    foreign = NAMES[argument](neighbour)
    before = contents(scene.app)
    theirs = [line for line in audit_lines(scene.app) if line[0] != acme.id]
    for door in DOORS:
        replies = [
            await scene.doors.call(door, operation, named(operation, argument, scene, value), key_to(door, acme))
            for value in (foreign, nothing(argument, foreign))
        ]
        assert [reply.code for reply in replies] == [NONE_SUCH.get(operation.name, "not_found")] * 2, door
        assert replies[0].body == replies[1].body, "the two must look the same"
        assert_silent(replies[0], neighbour)
    assert contents(scene.app) == before
    assert [line for line in audit_lines(scene.app) if line[0] != acme.id] == theirs


KINDS = ("programId", "affiliateId", "couponId", "codeId", "conversionId")


@pytest.mark.parametrize(("operation", "argument"), [p for p in OF_ANOTHER if p.values[1] != "affiliateSlug"])
async def test_an_id_of_another_kind_names_nothing(scene: Scene, operation: AnyOperation, argument: str) -> None:
    acme = scene.world.acme
    before = contents(scene.app)
    many = argument.endswith("Ids")
    own = "affiliateId" if many else argument
    others = [NAMES[kind](acme) for kind in KINDS if kind != own] + [acme.id, acme.lead]
    for number, value in enumerate(others):
        door = DOORS[number % 2]
        arguments = named(operation, argument, scene, [value] if many else value)
        reply = await scene.doors.call(door, operation, arguments, key_to(door, acme))
        assert reply.code == NONE_SUCH.get(operation.name, "not_found")
    assert contents(scene.app) == before


async def test_one_id_of_another_among_ones_own_is_refused_like_none(scene: Scene) -> None:
    acme, neighbour = scene.world.acme, scene.world.neighbour
    preview = next(o for o in EXPOSED if o.name == "run_payout_preview")
    for door in DOORS:
        mixed = {"affiliateIds": [acme.affiliate, neighbour.affiliate]}
        assert (await scene.doors.call(door, preview, mixed, key_to(door, acme))).code == "not_found"


async def test_what_a_search_finds_is_ones_own(scene: Scene) -> None:
    """The neighbour has a row for each of these searches; Acme has none."""
    brand, app = scene.world.neighbour, scene.app
    system = System(brand.id)
    wanted = {"programId": brand.program, "email": FILTERS["email"](brand), "fullName": FILTERS["q"](brand)}
    affiliate = (await operate(app, "create_affiliate", wanted | {"customAlias": "link-of-neighbour"}, system))["id"]
    lead = {"affiliateId": affiliate, "email": FILTERS["email"](brand), "externalEventId": "signup-of-neighbour"}
    await operate(app, "record_lead", lead, system)
    searches: dict[str, dict[str, Any]] = {
        "list_affiliates": {"q": FILTERS["q"](brand)},
        "list_leads": {"email": FILTERS["email"](brand)},
        "list_affiliate_codes": {"affiliateId": scene.world.acme.affiliate, "code": "ONLY-NEIGHBOUR"},
        "list_conversions": {"code": "ONLY-NEIGHBOUR"},
    }
    for name, arguments in searches.items():
        operation = next(o for o in EXPOSED if o.name == name)
        for door in DOORS:
            reply = await scene.doors.call(door, operation, arguments, key_to(door, scene.world.acme))
            assert reply.body is not None
            assert (reply.code, reply.body["items"]) == ("ok", []), name
    found = await operate(app, "list_affiliates", {"q": FILTERS["q"](brand)}, system)
    assert [row["id"] for row in found["items"]] == [affiliate], "the search itself works"
    record = next(o for o in EXPOSED if o.name == "record_lead")
    for door in DOORS:
        for argument, value in (("affiliateSlug", "link-of-neighbour"), ("code", "ONLY-NEIGHBOUR")):
            refused = await scene.doors.call(
                door, record, {"email": "kim@example.com", argument: value}, key_to(door, scene.world.acme)
            )
            assert refused.code == "not_found"
            assert_silent(refused, brand)


@pytest.mark.parametrize("operation", [o for o in EXPOSED if o.reads], ids=lambda o: o.name)
async def test_no_answer_holds_anything_of_another_organization(scene: Scene, operation: AnyOperation) -> None:
    acme, neighbour = scene.world.acme, scene.world.neighbour
    for door in DOORS:
        reply = await scene.doors.call(door, operation, GOOD[operation.name](acme), key_to(door, acme))
        assert reply.code == "ok"
        assert_silent(reply, neighbour)
