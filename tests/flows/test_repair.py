"""What the books have otherwise than Stripe is put right on what Stripe says, once, and the ledger shows how."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlmodel import col, select

import rekomi_mcp.storage as storage
from rekomi_mcp.domain.sales import Payment, Sale, SaleSource
from rekomi_mcp.gateways import stripe_facts
from rekomi_mcp.storage.tables import LedgerEntryRow, SalePaymentRow, SaleRow
from tests.support.contents import audit_lines
from tests.support.reconciling import books, find, kinds, long_ago, repair
from tests.support.shop import JsonObject, Shop
from tests.support.world import sale, sell

pytestmark = pytest.mark.anyio


def ledger(shop: Shop) -> Counter[tuple[object, ...]]:
    """Every entry as it was written."""
    with shop.app.open_store().reading() as session:
        rows = session.exec(select(LedgerEntryRow).where(LedgerEntryRow.organization_id == shop.id)).all()
        return Counter((row.id, row.affiliate_id, row.kind, row.amount_minor, row.available_at) for row in rows)


def balances(shop: Shop) -> dict[str, int]:
    """What the ledger holds, by currency."""
    with shop.app.open_store().reading() as session:
        rows = session.exec(select(LedgerEntryRow).where(LedgerEntryRow.organization_id == shop.id)).all()
        sums: Counter[str] = Counter()
        for row in rows:
            sums[row.currency] += row.amount_minor
    return {currency: amount for currency, amount in sums.items() if amount}


async def repair_and_look(shop: Shop) -> JsonObject:
    """Repair, and see that it did what was shown and no more, that a second one has nothing to do, and nothing is lost."""
    before, entries = balances(shop), ledger(shop)
    done = await repair(shop, since=long_ago(shop))
    for effect in done["effects"]:
        currency = effect["commissionCurrency"]
        assert balances(shop).get(currency, 0) == before.get(currency, 0) + effect["commissionCents"]
    assert entries <= ledger(shop), "the ledger is only added to"
    after = books(shop)
    assert await kinds(shop, since=long_ago(shop)) == {}
    assert (await shop.do("repair_missed_sales", since=long_ago(shop)))["summary"] == "There is nothing to repair."
    assert books(shop) == after
    return done


async def misread(shop: Shop, sold: JsonObject, **amounts: Any) -> None:
    """Put a sale of which nobody has heard into the books with other amounts than Stripe's, and hear of the rest."""
    invoice = sold["invoice"] is not None
    told: Any = {
        "codes": (sold["promotion_code"],),
        "at": shop.app.clock(),
        "source": SaleSource.Invoice if invoice else SaleSource.CheckoutSession,
        "subscription_id": sold["subscription"],
        "customer_id": sold["customer"],
        "customer_email": "kim@example.com",
    }
    await sell(shop.app, shop.id, sale(sold["invoice"] or sold["session"], **told | amounts))
    await shop.catch_up()


@pytest.mark.parametrize(
    ("net", "gross", "currency", "held"),
    [
        (20_000, 20_000, "USD", 3_600),
        (100, 8_000, "USD", 15),
        (0, 8_000, "USD", 0),
        (8_000, 2_000, "USD", 0),
        (8_000, 4_000, "USD", 800),
        (5_000, 5_000, "EUR", 600),
    ],
    ids=["too much", "too little", "nothing", "less than was given back", "another gross", "another currency"],
)
async def test_a_wrong_amount_is_put_right_with_its_refunds(
    shop: Shop, net: int, gross: int, currency: str, held: int
) -> None:
    await shop.sign()
    sold = shop.customers.checkout(amount=10_000, code="SARAH20", email="kim@example.com")
    shop.customers.refund(payment_intent=sold["payment_intent"], amount=2_000)
    await misread(shop, sold, net=net, gross=gross, currency=currency)
    assert sum(balances(shop).values()) == held
    [item] = (await find(shop))["items"]
    assert (item["kind"], item["amount"], item["repairable"]) == ("wrong_amount", "USD 80.00", True)
    assert f"{currency} {net} {gross}" in item["advice"]
    done = await repair_and_look(shop)
    assert done["counts"]["wrongAmount"] == 1
    found = await shop.conversion(sold)
    assert found is not None
    assert found.items() >= {"amountCents": 8_000, "currency": "USD", "commissionCents": 1_600}.items()
    assert (found["remainingCommissionCents"], balances(shop)) == (1_200, {"USD": 1_200})
    told = await shop.explain(sold)
    assert (told["outcome"], told["amountCents"]) == ("credited", 8_000)


