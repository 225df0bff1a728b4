"""The only file that imports the stripe package: requests to Stripe, its refusals in our words, its signatures.

The package is imported at the first request, so a server that is only asked for its tools starts without it.
"""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from operator import attrgetter
from typing import TYPE_CHECKING, Any

import anyio

from rekomi_mcp.domain.errors import (
    InvalidSignature,
    Refusal,
    StripeMisconfigured,
    StripeRefused,
    StripeTimeout,
    StripeUnavailable,
    WebhookDisabled,
)

if TYPE_CHECKING:
    from stripe import HTTPXClient, StripeClient, StripeError
    from stripe._request_options import RequestOptions

logger = logging.getLogger(__name__)

API_VERSION = "2026-10-28.endive"
"""What the installed stripe package speaks; an event in another version is fetched again."""
OWN_ACCOUNT = "self"
SIGNATURE_TOLERANCE_SECONDS = 300
ATTEMPTS = 3
_TYPES_AT_A_TIME = 20
_LATEST = 253_402_300_799
"""The end of the year 9999, beyond which there are no dates."""
JsonObject = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where Stripe is and who we are to it."""

    api_key: str
    api_base: str | None = None
    """None for Stripe itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewCoupon:
    """A Stripe coupon to make. `id` is ours, so making it twice makes it once."""

    id: str
    row_id: str
    name: str
    percent_off: float | None = None
    amount_off: int | None = None
    currency: str | None = None
    duration: str
    duration_in_months: int | None = None
    redeem_by: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NewPromotionCode:
    """A Stripe promotion code to make."""

    row_id: str
    coupon_id: str
    code: str
    max_redemptions: int | None = None
    expires_at: datetime | None = None
    first_time_transaction: bool = False
    minimum_amount: int | None = None
    minimum_amount_currency: str | None = None


class StripeGateway:
    """One connection to Stripe for the whole server; `account()` narrows it to one account."""

    def __init__(self, locate: Callable[[], Awaitable[Endpoint]], timeout_seconds: float) -> None:
        """`locate` answers where Stripe is; it runs once, at the first request."""
        self._locate = locate
        self._timeout_seconds = timeout_seconds
        self._client: StripeClient | None = None
        self._http: HTTPXClient | None = None
        self._opening = anyio.Lock()

    def account(self, account_id: str) -> StripeAccount:
        return StripeAccount(self, account_id)

    async def client(self) -> StripeClient:
        async with self._opening:
            if self._client is None:
                endpoint = await self._locate()
                import stripe

                # Telemetry would write a file into the user's home.
                stripe.enable_telemetry = False
                self._http = stripe.HTTPXClient(timeout=self._timeout_seconds)
                addresses: Any = {"base_addresses": {"api": endpoint.api_base}} if endpoint.api_base else {}
                self._client = stripe.StripeClient(
                    endpoint.api_key,
                    max_network_retries=0,
                    http_client=self._http,
                    **addresses,
                )
            return self._client

    async def aclose(self) -> None:
        if self._http is not None:
            await self._http.close_async()
            self._http = self._client = None


