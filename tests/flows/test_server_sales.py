"""Sales and refunds that a seller's own server tells, on both databases: credited once, taken back once, in any order."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import anyio
import pytest
from sqlmodel import col, select, update

from rekomi_mcp.app import App
from rekomi_mcp.domain.access import System
from rekomi_mcp.domain.errors import IdempotencyConflict, InvalidInput, NotFound, Refusal, UnsupportedCurrency
from rekomi_mcp.storage.tables import AffiliateLinkRow, AuditLineRow, ClickRow, LedgerEntryRow, OrganizationRow
from tests.support.contents import contents
from tests.support.world import World, operate, sale, sell

pytestmark = pytest.mark.anyio

ORDER: dict[str, Any] = {"externalEventId": "order-1", "amountCents": 10_000, "currency": "USD"}
REFUND: dict[str, Any] = {"externalEventId": "order-1", "refundId": "refund-1"}


@pytest.fixture
def acme(world: World) -> System:
    return System(world.acme.id)


async def tell(app: App, acme: System, **change: Any) -> dict[str, Any]:
    return await operate(app, "record_sale", ORDER | change, acme)


async def refund(app: App, acme: System, **change: Any) -> dict[str, Any]:
    return await operate(app, "record_refund", REFUND | change, acme)


async def refused(app: App, acme: System, name: str, arguments: dict[str, Any], kind: type[Refusal]) -> Refusal:
    """Nothing but the refusal's line was written."""
    before = contents(app)
    with pytest.raises(kind) as found:
        await operate(app, name, arguments, acme)
    assert contents(app) == before
    return found.value


def balance(app: App, world: World) -> int:
    with app.open_store().reading() as session:
        query = select(LedgerEntryRow.amount_minor).where(LedgerEntryRow.organization_id == world.acme.id)
        return sum(session.exec(query)) - 800  # of the world's own sale


def click(app: App, world: World) -> str:
    with app.open_store().writing() as session:
        link = session.exec(select(AffiliateLinkRow).where(AffiliateLinkRow.affiliate_id == world.acme.affiliate)).one()
        row = ClickRow(
            organization_id=world.acme.id,
            program_id=world.acme.program,
            affiliate_id=world.acme.affiliate,
            link_id=link.id,
            visitor_id="visitor",
            device="Mobile",
            occurred_at=app.clock() - timedelta(days=1),
        )
        session.add(row)
        session.flush()
        return row.id


@pytest.mark.parametrize("by", ["affiliateId", "affiliateSlug", "code", "clickId", "customerEmail"])
async def test_a_sale_is_credited_to_whom_it_names(app: App, world: World, acme: System, by: str) -> None:
    value = {
        "affiliateId": world.acme.affiliate,
        "affiliateSlug": "Sarah-Lee",
        "code": "sarah20",
        "clickId": click(app, world),
        "customerEmail": "LEE@example.com",
    }[by]
    answer = await tell(app, acme, **{by: value})
    assert (answer["ok"], answer["deduped"], answer["outcome"], answer["explanation"]) == (
        True,
        False,
        "credited",
        None,
    )
    assert (answer["affiliate"], answer["affiliateId"]) == ("Sarah Lee", world.acme.affiliate)
    assert (answer["commission"], answer["commissionCents"], answer["status"]) == ("USD 20.00", 2000, "Pending")
    assert balance(app, world) == 2000
    shown = await operate(app, "get_conversion", {"conversionId": answer["conversionId"]}, acme)
    assert (shown["externalEventId"], shown["amountCents"]) == ("order-1", 10_000)
    why = await operate(app, "explain_attribution", {"sourceId": "order-1"}, acme)
    assert why["source"] == "server"


async def test_a_customer_stays_with_whoever_brought_them(app: App, world: World, acme: System) -> None:
    first = await tell(app, acme, affiliateId=world.acme.affiliate, customerId="customer-7")
    later = await tell(app, acme, externalEventId="order-2", customerId="customer-7")
    assert later["affiliateId"] == first["affiliateId"]
    assert later["conversionId"] != first["conversionId"]