async def test_nothing_stays_below_zero_when_more_was_given_back_than_the_sale_was(shop: Shop) -> None:
    await shop.sign()
    sold = shop.customers.checkout(amount=10_000, code="SARAH20", email="kim@example.com")
    shop.customers.refund(payment_intent=sold["payment_intent"])
    await misread(shop, sold, net=50_000, gross=50_000)
    assert balances(shop) == {"USD": 8_400}
    await repair_and_look(shop)
    found = await shop.conversion(sold)
    assert found is not None
    assert (found["status"], found["remainingCommissionCents"], balances(shop)) == ("Refunded", 0, {})


async def test_a_wrong_amount_in_dispute_stays_on_hold(shop: Shop) -> None:
    await shop.sign()
    sold = shop.customers.checkout(amount=10_000, code="SARAH20", email="kim@example.com")
    shop.customers.dispute(payment_intent=sold["payment_intent"])
    await misread(shop, sold, net=20_000, gross=20_000)
    await repair_and_look(shop)
    found = await shop.conversion(sold)
    assert found is not None
    assert (found["disputed"], found["remainingCommissionCents"]) == (True, 1_600)
    shop.customers.advance(days=60)
    [candidate] = (await shop.preview())["candidates"]
    assert (candidate["amountCents"], candidate["ineligibilityReason"]) == (1_600, "on_hold")


async def test_an_amount_that_turns_out_to_be_charged_counts_among_the_payments_of_its_subscription(shop: Shop) -> None:
    """The program pays on the first invoice and one renewal: what was misread as free had let a second one earn."""
    await shop.sign(program=await shop.open_program(recurringMonths=1))
    sold = shop.customers.checkout(amount=10_000, code="SARAH20", interval="month", email="kim@example.com")
    await misread(shop, sold, net=0, gross=0)
    for _ in range(2):
        await shop.renew(sold)
    assert balances(shop) == {"USD": 4_000}
    done = await repair_and_look(shop)
    assert (done["counts"]["wrongAmount"], done["counts"]["notCredited"]) == (1, 1)
    assert balances(shop) == {"USD": 1_600 + 2_000}
    assert [(c["amountCents"], c["status"] == "Denied") for c in await shop.conversions()] == [
        (8_000, False),
        (10_000, False),
        (10_000, True),
    ]


async def test_an_amount_that_turns_out_to_be_free_makes_room_for_a_later_payment(shop: Shop) -> None:
    await shop.sign(program=await shop.open_program(recurringMonths=0), coupon={"discountValue": 100})
    sold = shop.customers.checkout(amount=10_000, code="SARAH20", interval="month", email="kim@example.com")
    await misread(shop, sold, net=10_000, gross=10_000)
    await shop.renew(sold)
    assert balances(shop) == {"USD": 2_000}
    await repair_and_look(shop)
    assert (await shop.explain(sold))["outcome"] == "free"
    assert [c["status"] == "Denied" for c in await shop.conversions()] == [True, False]
    assert balances(shop) == {"USD": 2_000}


async def test_no_event_changes_the_amount_of_a_recorded_sale(shop: Shop) -> None:
    """Stripe never changes what was paid. An event may be older than what is known, so only a repair corrects."""
    await shop.sign()
    sold = await shop.sell(10_000, code="SARAH20", email="kim@example.com")
    with shop.app.open_store().reading() as session:
        [row] = storage.sales.by_keys(session, shop.id, [("checkout_session", sold["session"])]).values()
        at, before = row.occurred_at, books(shop)
    other = sale(sold["session"], source=SaleSource.CheckoutSession, at=at, net=1, gross=2, event_id="evt_other")
    await sell(shop.app, shop.id, other)
    assert books(shop) == before