class StripeAccount:
    """Requests to one Stripe account: the deployment's own, or a connected one."""

    def __init__(self, gateway: StripeGateway, account_id: str) -> None:
        self._gateway = gateway
        self._account_id = account_id

    async def create_coupon(self, wanted: NewCoupon) -> str:
        """Make a coupon; answers its id. Repeating it finds the one that is there.

        Raises:
            StripeRefused, StripeTimeout, StripeUnavailable, StripeMisconfigured.
        """
        client = await self._gateway.client()
        params = _present(
            id=wanted.id,
            name=wanted.name,
            percent_off=wanted.percent_off,
            amount_off=wanted.amount_off,
            currency=wanted.currency,
            duration=wanted.duration,
            duration_in_months=wanted.duration_in_months,
            redeem_by=_unix(wanted.redeem_by),
            metadata={"rekomi_campaign_coupon_id": wanted.row_id},
        )
        options = self._options(f"rekomi:coupon:{wanted.row_id}")
        try:
            coupon = await self._attempt(lambda: client.v1.coupons.create_async(params, options))
        except StripeRefused as refusal:
            if refusal.details.get("stripeCode") != "resource_already_exists":
                raise
            coupon = await self._attempt(lambda: client.v1.coupons.retrieve_async(wanted.id, None, self._options()))
        return str(coupon.id)

    async def delete_coupon(self, coupon_id: str) -> str:
        """Delete a coupon, which also ends its promotion codes; one that is gone already counts as deleted."""
        client = await self._gateway.client()
        try:
            await self._attempt(lambda: client.v1.coupons.delete_async(coupon_id, None, self._options()))
        except StripeRefused as refusal:
            if refusal.details.get("stripeCode") != "resource_missing":
                raise
        return coupon_id

    async def create_promotion_code(self, wanted: NewPromotionCode) -> str:
        """Make a promotion code; answers its id. Repeating it, at any time, finds the one that is there."""
        client = await self._gateway.client()
        restrictions = _present(
            first_time_transaction=wanted.first_time_transaction or None,
            minimum_amount=wanted.minimum_amount,
            minimum_amount_currency=wanted.minimum_amount_currency,
        )
        params = _present(
            promotion={"type": "coupon", "coupon": wanted.coupon_id},
            code=wanted.code,
            max_redemptions=wanted.max_redemptions,
            expires_at=_unix(wanted.expires_at),
            restrictions=restrictions or None,
            metadata={"rekomi_affiliate_coupon_id": wanted.row_id},
        )
        options = self._options(f"rekomi:promotion_code:{wanted.row_id}:{wanted.code}")
        try:
            made = await self._attempt(lambda: client.v1.promotion_codes.create_async(params, options))
        except StripeRefused:
            ours = await self._promotion_code_of_row(wanted)
            if ours is None:
                raise
            return ours
        return str(made.id)

    async def deactivate_promotion_code(self, promotion_code_id: str) -> str:
        client = await self._gateway.client()
        options = self._options(f"rekomi:promotion_code:{promotion_code_id}:deactivate")
        try:
            await self._attempt(
                lambda: client.v1.promotion_codes.update_async(promotion_code_id, {"active": False}, options)
            )
        except StripeRefused as refusal:
            if refusal.details.get("stripeCode") != "resource_missing":
                raise
        return promotion_code_id

    async def promotion_code(self, promotion_code_id: str) -> JsonObject | None:
        """A promotion code with its coupon in full; None when this account has none with this id."""
        return await self._find("promotion_codes", promotion_code_id, "promotion.coupon")

    async def coupon(self, coupon_id: str) -> JsonObject | None:
        """A coupon; None when this account has none with this id, or it was deleted."""
        return await self._find("coupons", coupon_id)

    async def promotion_codes(
        self, *, text: str | None, active_only: bool, after: str | None
    ) -> tuple[list[JsonObject], bool]:
        """Up to 100 promotion codes with their coupons in full, newest first, and whether there are more.

        Args:
            text: only codes of this text, in any case.
            after: the id of the code to continue after.
        """
        active = True if active_only else None
        return await self.page(
            "promotion_codes", code=text, active=active, starting_after=after, expand=["data.promotion.coupon"]
        )

    async def page(self, kind: str, **wanted: Any) -> tuple[list[JsonObject], bool]:
        """Up to 100 objects of a kind (`refunds`, `checkout.sessions`), newest first, and whether there are more."""
        params = _present(**wanted, limit=100)
        service = await self._service(kind)
        found = await self._attempt(lambda: service.list_async(params, self._options()))
        return [_plain(each) for each in found.data], bool(found.has_more)

    async def invoice(self, invoice_id: str) -> JsonObject:
        """An invoice with its discounts and payments in full."""
        return await self._retrieve("invoices", invoice_id, "discounts", "lines.data.discounts", "payments")

    async def invoice_lines(self, invoice_id: str) -> list[JsonObject]:
        """Every line of an invoice with its discounts in full; the invoice itself shows the first ten."""
        return await self._all("invoices.line_items", invoice_id, expand=["data.discounts"])

    async def checkout_session(self, session_id: str) -> JsonObject:
        return await self._retrieve("checkout.sessions", session_id)

    async def subscription(self, subscription_id: str) -> JsonObject:
        """A subscription with its discounts in full."""
        return await self._retrieve("subscriptions", subscription_id, "discounts", "items.data.discounts")

    async def refund(self, refund_id: str) -> JsonObject:
        return await self._retrieve("refunds", refund_id)

    async def dispute(self, dispute_id: str) -> JsonObject:
        return await self._retrieve("disputes", dispute_id)

    async def credit_note(self, note_id: str) -> JsonObject:
        return await self._retrieve("credit_notes", note_id)

    async def refunds_of_charge(self, charge_id: str) -> list[JsonObject]:
        return await self._all("refunds", charge=charge_id)

    async def invoice_payment(self, payment_id: str) -> JsonObject:
        """That a payment went into an invoice, by the id of that."""
        return await self._retrieve("invoice_payments", payment_id)

    async def invoice_payments(self, payment_intent_id: str) -> list[JsonObject]:
        """What a payment intent put into invoices; nothing for most that a checkout made."""
        payment = {"type": "payment_intent", "payment_intent": payment_intent_id}
        return await self._all("invoice_payments", payment=payment)

    async def session_of_payment(self, payment_intent_id: str) -> JsonObject | None:
        """The checkout session whose payment intent this is, if there is one."""
        return next(iter((await self.page("checkout.sessions", payment_intent=payment_intent_id))[0]), None)

    async def events(self, types: Sequence[str], since: datetime) -> AsyncIterator[JsonObject]:
        """Events of these types since a time on Stripe's clock, page by page; Stripe takes some types at a time."""
        for start in range(0, len(types), _TYPES_AT_A_TIME):
            async for event in self._events_of(list(types[start : start + _TYPES_AT_A_TIME]), since):
                yield event

    async def _events_of(self, types: list[str], since: datetime) -> AsyncIterator[JsonObject]:
        client = await self._gateway.client()
        params: Any = {"types": types, "created": {"gte": _unix(since)}, "limit": 100}
        page = await self._attempt(lambda: client.v1.events.list_async(params, self._options()))
        while True:
            for event in page.data:
                yield _plain(event)
            if not page.has_more:
                return
            after: Any = {**params, "starting_after": page.data[-1].id}
            page = await self._attempt(lambda after=after: client.v1.events.list_async(after, self._options()))

    async def check(self) -> None:
        """One harmless request, to learn whether the key works."""
        client = await self._gateway.client()
        await self._attempt(lambda: client.v1.balance.retrieve_async(None, self._options()))

    async def _promotion_code_of_row(self, wanted: NewPromotionCode) -> str | None:
        """The promotion code an earlier attempt made for this row, once the idempotency key is forgotten."""
        client = await self._gateway.client()
        params: Any = {"code": wanted.code, "coupon": wanted.coupon_id, "limit": 100}
        page = await self._attempt(lambda: client.v1.promotion_codes.list_async(params, self._options()))
        mine = (p for p in page.data if _plain(p)["metadata"].get("rekomi_affiliate_coupon_id") == wanted.row_id)
        return next((str(p.id) for p in mine), None)

    async def _retrieve(self, kind: str, id: str, *expand: str) -> JsonObject:
        service, params = await self._service(kind), {"expand": list(expand)} if expand else None
        return _plain(await self._attempt(lambda: service.retrieve_async(id, params, self._options())))

    async def _all(self, kind: str, *owner: str, **wanted: Any) -> list[JsonObject]:
        """Every object of a kind, or of its owner, page by page."""
        service, params = await self._service(kind), {**wanted, "limit": 100}
        page = await self._attempt(lambda: service.list_async(*owner, params, self._options()))
        return [_plain(each) async for each in page.auto_paging_iter()]

    async def _find(self, kind: str, id: str, *expand: str) -> JsonObject | None:
        """An object; None when there is none with this id."""
        try:
            return await self._retrieve(kind, id, *expand)
        except StripeRefused as refusal:
            if refusal.details.get("stripeCode") != "resource_missing":
                raise
            return None

    async def _service(self, kind: str) -> Any:
        """The part of the package that knows objects of a kind."""
        return attrgetter(kind)((await self._gateway.client()).v1)

    def _options(self, idempotency_key: str | None = None) -> RequestOptions:
        account = None if self._account_id == OWN_ACCOUNT else self._account_id
        options: Any = _present(idempotency_key=idempotency_key, stripe_account=account)
        return options

    async def _attempt(self, request: Callable[[], Awaitable[Any]]) -> Any:
        """Make a request, again after a failure that may pass; the idempotency key makes that safe for writes."""
        import stripe

        may_have_arrived = False
        for attempt in range(1, ATTEMPTS + 1):
            try:
                return await request()
            except stripe.StripeError as error:
                failure = _failure(error)
                may_have_arrived = may_have_arrived or failure.may_have_arrived
                says_no = isinstance(failure.refusal, StripeRefused)
                if attempt == ATTEMPTS or not failure.may_pass:
                    raise (_outcome_unknown() if may_have_arrived and not says_no else failure.refusal) from None
                logger.info("Stripe: %s, attempt %d of %d", failure.refusal.code, attempt, ATTEMPTS)
                await anyio.sleep(0.5 * 2**attempt)
        raise AssertionError("unreachable")