async def test_a_payment_of_a_subscription_needs_no_other_name(app: App, world: World, acme: System) -> None:
    await tell(app, acme, affiliateId=world.acme.affiliate, subscriptionId="plan-7")
    renewal = await tell(app, acme, externalEventId="order-2", subscriptionId="plan-7")
    assert (renewal["outcome"], renewal["affiliateId"]) == ("credited", world.acme.affiliate)


async def test_a_customer_nobody_brought_earns_nobody_anything_and_the_answer_says_why(
    app: App, world: World, acme: System
) -> None:
    answer = await tell(app, acme, customerId="stranger")
    assert (answer["outcome"], answer["conversionId"], answer["affiliate"]) == ("no_claim", None, None)
    assert answer["explanation"].startswith("Nobody earned. No affiliate had a claim")
    assert balance(app, world) == 0
    assert (await tell(app, acme, customerId="stranger"))["deduped"]
    named = await tell(app, acme, affiliateId=world.acme.affiliate)
    assert (named["deduped"], named["outcome"]) == (False, "credited")
    assert balance(app, world) == 2000


async def test_the_same_sale_again_receives_the_first_result(app: App, world: World, acme: System) -> None:
    first = await tell(app, acme, affiliateId=world.acme.affiliate, occurredAt="2026-01-01")
    before = contents(app)
    for naming in ({"affiliateId": world.acme.affiliate}, {"affiliateSlug": "sarah-lee"}, {"code": "SARAH20"}):
        again = await tell(app, acme, **naming)
        assert again == first | {"deduped": True}
    assert contents(app) == before


@pytest.mark.parametrize("change", [{"amountCents": 9999}, {"currency": "EUR"}, {"grossAmountCents": 11_000}], ids=str)
async def test_another_sale_under_the_same_id_is_refused(
    app: App, world: World, acme: System, change: dict[str, Any]
) -> None:
    named = ORDER | {"affiliateId": world.acme.affiliate}
    await operate(app, "record_sale", named, acme)
    refusal = await refused(app, acme, "record_sale", named | change, IdempotencyConflict)
    assert refusal.field == "externalEventId"


async def test_another_affiliate_under_the_same_id_is_refused(app: App, world: World, acme: System) -> None:
    tom = await operate(app, "create_affiliate", {"email": "tom@example.com"}, acme)
    await tell(app, acme, code="SARAH20")
    await refused(app, acme, "record_sale", ORDER | {"affiliateId": tom["id"]}, IdempotencyConflict)
    await tell(app, acme, externalEventId="order-2", customerEmail="lee@example.com")
    other = ORDER | {"externalEventId": "order-2", "affiliateId": tom["id"]}
    await refused(app, acme, "record_sale", other, IdempotencyConflict)


@pytest.mark.parametrize(
    ("naming", "kind", "field"),
    [
        ({}, InvalidInput, "affiliateId"),
        ({"affiliateSlug": "sarah-lee", "code": "SARAH20"}, InvalidInput, "affiliateId"),
        ({"code": "NOBODY"}, NotFound, "code"),
        ({"affiliateSlug": "sarah-lee", "externalEventId": "  "}, InvalidInput, "externalEventId"),
        ({"affiliateSlug": "nobody"}, NotFound, "affiliateSlug"),
        ({"clickId": "nonsense"}, NotFound, "clickId"),
        ({"customerId": "customer-7", "programId": "PROGRAM"}, InvalidInput, "programId"),
        ({"affiliateSlug": "sarah-lee", "programId": "nonsense"}, NotFound, "programId"),
        ({"affiliateSlug": "sarah-lee", "grossAmountCents": 9_999}, InvalidInput, "grossAmountCents"),
        ({"affiliateSlug": "sarah-lee", "occurredAt": "2999-01-01"}, InvalidInput, "occurredAt"),
    ],
    ids=str,
)
async def test_a_sale_that_cannot_be_is_refused(
    app: App, world: World, acme: System, naming: dict[str, Any], kind: type[Refusal], field: str
) -> None:
    given = {name: world.acme.program if value == "PROGRAM" else value for name, value in naming.items()}
    assert (await refused(app, acme, "record_sale", ORDER | given, kind)).field == field