async def sell_with_invoice(shop: Shop, *, code: str | None = "SARAH20") -> JsonObject:
    """A one-off purchase that Checkout writes an invoice for."""
    client = await shop.app.stripe.client()
    price: Any = {"currency": "usd", "unit_amount": 10_000, "product_data": {"name": "Course"}}
    wanted: Any = {
        "mode": "payment",
        "allow_promotion_codes": True,
        "invoice_creation": {"enabled": True},
        "line_items": [{"price_data": price, "quantity": 1}],
        "success_url": "https://example.com/success",
    }
    session = await client.v1.checkout.sessions.create_async(wanted)
    return shop.customers.complete(session.id, code=code, email="kim@example.com")


def as_checkout(shop: Shop, sold: JsonObject, **more: Any) -> Sale:
    """The purchase as the checkout tells it while its invoice is not written."""
    told: Any = {"codes": (sold["promotion_code"],), "net": 8_000, "gross": 8_000, "customer_email": "kim@example.com"}
    told |= {"source": SaleSource.CheckoutSession, "at": shop.app.clock(), "customer_id": sold["customer"]}
    return sale(sold["session"], **told | more)


async def test_a_sale_that_was_credited_twice_is_taken_back_once(shop: Shop) -> None:
    """Books of before the two were told apart: the checkout's sale does not say what paid it."""
    deal = await shop.sign()
    sold = await sell_with_invoice(shop)
    await shop.catch_up()
    await sell(shop.app, shop.id, as_checkout(shop, sold))
    assert balances(shop) == {"USD": 3_200}
    [item] = (await find(shop))["items"]
    assert (item["kind"], item["stripeId"], item["saleId"]) == ("doubled", sold["session"], sold["invoice"])
    assert (item["affiliateId"], item["commission"], item["repairable"]) == (deal.affiliate, "USD -16.00", True)
    assert "one sale" in item["advice"]
    lines = len(audit_lines(shop.app))
    done = await repair_and_look(shop)
    assert done["counts"]["doubled"] == 1
    assert [action for _, action, _ in audit_lines(shop.app)[lines:]] == ["conversion.retracted", "tracking.repaired"]
    [line] = (await shop.do("list_audit_log", action="tracking.repaired"))["items"]
    assert line["after"]["doubled"] == 1
    states = {c["externalEventId"]: (c["status"], c["remainingCommissionCents"]) for c in await shop.conversions()}
    assert states == {sold["invoice"]: ("Pending", 1_600), sold["session"]: ("Denied", 0)}
    told = await shop.do("explain_attribution", sourceId=sold["session"])
    assert told["outcome"] == "duplicate"
    assert sold["invoice"] in told["explanation"]
    await shop.refund(sold)
    assert balances(shop) == {}


async def test_of_a_doubled_sale_the_refund_goes_over_to_the_invoice(shop: Shop) -> None:
    """The checkout was told first, and had the payment; the invoice came without a word of it."""
    await shop.sign()
    sold = await sell_with_invoice(shop)
    await sell(shop.app, shop.id, as_checkout(shop, sold, payments=(Payment(sold["payment_intent"]),)))
    shop.customers.refund(payment_intent=sold["payment_intent"], amount=2_000)
    client = await shop.app.stripe.client()
    invoice: Any = (await client.v1.invoices.retrieve_async(sold["invoice"], {"expand": ["discounts"]})).to_dict()
    told = stripe_facts.invoice_sale(invoice, "evt_invoice")
    assert told is not None
    await sell(shop.app, shop.id, replace(told, payments=()))
    assert balances(shop) == {"USD": 3_200}
    with shop.app.open_store().writing() as session:
        storage.inbox.set_read_until(session, "self", shop.app.clock())
    await repair_and_look(shop)
    states = {c["externalEventId"]: (c["status"], c["remainingCommissionCents"]) for c in await shop.conversions()}
    assert states == {sold["invoice"]: ("Pending", 1_200), sold["session"]: ("Denied", 0)}
    with shop.app.open_store().reading() as session:
        rows = session.exec(select(SalePaymentRow).where(SalePaymentRow.payment_id == sold["payment_intent"]))
        assert {row.source_id for row in rows} == {sold["invoice"], sold["session"]}