@dataclass(frozen=True, slots=True)
class _Failure:
    refusal: Refusal
    may_pass: bool
    may_have_arrived: bool


def _failure(error: StripeError) -> _Failure:
    """What an error of the stripe package means: is it worth another attempt, and did Stripe perhaps do the work?"""
    import httpx
    import stripe

    if isinstance(error, stripe.APIConnectionError):
        sent = not isinstance(error.__cause__, httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout)
        return _Failure(_unreachable(), may_pass=True, may_have_arrived=sent)
    status = error.http_status or 0
    if status == 429 or (status == 409 and not isinstance(error, stripe.InvalidRequestError)):
        return _Failure(_unreachable(), may_pass=True, may_have_arrived=status == 409)
    if status >= 500:
        return _Failure(_unreachable(), may_pass=True, may_have_arrived=True)
    if isinstance(error, stripe.AuthenticationError | stripe.PermissionError):
        refusal: Refusal = StripeMisconfigured(
            "Stripe does not accept this server's key for this account. `rekomi-mcp doctor` says for which, and what to set."
        )
        return _Failure(refusal, may_pass=False, may_have_arrived=False)
    code = error.error.code if error.error is not None else None
    message = (error.user_message or "no reason given").rstrip(".")
    return _Failure(StripeRefused(f"Stripe refused: {message}.", stripeCode=code), False, False)


