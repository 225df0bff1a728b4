"""What happens outside the API: customers buy and get their money back, time passes."""

from rekomi_mcp.sandbox.billing import end_subscription, set_status
from rekomi_mcp.sandbox.checkout import create_session
from rekomi_mcp.sandbox.clock import offset_seconds
from rekomi_mcp.sandbox.disputes import close_dispute, open_dispute
from rekomi_mcp.sandbox.due import advance
from rekomi_mcp.sandbox.errors import InvalidRequest, Refused
from rekomi_mcp.sandbox.invoices import pay
from rekomi_mcp.sandbox.periods import DAY_SECONDS
from rekomi_mcp.sandbox.products import create_price, create_product
from rekomi_mcp.sandbox.purchase import Visit, complete, settle
from rekomi_mcp.sandbox.refunds import create_refund, fail_refund
from rekomi_mcp.sandbox.shapes import JsonObject, notes
from rekomi_mcp.sandbox.state import State
from rekomi_mcp.sandbox.tax_rates import create_tax_rate
from rekomi_mcp.sandbox.views import view
from rekomi_mcp.sandbox.webhook_endpoints import ALL, new_endpoint
from rekomi_mcp.sandbox.work import Work

_LONGEST_STEP_SECONDS = 5 * 366 * DAY_SECONDS