async def test_an_affiliate_of_another_program_is_none_of_this_one(app: App, world: World, acme: System) -> None:
    terms = {"name": "Podcasts", "defaultCommissionType": "Percentage", "defaultCommissionValue": 20}
    other = await operate(app, "create_program", terms, acme)
    wanted = ORDER | {"affiliateId": world.acme.affiliate, "programId": other["id"]}
    assert (await refused(app, acme, "record_sale", wanted, NotFound)).field == "programId"


async def test_a_clock_that_is_a_little_ahead_tells_of_now(app: App, world: World, acme: System) -> None:
    ahead = (app.clock() + timedelta(minutes=4)).isoformat()
    answer = await tell(app, acme, affiliateId=world.acme.affiliate, occurredAt=ahead)
    shown = await operate(app, "get_conversion", {"conversionId": answer["conversionId"]}, acme)
    assert shown["createdAt"] < ahead


async def test_one_id_is_two_sales_of_two_organizations(app: App, world: World, acme: System) -> None:
    await tell(app, acme, affiliateId=world.acme.affiliate)
    theirs = await tell(app, System(world.neighbour.id), affiliateId=world.neighbour.affiliate)
    assert theirs["deduped"] is False


async def test_a_sale_told_by_many_at_once_is_recorded_once(app: App, world: World, acme: System) -> None:
    answers: list[dict[str, Any]] = []

    async def once() -> None:
        answers.append(await tell(app, acme, affiliateId=world.acme.affiliate))

    async with anyio.create_task_group() as group:
        for _ in range(8):
            group.start_soon(once)
    assert sorted(answer["deduped"] for answer in answers) == [False] + [True] * 7
    assert len({answer["conversionId"] for answer in answers}) == 1
    assert balance(app, world) == 2000


async def test_refunds_add_up_and_each_takes_its_share_once(app: App, world: World, acme: System) -> None:
    await tell(app, acme, affiliateId=world.acme.affiliate, grossAmountCents=12_000)
    first = await refund(app, acme, amountCents=3_000)
    assert (first["deduped"], first["amountCents"], first["amountLeftCents"]) == (False, 3_000, 9_000)
    assert (first["commissionTaken"], first["commissionLeft"]) == ("USD 5.00", "USD 15.00")
    assert (first["affiliate"], first["note"]) == ("Sarah Lee", None)
    before = contents(app)
    assert await refund(app, acme, amountCents=3_000) == first | {"deduped": True}
    assert contents(app) == before
    rest = await refund(app, acme, refundId="refund-2")
    assert (rest["amountCents"], rest["amountLeftCents"]) == (9_000, 0)
    assert (rest["commissionTakenCents"], rest["commissionLeftCents"]) == (1_500, 0)
    assert balance(app, world) == 0
    assert (await refund(app, acme, refundId="refund-2"))["deduped"]
    shown = await operate(app, "get_conversion", {"conversionId": rest["conversionId"]}, acme)
    assert shown["status"] == "Refunded"


async def test_no_more_goes_back_than_was_paid(app: App, world: World, acme: System) -> None:
    await tell(app, acme, affiliateId=world.acme.affiliate)
    answer = await refund(app, acme, amountCents=99_999)
    assert (answer["amountCents"], answer["commissionTakenCents"], answer["commissionLeftCents"]) == (10_000, 2_000, 0)
    assert answer["note"].startswith("Only USD 100.00 of it was left")
    assert (await refund(app, acme, amountCents=99_999)) == answer | {"deduped": True}
    nothing = await refund(app, acme, refundId="refund-2", amountCents=1)
    assert (nothing["amountCents"], nothing["commissionTakenCents"], nothing["amountLeftCents"]) == (0, 0, 0)
    assert balance(app, world) == 0