@pytest.mark.parametrize(("back", "wanted"), [("refund", [400, -400]), ("dispute", [0])])
async def test_what_was_taken_from_one_invoice_of_a_shared_payment_alone_is_shared_out(
    shop: Shop, back: str, wanted: list[int]
) -> None:
    """Books of before a payment could be several sales': the older invoice had it. Only the newer is in the span."""
    await shop.sign()
    sold = await sell_with_invoice(shop)
    payment_id = sold["payment_intent"]
    amounts: Any = {"net": 8_000, "gross": 8_000}
    told = getattr(shop.customers, back)(payment_intent=payment_id, amount=4_000)
    at = shop.app.clock()
    long_before: Any = {"at": at - timedelta(days=100), "payments": (Payment(payment_id),)}
    await sell(shop.app, shop.id, sale("in_before", codes=(sold["promotion_code"],), **amounts, **long_before))
    await sell(shop.app, shop.id, getattr(stripe_facts, back)(told, "evt_back", at))
    await sell(shop.app, shop.id, sale(sold["invoice"], codes=(sold["promotion_code"],), at=at, **amounts))
    found = (await find(shop, since=long_ago(shop)))["items"]
    assert sorted((i["kind"], i["commissionCents"] or 0) for i in found) == [
        ("wrong_amount", c) for c in sorted(wanted)
    ]
    assert {i["amount"] for i in found} == {"USD 20.00"}
    await repair_and_look(shop)
    left = {(c["remainingCommissionCents"], c["disputed"]) for c in await shop.conversions()}
    assert left == {(1_200, False) if back == "refund" else (1_600, True)}


@pytest.mark.parametrize("first", ["checkout", "invoice"])
async def test_a_checkout_and_an_invoice_with_one_payment_never_both_earn(shop: Shop, first: str) -> None:
    await shop.sign()
    with shop.app.open_store().reading() as session:
        code = storage.codes.live_by_text(session, shop.id, "SARAH20")
        assert code is not None
    codes = (str(code.stripe_promotion_code_id),)
    told = {
        "checkout": sale("cs_1", source=SaleSource.CheckoutSession, codes=codes, payments=(Payment("pi_1"),)),
        "invoice": sale("in_1", payments=(Payment("pi_1"),)),
    }
    second = "invoice" if first == "checkout" else "checkout"
    for each in (first, second, first, second):
        again = replace(told[each], event_id=f"evt_{each}_{len(ledger(shop))}_{each == first}")
        await sell(shop.app, shop.id, again)
    earned = [c["externalEventId"] for c in await shop.conversions() if c["status"] != "Denied"]
    assert earned == ["in_1"], "the checkout's code is the invoice's"
    assert balances(shop) == {"USD": 800}
    assert (await shop.do("explain_attribution", sourceId="cs_1"))["outcome"] == "duplicate"


async def test_two_invoices_may_share_a_payment_and_both_earn(shop: Shop) -> None:
    """Stripe lets one payment be attached to several invoices, each paid with a part of it."""
    await shop.sign()
    with shop.app.open_store().reading() as session:
        code = storage.codes.live_by_text(session, shop.id, "SARAH20")
        assert code is not None
    codes = (str(code.stripe_promotion_code_id),)
    for number in (1, 2):
        await sell(shop.app, shop.id, sale(f"in_{number}", codes=codes, payments=(Payment("pi_1"),)))
    assert balances(shop) == {"USD": 1_600}


async def test_what_a_sellers_server_tells_has_no_payment_that_another_sale_could_share(shop: Shop) -> None:
    deal = await shop.sign()
    told = {"externalEventId": "pi_1", "affiliateId": deal.affiliate, "amountCents": 5_000, "currency": "USD"}
    await shop.do("record_sale", **told)
    with shop.app.open_store().reading() as session:
        kept = session.exec(select(SalePaymentRow).where(col(SalePaymentRow.organization_id) == shop.id)).all()
        rows = session.exec(select(SaleRow).where(SaleRow.organization_id == shop.id)).all()
    assert ([row.source for row in rows], kept) == (["server"], [])