def _unreachable() -> StripeUnavailable:
    return StripeUnavailable("Stripe could not be reached, and nothing was changed. Try again in a minute.")


def _outcome_unknown() -> StripeTimeout:
    return StripeTimeout(
        "Stripe did not answer in time, so whether it acted is not known yet. The server finds out and finishes this by "
        "itself within a few minutes; look at the list then, or repeat the same request."
    )


def verify_webhook(body: bytes, header: str, secrets: Sequence[str]) -> JsonObject:
    """The event in a webhook's raw body, when any of the secrets signed it within the last 300 seconds.

    Raises:
        WebhookDisabled: no secret is set.
        InvalidSignature: forged, stale, or not an event.
    """
    if not secrets:
        raise WebhookDisabled("Webhooks are off: set REKOMI_STRIPE_WEBHOOK_SECRET to the endpoint's whsec_ secret.")
    import stripe

    signature: Any = stripe.WebhookSignature
    try:
        text = body.decode()
    except UnicodeDecodeError:
        raise InvalidSignature("The body is not text.") from None
    if not header.isascii():  # signatures are compared in constant time, which other text cannot be
        raise InvalidSignature("The Stripe-Signature header is not one that Stripe writes.")
    for secret in secrets:
        try:
            signature.verify_header(text, header, secret, SIGNATURE_TOLERANCE_SECONDS)
        except stripe.SignatureVerificationError:
            continue
        return parse_event(text)
    raise InvalidSignature(
        "The Stripe-Signature header does not fit this body, or is older than 300 seconds. Check that the endpoint's "
        "secret is the one in REKOMI_STRIPE_WEBHOOK_SECRET and that the clock is right."
    )


def parse_event(text: str) -> JsonObject:
    """A snapshot event from its JSON.

    Raises:
        InvalidSignature: signed, but not a snapshot event.
    """
    try:
        event = json.loads(text)
        if event["object"] != "event" or not isinstance(event["data"]["object"], dict):
            raise ValueError
        event["id"], event["type"] = str(event["id"]), str(event["type"])
        event["created"] = int(event["created"])
        kept = (event["id"], event["type"], event.get("account") or "", event.get("api_version") or "")
        if not 0 <= event["created"] <= _LATEST or not all(isinstance(t, str) and "\x00" not in t for t in kept):
            raise ValueError
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
        raise InvalidSignature("The body is signed but is not a Stripe snapshot event.") from None
    return event


def _plain(stripe_object: Any) -> JsonObject:
    return stripe_object.to_dict(for_json=True)


def _present(**params: Any) -> Any:
    return {name: value for name, value in params.items() if value is not None}


def _unix(at: datetime | None) -> int | None:
    return int(at.timestamp()) if at is not None else None
