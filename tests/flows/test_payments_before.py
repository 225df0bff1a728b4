"""A subscription that is new here and not in Stripe: what was paid of it before is asked for once."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, cast

import pytest
from sqlmodel import select

from rekomi_mcp.gateways.stripe import StripeAccount
from rekomi_mcp.sandbox.state import State
from rekomi_mcp.storage.tables import EarlierPaymentRow
from rekomi_mcp.workers.translate import Event, Stored, facts_of
from tests.cases.case import Case, folders
from tests.support.shop import JsonObject, Shop
from tests.support.stripe_events import deliver, events_of

pytestmark = pytest.mark.anyio

CASE = next(folder for folder in folders() if folder.name[4:] == "renewal_of_a_subscription_of_before")


class Asked:
    """Stripe, as it was at the end of a case: it lists invoices in pages of one, and counts them."""

    def __init__(self, case: Case) -> None:
        self._invoices: list[JsonObject] = case.api_state["invoice"]
        self.pages = 0

    async def invoice(self, invoice_id: str) -> JsonObject:
        return next(each for each in self._invoices if each["id"] == invoice_id)

    async def page(self, kind: str, **wanted: Any) -> tuple[list[JsonObject], bool]:
        assert (kind, wanted["status"]) == ("invoices", "paid")
        self.pages += 1
        ids = [each["id"] for each in self._invoices]
        at = ids.index(wanted["starting_after"]) + 1 if "starting_after" in wanted else 0
        return self._invoices[at : at + 1], at + 1 < len(ids)


@pytest.mark.parametrize("stored", [True, False], ids=["with a sale here", "without a sale here"])
@pytest.mark.parametrize("reason", ["subscription_cycle", "subscription_create"])
async def test_stripe_is_asked_at_a_renewal_of_a_subscription_that_has_no_sale_here(stored: bool, reason: str) -> None:
    case = Case.load(CASE)
    told = case.deliveries[0].event
    invoice: JsonObject = {**told["data"]["object"], "billing_reason": reason}
    event = Event(told["id"], told["type"], told["api_version"], datetime.fromtimestamp(told["created"], UTC), invoice)
    of_before = {invoice["parent"]["subscription_details"]["subscription"]} if stored else set[str]()
    stripe = Asked(case)
    facts = await facts_of(event, cast(StripeAccount, stripe), Stored(payments=(), subscriptions=of_before))
    is_asked = not stored and reason == "subscription_cycle"
    assert stripe.pages == (len(case.api_state["invoice"]) if is_asked else 0)
    assert len(facts) == (3 if is_asked else 1)


async def test_an_invoice_that_counted_before_it_was_told_is_counted_once(shop: Shop, state: State) -> None:
    """Of three payments the last is told first; only the first two earn, whichever of them are told at all."""
    program = await shop.open_program(recurringMonths=1)
    await shop.sign(program=program, coupon={"duration": "Forever"})
    sold = shop.customers.checkout(amount=10_000, code="SARAH20", interval="month")
    renewals = [shop.customers.renew(sold["subscription"])["invoice"] for _ in range(2)]
    paid = {event["data"]["object"]["id"]: event for event in events_of(state) if event["type"] == "invoice.paid"}
    for invoice, earned, before in (
        (renewals[1], [], [sold["invoice"], renewals[0]]),
        (renewals[0], [renewals[0]], [sold["invoice"]]),
        (sold["invoice"], [sold["invoice"], renewals[0]], []),
    ):
        await deliver(shop.app, paid[invoice])
        await shop.app.inbox.work_off()
        told = await shop.do("explain_attribution", sourceId=renewals[1])
        assert told["explanation"].endswith("also from before this server knew of it: 2.")
        assert sorted(each["externalEventId"] for each in await shop.conversions()) == sorted(earned)
        with shop.app.open_store().reading() as session:
            assert {row.invoice_id for row in session.exec(select(EarlierPaymentRow))} == set(before)