class Simulation:
    """The people and the clock around a sandbox account.

    Every method is one transaction (moving the clock: one a batch) and raises `ApiError` when Stripe would not let it
    happen; nothing has changed then. Amounts are in the currency's minor unit, times are unix seconds.
    """

    def __init__(self, state: State, account: str = "") -> None:
        self._state = state
        self._account = account

    def checkout(
        self,
        *,
        amount: int,
        currency: str = "usd",
        code: str | None = None,
        email: str | None = None,
        interval: str | None = None,
        product: str = "Sandbox product",
        tax_percent: float | None = None,
        tax_inclusive: bool = False,
        trial_days: int | None = None,
        customer: str | None = None,
        client_reference_id: str | None = None,
        metadata: dict[str, str] | None = None,
        delayed: bool = False,
    ) -> JsonObject:
        """A customer opens a checkout page, types a code and pays.

        Args:
            interval: day, week, month or year make it a subscription.
            customer: an existing customer's id; without it Stripe decides whether to make one.

        Returns:
            Ids (session, customer, subscription, invoice, payment_intent, charge, promotion_code) and amounts.
        """
        if trial_days is not None and interval is None:
            raise InvalidRequest("A trial needs a subscription: pass `interval` too.", param="trial_days")
        with self._state.write(self._account) as work:
            price = _price(work, product, amount, currency, interval)
            item: JsonObject = {"price": price["id"]}
            if tax_percent is not None:
                item["tax_rates"] = [_tax_rate(work, tax_percent, tax_inclusive)["id"]]
            params: JsonObject = {
                "allow_promotion_codes": True,
                "client_reference_id": client_reference_id,
                "customer": customer,
                "line_items": [item],
                "metadata": metadata,
                "mode": "subscription" if interval else "payment",
                "subscription_data": {"trial_period_days": trial_days} if trial_days else None,
                "success_url": "https://example.com/success",
            }
            session = create_session(work, {name: value for name, value in params.items() if value is not None})
            complete(work, session, Visit(code, email, delayed))
            return _sale(work, session)

    def complete(
        self, session: str, *, code: str | None = None, email: str | None = None, delayed: bool = False
    ) -> JsonObject:
        """A customer pays a session that was created through the API. Returns what `checkout` returns."""
        with self._state.write(self._account) as work:
            found = work.get("checkout.session", session, "session", in_path=True)
            complete(work, found, Visit(code, email, delayed))
            return _sale(work, found)

    def settle(self, session: str, *, succeeded: bool = True) -> JsonObject:
        """The money of a delayed payment arrives, or never will. Returns what `checkout` returns."""
        with self._state.write(self._account) as work:
            found = work.get("checkout.session", session, "session", in_path=True)
            settle(work, found, succeeded=succeeded)
            return _sale(work, found)

    def renew(self, subscription: str, *, declined: bool = False) -> JsonObject:
        """Turn the clock to the end of a subscription's period and bill it, and all else that is due before.

        Args:
            declined: the customer's bank refuses this payment.

        Returns:
            The subscription's status and its new invoice with payment_intent, charge and amounts.
        """
        with self._state.write(self._account) as work:
            found = work.get("subscription", subscription, "subscription", in_path=True)
            due: int | None = notes(found)["due"]
            if due is None:
                raise Refused(f"Subscription {subscription} has ended.", param="subscription")
            if declined:
                notes(found)["decline_next"] = True
                work.save(found)
        advance(self._state, due)
        with self._state.read(self._account) as work:
            found = work.get("subscription", subscription, "subscription")
            return _billed(work, found, work.get("invoice", found["latest_invoice"], "invoice"))

    def pay_invoice(self, invoice: str) -> JsonObject:
        """A payment that was declined is tried again and goes through."""
        with self._state.write(self._account) as work:
            found = work.get("invoice", invoice, "invoice", in_path=True)
            if found["status"] != "open":
                raise Refused(f"Invoice {invoice} is not open.")
            pay(work, found)
            subscription = work.get("subscription", found["parent"]["subscription_details"]["subscription"], "invoice")
            if subscription["status"] == "past_due":
                set_status(work, subscription, "active")
            return _billed(work, subscription, found)

    def cancel(self, subscription: str) -> JsonObject:
        """End a subscription now."""
        with self._state.write(self._account) as work:
            found = work.get("subscription", subscription, "subscription", in_path=True)
            if found["status"] == "canceled":
                raise Refused(f"Subscription {subscription} has ended.", param="subscription")
            end_subscription(work, found)
            return view(work, found)

    def refund(
        self,
        *,
        payment_intent: str | None = None,
        charge: str | None = None,
        invoice: str | None = None,
        session: str | None = None,
        amount: int | None = None,
        reason: str | None = None,
    ) -> JsonObject:
        """Give money back: all that is left, or `amount`. One of the ids names the payment. Returns the refund."""
        with self._state.write(self._account) as work:
            paid = _charge_of(work, payment_intent=payment_intent, charge=charge, invoice=invoice, session=session)
            params = {"charge": paid, "amount": amount, "reason": reason}
            refund = create_refund(work, {name: value for name, value in params.items() if value is not None})
            return view(work, refund)

    def fail_refund(self, refund: str) -> JsonObject:
        """A refund bounces days later. Returns the refund."""
        with self._state.write(self._account) as work:
            return view(work, fail_refund(work, refund))

    def dispute(
        self,
        *,
        payment_intent: str | None = None,
        charge: str | None = None,
        invoice: str | None = None,
        session: str | None = None,
        amount: int | None = None,
        inquiry: bool = False,
    ) -> JsonObject:
        """A customer disputes a payment at the bank. Returns the dispute."""
        with self._state.write(self._account) as work:
            paid = _charge_of(work, payment_intent=payment_intent, charge=charge, invoice=invoice, session=session)
            dispute = open_dispute(work, work.get("charge", paid, "charge"), amount=amount, inquiry=inquiry)
            return view(work, dispute)

    def close_dispute(self, dispute: str, *, won: bool) -> JsonObject:
        """The bank decides for the merchant (`won`) or for the customer. Returns the dispute."""
        with self._state.write(self._account) as work:
            found = work.get("dispute", dispute, "dispute", in_path=True)
            return view(work, close_dispute(work, found, won=won))

    def clock(self) -> JsonObject:
        """The sandbox's time, and how far it is ahead of real time."""
        with self._state.read() as work:
            return _clock(work)

    def advance(self, *, seconds: int | None = None, days: int | None = None, to: int | None = None) -> JsonObject:
        """Let time pass, by seconds or days or up to a moment. Returns the clock."""
        given = [value for value in (seconds, days, to) if value is not None]
        if len(given) != 1:
            raise InvalidRequest("Pass one of advance_seconds, advance_days and advance_to.")
        with self._state.read() as work:
            now = work.clock
        moment = to if to is not None else now + (seconds or 0) + (days or 0) * DAY_SECONDS
        if not now <= moment <= now + _LONGEST_STEP_SECONDS:
            raise InvalidRequest("The sandbox's clock moves forward only, and by five years at most at a time.")
        advance(self._state, moment)
        return self.clock()

    def register_webhook(self, url: str, secret: str, enabled_events: list[str] | None = None) -> JsonObject:
        """Have events delivered to a loopback URL, signed with a secret the caller chose. Once per URL.

        The endpoint hears the sandbox account's events and those of connected accounts, and survives `reset`.
        """
        with self._state.write() as work:
            endpoint = new_endpoint(work, url, enabled_events or ["*"], secret, ALL)
            earlier = next(work.where("webhook_endpoint", {"url": url, "_.hears": ALL}), None)
            if earlier is None:
                work.add(endpoint)
            else:
                endpoint |= {"id": earlier["id"], "created": earlier["created"]}
                work.save(endpoint)
            return view(work, endpoint)

    def summary(self) -> JsonObject:
        """What is in the sandbox, for a person."""
        with self._state.read() as work:
            counts = work.db.execute("SELECT type, count(*) FROM objects GROUP BY type ORDER BY type").fetchall()
            waiting, failed = work.db.execute("SELECT count(due), count(*) - count(due) FROM deliveries").fetchone()
            recent = work.db.execute(
                "SELECT json_extract(body, '$.id'), json_extract(body, '$.type'), created FROM objects"
                " WHERE account = '' AND type = 'event' ORDER BY created DESC, seq DESC LIMIT 10"
            ).fetchall()
            return {
                "mode": "sandbox",
                "note": "A simulation of Stripe on this machine. No real money, no real customers.",
                "clock": _clock(work),
                "counts": dict(counts),
                "webhook_endpoints": [
                    {"url": endpoint["url"], "status": endpoint["status"], "enabled_events": endpoint["enabled_events"]}
                    for endpoint in work.where("webhook_endpoint", {})
                ],
                "webhook_deliveries": {"waiting": waiting, "given_up": failed},
                "last_events": [{"id": id, "type": type, "created": created} for id, type, created in recent],
            }

    def reset(self) -> JsonObject:
        """Forget everything but the endpoints of `register_webhook`, and set the clock to real time."""
        with self._state.write() as work:
            for table in ("deliveries", "idempotency", "settings"):
                work.db.execute(f"DELETE FROM {table}")
            work.db.execute(
                "DELETE FROM objects WHERE NOT (type = 'webhook_endpoint' AND json_extract(body, '$._.hears') = ?)",
                (ALL,),
            )
        return self.summary()


