"""What a customer does at Stripe's payment page: types a code, gives an address, pays."""

from dataclasses import dataclass

from rekomi_mcp.sandbox.billing import Order, one_off_lines, start_subscription
from rekomi_mcp.sandbox.blanks import no_address
from rekomi_mcp.sandbox.checkout import full_price_lines, items_of, put_amounts
from rekomi_mcp.sandbox.customers import create_customer
from rekomi_mcp.sandbox.discounts import Offer, check_offer, offer_for_text, offer_from, redeem
from rekomi_mcp.sandbox.errors import InvalidRequest, Refused
from rekomi_mcp.sandbox.events import emit
from rekomi_mcp.sandbox.ids import new_id
from rekomi_mcp.sandbox.invoices import Bill, issue, pay
from rekomi_mcp.sandbox.params import merged_metadata
from rekomi_mcp.sandbox.payments import decline_payment, delay_payment, receive_payment, start_payment
from rekomi_mcp.sandbox.pricing import PricedLine
from rekomi_mcp.sandbox.shapes import JsonObject, notes
from rekomi_mcp.sandbox.subscriptions import trial_end
from rekomi_mcp.sandbox.validity import is_expired
from rekomi_mcp.sandbox.views import view
from rekomi_mcp.sandbox.work import Work

_NOBODY = "customer@example.com"


@dataclass(frozen=True)
class Visit:
    """What the customer enters.

    Attributes:
        delayed: pays by a method whose money arrives days later, or never: see `settle`.
    """

    code: str | None = None
    email: str | None = None
    delayed: bool = False


def complete(work: Work, session: JsonObject, visit: Visit) -> None:
    """The customer pays an open session.

    Raises:
        ApiError: the session is over, or the code cannot be used; nothing has changed then.
    """
    status = "expired" if is_expired(session["expires_at"], work.now) else session["status"]
    if status != "open":
        raise Refused(f"This Checkout Session has a status of `{status}`: nobody can pay it any more.")
    offer = _offer(work, session, visit)
    if offer is not None:
        check_offer(work, offer, full_price_lines(session), session["customer"], "code")
    lines = put_amounts(work, session, offer)
    if visit.delayed and (session["mode"] != "payment" or _wants_invoice(session) or session["amount_total"] == 0):
        raise InvalidRequest("The sandbox delays payments of one-off sales without invoice only.", param="delayed")
    _put_customer(work, session, visit)
    notes(session)["due"] = None
    session |= {"status": "complete", "url": None}
    if session["mode"] == "subscription":
        discount = _subscribe(work, session, offer)
    else:
        discount = _sell(work, session, lines, offer, delayed=visit.delayed)
    if discount is not None:
        amount = session["total_details"]["amount_discount"]
        notes(session)["breakdown"]["discounts"] = [{"amount": amount, "discount": view(work, discount)}]
    if session["amount_total"] == 0:
        session["payment_status"] = "no_payment_required"
    elif not visit.delayed:
        session["payment_status"] = "paid"
    work.save(session)
    emit(work, "checkout.session.completed", session)


def settle(work: Work, session: JsonObject, *, succeeded: bool) -> None:
    """The money of a delayed payment arrives, or turns out not to."""
    if session["status"] != "complete" or session["payment_status"] != "unpaid":
        raise Refused("This Checkout Session does not wait for a delayed payment.")
    intent = work.get("payment_intent", session["payment_intent"], "payment_intent")
    if intent["status"] != "processing":
        raise Refused("The delayed payment of this Checkout Session has failed already.")
    if succeeded:
        receive_payment(work, intent)
        session["payment_status"] = "paid"
        work.save(session)
        emit(work, "checkout.session.async_payment_succeeded", session)
    else:
        decline_payment(work, intent)
        emit(work, "checkout.session.async_payment_failed", session)


def _offer(work: Work, session: JsonObject, visit: Visit) -> Offer | None:
    preset = notes(session)["discount"]
    if visit.code is None:
        return offer_from(work, preset, "discounts[0]") if preset else None
    if not session["allow_promotion_codes"]:
        raise Refused("This Checkout Session does not take promotion codes.", param="code")
    return offer_for_text(work, visit.code, session["customer"])


def _wants_invoice(session: JsonObject) -> bool:
    return session["mode"] == "payment" and session["invoice_creation"]["enabled"]


def _put_customer(work: Work, session: JsonObject, visit: Visit) -> None:
    """A guest stays a guest unless something needs a customer: a subscription, an invoice, an order for nothing."""
    known = work.get("customer", session["customer"], "customer") if session["customer"] else None
    email = visit.email or session["customer_email"] or (known and known["email"]) or _NOBODY
    needed = session["customer_creation"] == "always" or _wants_invoice(session) or session["amount_total"] == 0
    if known is None and needed:
        session["customer"] = create_customer(work, {"email": email})["id"]
    session["customer_details"] = {
        "address": no_address(),
        "business_name": None,
        "email": email,
        "individual_name": None,
        "name": None,
        "phone": None,
        "tax_exempt": "none",
        "tax_ids": [],
    }


def _subscribe(work: Work, session: JsonObject, offer: Offer | None) -> JsonObject | None:
    data = notes(session)["subscription_data"]
    items = items_of(session)
    order = Order(
        customer=session["customer"],
        items=[item for item in items if item.price["recurring"]],
        extras=[item for item in items if not item.price["recurring"]],
        offers=[offer] if offer else [],
        trial_end=trial_end(work, data),
        metadata=merged_metadata({}, data.get("metadata", {})),
        default_rates=notes(session)["default_rates"],
        description=data.get("description"),
    )
    subscription = start_subscription(work, order, "code")
    session |= {"subscription": subscription["id"], "invoice": subscription["latest_invoice"]}
    invoice = work.get("invoice", subscription["latest_invoice"], "invoice")
    return work.find("discount", invoice["discounts"][0]) if invoice["discounts"] else None


def _sell(
    work: Work, session: JsonObject, lines: list[PricedLine], offer: Offer | None, *, delayed: bool
) -> JsonObject | None:
    """A one-off sale. Returns the discount it was made with."""
    discount = redeem(work, offer, customer=session["customer"], session=session["id"]) if offer else None
    data = notes(session)["payment_intent_data"]
    if _wants_invoice(session):
        bill = Bill(
            customer=session["customer"],
            lines=one_off_lines(work, list(zip(items_of(session), lines, strict=True))),
            discounts=[discount] if discount else [],
            reason="manual",
            period_start=work.now,
            period_end=work.now,
            metadata=session["invoice_creation"]["invoice_data"]["metadata"],
        )
        invoice = issue(work, bill, new_id("in_"))
        intent = pay(work, invoice)
        session |= {"invoice": invoice["id"], "payment_intent": intent["id"] if intent else None}
    elif session["amount_total"] > 0:
        intent = start_payment(
            work,
            amount=session["amount_total"],
            currency=session["currency"],
            customer=session["customer"],
            email=session["customer_details"]["email"],
            description=data.get("description"),
            metadata=merged_metadata({}, data.get("metadata", {})),
        )
        session["payment_intent"] = intent["id"]
        if delayed:
            delay_payment(work, intent)
        else:
            receive_payment(work, intent)
    return discount