async def test_a_refund_may_come_before_its_sale(app: App, world: World, acme: System) -> None:
    early = await refund(app, acme, amountCents=2_500, currency="USD")
    assert (early["conversionId"], early["commissionTaken"], early["amountLeftCents"]) == (None, None, None)
    assert "kept" in early["note"]
    assert balance(app, world) == 0
    sold = await tell(app, acme, affiliateId=world.acme.affiliate)
    assert (sold["commission"], sold["commissionCents"]) == ("USD 15.00", 2_000)
    assert balance(app, world) == 1_500
    again = await refund(app, acme, amountCents=2_500, currency="USD")
    assert (again["deduped"], again["commissionTakenCents"], again["amountLeftCents"]) == (True, 500, 7_500)


@pytest.mark.parametrize(
    ("given", "field"), [({}, "amountCents"), ({"currency": "USD"}, "amountCents"), ({"amountCents": 1}, "currency")]
)
async def test_a_refund_that_waits_says_how_much_of_what(
    app: App, acme: System, given: dict[str, Any], field: str
) -> None:
    assert (await refused(app, acme, "record_refund", REFUND | given, InvalidInput)).field == field


@pytest.mark.parametrize(("currency", "left"), [("KWD", "KWD 1.500"), ("JPY", "JPY 1,500"), ("UGX", "UGX 15.00")])
async def test_a_refund_may_be_in_any_currency_that_stripe_has_and_come_first(
    app: App, world: World, acme: System, currency: str, left: str
) -> None:
    early = await refund(app, acme, amountCents=2_500, currency=currency.lower())
    assert (early["amountCents"], early["currency"]) == (2_500, currency)
    sold = await tell(app, acme, affiliateId=world.acme.affiliate, currency=currency)
    assert (sold["commission"], sold["commissionCents"]) == (left, 2_000)


async def test_a_sale_in_a_currency_that_there_is_not_is_refused(app: App, world: World, acme: System) -> None:
    for name, wanted in (("record_sale", ORDER), ("record_refund", REFUND | {"amountCents": 1})):
        refusal = await refused(app, acme, name, wanted | {"currency": "UDS"}, UnsupportedCurrency)
        assert refusal.field == "currency"
        assert "three-letter code of a currency that Stripe has" in str(refusal)


async def test_a_sale_in_another_currency_is_not_the_one_that_was_refunded(
    app: App, world: World, acme: System
) -> None:
    await refund(app, acme, amountCents=2_500, currency="EUR")
    wanted = ORDER | {"affiliateId": world.acme.affiliate}
    assert (await refused(app, acme, "record_sale", wanted, IdempotencyConflict)).field == "currency"
    await tell(app, acme, affiliateId=world.acme.affiliate, externalEventId="order-2")
    other = REFUND | {"externalEventId": "order-2", "refundId": "refund-2", "currency": "EUR"}
    assert (await refused(app, acme, "record_refund", other, InvalidInput)).field == "currency"


async def test_one_refund_id_is_one_refund(app: App, world: World, acme: System) -> None:
    await tell(app, acme, affiliateId=world.acme.affiliate)
    await tell(app, acme, affiliateId=world.acme.affiliate, externalEventId="order-2")
    await refund(app, acme, amountCents=1_000)
    for change in ({"amountCents": 2_000}, {"amountCents": None}, {"externalEventId": "order-2", "amountCents": 1_000}):
        refusal = await refused(app, acme, "record_refund", REFUND | change, IdempotencyConflict)
        assert refusal.field == "refundId"


async def test_a_refund_of_a_sale_that_nobody_earned_on_takes_nothing(app: App, world: World, acme: System) -> None:
    await tell(app, acme, customerId="stranger")
    answer = await refund(app, acme)
    assert (answer["amountCents"], answer["conversionId"]) == (10_000, None)
    assert "Nobody earned" in answer["note"]


async def test_a_refund_told_by_many_at_once_counts_once(app: App, world: World, acme: System) -> None:
    await tell(app, acme, affiliateId=world.acme.affiliate)
    answers: list[dict[str, Any]] = []

    async def once(number: int) -> None:
        answers.append(await refund(app, acme, refundId=f"refund-{number % 2}", amountCents=6_000))

    async with anyio.create_task_group() as group:
        for number in range(8):
            group.start_soon(once, number)
    assert sorted(answer["deduped"] for answer in answers) == [False] * 2 + [True] * 6
    assert sum(answer["commissionTakenCents"] for answer in answers if not answer["deduped"]) == 2_000
    assert balance(app, world) == 0