def _clock(work: Work) -> JsonObject:
    return {"now": work.clock, "offset_seconds": offset_seconds(work.db)}


def _price(work: Work, product: str, amount: int, currency: str, interval: str | None) -> JsonObject:
    """A price of this amount for the product of this name, made when there is none yet."""
    found = next(work.where("product", {"name": product}), None) or create_product(work, {"name": product})
    params: JsonObject = {"currency": currency.lower(), "product": found["id"], "unit_amount": amount}
    each = 1 if interval else None
    same = params | {"active": True, "recurring.interval": interval, "recurring.interval_count": each}
    if interval is not None:
        params["recurring"] = {"interval": interval}
    return next(work.where("price", same), None) or create_price(work, params)


def _tax_rate(work: Work, percentage: float, inclusive: bool) -> JsonObject:
    same = {"active": True, "percentage": percentage, "inclusive": inclusive}
    params = {"display_name": "Tax", "percentage": percentage, "inclusive": inclusive}
    return next(work.where("tax_rate", same), None) or create_tax_rate(work, params)


def _sale(work: Work, session: JsonObject) -> JsonObject:
    """What a person wants to know of a paid session."""
    intent_id = session["payment_intent"] or _intent_of(work, session["invoice"])
    intent = work.find("payment_intent", intent_id) if intent_id else None
    return {
        "session": session["id"],
        "customer": session["customer"],
        "subscription": session["subscription"],
        "invoice": session["invoice"],
        "payment_intent": intent_id,
        "charge": intent and intent["latest_charge"],
        "promotion_code": session["discounts"][0]["promotion_code"] if session["discounts"] else None,
        "currency": session["currency"],
        "amount_total": session["amount_total"],
        "amount_discount": session["total_details"]["amount_discount"],
        "amount_tax": session["total_details"]["amount_tax"],
        "payment_status": session["payment_status"],
    }


def _billed(work: Work, subscription: JsonObject, invoice: JsonObject) -> JsonObject:
    """What a person wants to know of an invoice of a subscription."""
    intent_id = _intent_of(work, invoice["id"])
    intent = work.find("payment_intent", intent_id) if intent_id else None
    return {
        "subscription": subscription["id"],
        "status": subscription["status"],
        "customer": subscription["customer"],
        "invoice": invoice["id"],
        "invoice_status": invoice["status"],
        "payment_intent": intent_id,
        "charge": intent and intent["latest_charge"],
        "currency": invoice["currency"],
        "amount_total": invoice["total"],
        "amount_discount": sum(each["amount"] for each in invoice["total_discount_amounts"]),
        "amount_tax": sum(each["amount"] for each in invoice["total_taxes"]),
        "clock": _clock(work),
    }


def _charge_of(work: Work, **ids: str | None) -> str:
    """The id of the charge that one of these ids leads to."""
    given = {name: id for name, id in ids.items() if id is not None}
    if len(given) != 1:
        raise InvalidRequest(f"Pass one of {', '.join(ids)}.")
    [(name, id)] = given.items()
    if name == "charge":
        return id
    if name == "session":
        session = work.get("checkout.session", id, name)
        intent_id = session["payment_intent"] or _intent_of(work, session["invoice"])
    else:
        intent_id = id if name == "payment_intent" else _intent_of(work, id)
    charge = work.get("payment_intent", intent_id, name)["latest_charge"] if intent_id else None
    if charge is None:
        raise Refused("Nothing has been paid there.", param=name)
    return charge


def _intent_of(work: Work, invoice: str | None) -> str | None:
    """The id of the payment intent that pays an invoice, if there is anything to pay."""
    payment = next(work.where("invoice_payment", {"invoice": invoice}), None) if invoice else None
    return payment["payment"]["payment_intent"] if payment else None