async def test_the_shops_ids_never_meet_stripes(app: App, world: World, acme: System) -> None:
    """A shop may call its sale and its refund what Stripe calls its own."""
    await sell(app, world.acme.id, sale("in_1", codes=("promo_acme_sarah",)))
    told = await tell(app, acme, externalEventId="in_1", affiliateId=world.acme.affiliate)
    assert told["deduped"] is False
    gone = await refund(app, acme, externalEventId="in_1", refundId="re_1")
    assert gone["commissionLeftCents"] == 0
    assert balance(app, world) == 800


OF_STRIPE = [
    "in_1MtHbELkdIwHu7ixl4OzzPMv",
    "cs_live_a1KPvNqUQqMzLDBNQwFCwFvYFVC",
    "cs_test_gJeRxN8zUo0sFkqT",
    "pi_3MtwBwLkdIwHu7ix28a3tqPa",
    "ch_4fdAW5ftNQow1a",
    "py_1MtwBwLkdIwHu7ix28a3tqPa",
    "sub_1MowQVLkdIwHu7ixeRlqHVzs",
    "evt_1NG8Du2eZvKYlo2CUI79vXWy",
]


@pytest.mark.parametrize("stripes", OF_STRIPE)
async def test_what_stripe_tells_itself_is_not_told_by_a_server_too(
    app: App, world: World, acme: System, stripes: str
) -> None:
    """Neither before Stripe tells it nor after: it would earn twice."""
    sold = ORDER | {"externalEventId": stripes, "affiliateId": world.acme.affiliate}
    refusal = await refused(app, acme, "record_sale", sold, InvalidInput)
    assert (refusal.field, "arrive by themselves" in refusal.message) == ("externalEventId", True)
    gone = REFUND | {"externalEventId": stripes, "amountCents": 100, "currency": "USD"}
    await refused(app, acme, "record_refund", gone, InvalidInput)


async def test_without_stripe_a_server_may_call_its_sales_as_it_likes(app: App, world: World, acme: System) -> None:
    """Also when Stripe is linked afterwards: what was told under such an id stays what it is."""
    _link_stripe(app, world, None)
    told = {"externalEventId": OF_STRIPE[0], "affiliateId": world.acme.affiliate}
    assert (await tell(app, acme, **told))["deduped"] is False
    _link_stripe(app, world, "self")
    assert (await tell(app, acme, **told))["deduped"] is True
    assert (await refund(app, acme, externalEventId=OF_STRIPE[0]))["commissionLeftCents"] == 0


def _link_stripe(app: App, world: World, account: str | None) -> None:
    with app.open_store().writing() as session:
        session.exec(
            update(OrganizationRow).where(col(OrganizationRow.id) == world.acme.id).values(stripe_account=account)
        )


async def test_each_is_one_line_of_the_audit_log_which_says_what_came_of_it(
    app: App, world: World, acme: System
) -> None:
    def lines() -> list[tuple[str, str, str]]:
        with app.open_store().reading() as session:
            rows = session.exec(select(AuditLineRow).where(AuditLineRow.organization_id == world.acme.id)).all()
            return [(row.action, row.entity_type, str(row.after)) for row in sorted(rows, key=lambda row: row.seq)]

    known = len(lines())
    sold = await tell(app, acme, affiliateId=world.acme.affiliate, customerEmail="kim@example.com")
    await refund(app, acme, amountCents=5_000)
    added = lines()[known:]
    assert [(action, kind) for action, kind, _ in added] == [("sale.recorded", "sale"), ("refund.recorded", "refund")]
    assert sold["conversionId"] in added[0][2]
    assert '"commissionTakenCents":1000' in added[1][2]
    assert "kim@example.com" not in added[0][2]
