"""The control API under /sandbox: JSON in and out, for what happens outside Stripe's API."""

import json

from rekomi_mcp.sandbox.api import Answer, ApiRequest, acting_account, check_account, guarded
from rekomi_mcp.sandbox.errors import InvalidRequest, NotFound
from rekomi_mcp.sandbox.forms import from_json
from rekomi_mcp.sandbox.params import (
    Boolean,
    Choice,
    Currency,
    Fields,
    Integer,
    ListOf,
    Metadata,
    Parameter,
    Percentage,
    Text,
)
from rekomi_mcp.sandbox.routes import Route, find_route
from rekomi_mcp.sandbox.shapes import JsonObject
from rekomi_mcp.sandbox.simulate import Simulation
from rekomi_mcp.sandbox.state import State


def answer_control(state: State, request: ApiRequest) -> Answer:
    """Answer a request to the control API. Never raises."""
    return guarded(request, lambda: _answer(state, request))


def _answer(state: State, request: ApiRequest) -> Answer:
    found = find_route(ROUTES, request.method, request.segments)
    if found is None:
        raise NotFound(f"The sandbox has no {request.method} /{'/'.join(request.segments)}.")
    route, ids = found
    params = route.params.read(_hash(request.form))
    account = acting_account(request)
    with state.read(account) as work:
        check_account(work)
    return Answer(200, route.handler(Simulation(state, account), *ids, **params))


def _hash(body: str) -> JsonObject:
    try:
        parsed = from_json(json.loads(body or "{}"))
        json.dumps(parsed, ensure_ascii=False).encode()  # half a character, written as an escape, is no text
    except (ValueError, RecursionError) as error:
        raise InvalidRequest("The body is not JSON.") from error
    if not isinstance(parsed, dict):
        raise InvalidRequest("The body must be a JSON object.")
    return parsed


def _advance(
    simulation: Simulation,
    *,
    advance_seconds: int | None = None,
    advance_days: int | None = None,
    advance_to: int | None = None,
) -> JsonObject:
    return simulation.advance(seconds=advance_seconds, days=advance_days, to=advance_to)


_PAYMENT: dict[str, Parameter] = {
    "amount": Integer(minimum=1),
    "charge": Text(),
    "invoice": Text(),
    "payment_intent": Text(),
    "session": Text(),
}
_VISIT: dict[str, Parameter] = {"code": Text(), "delayed": Boolean(), "email": Text()}
CHECKOUT = Fields(
    _VISIT
    | {
        "amount": Integer(minimum=0, maximum=99_999_999),
        "client_reference_id": Text(max_length=200),
        "currency": Currency(),
        "customer": Text(),
        "interval": Choice("day", "month", "week", "year"),
        "metadata": Metadata(),
        "product": Text(),
        "tax_inclusive": Boolean(),
        "tax_percent": Percentage(minimum=0, decimals=4),
        "trial_days": Integer(minimum=1, maximum=730),
    },
    required=("amount",),
)
REFUND = Fields(_PAYMENT | {"reason": Choice("duplicate", "fraudulent", "requested_by_customer")})
DISPUTE = Fields(_PAYMENT | {"inquiry": Boolean()})

ROUTES = (
    Route("GET", "/sandbox", Simulation.summary),
    Route("POST", "/sandbox/reset", Simulation.reset),
    Route("GET", "/sandbox/clock", Simulation.clock),
    Route(
        "POST",
        "/sandbox/clock",
        _advance,
        Fields({"advance_days": Integer(minimum=0), "advance_seconds": Integer(minimum=0), "advance_to": Integer()}),
    ),
    Route("POST", "/sandbox/checkout", Simulation.checkout, CHECKOUT),
    Route("POST", "/sandbox/checkout/sessions/{session}/complete", Simulation.complete, Fields(_VISIT)),
    Route("POST", "/sandbox/checkout/sessions/{session}/settle", Simulation.settle, Fields({"succeeded": Boolean()})),
    Route(
        "POST",
        "/sandbox/renew",
        Simulation.renew,
        Fields({"declined": Boolean(), "subscription": Text()}, required=("subscription",)),
    ),
    Route("POST", "/sandbox/subscriptions/{subscription}/cancel", Simulation.cancel),
    Route("POST", "/sandbox/invoices/{invoice}/pay", Simulation.pay_invoice),
    Route("POST", "/sandbox/refund", Simulation.refund, REFUND),
    Route("POST", "/sandbox/refunds/{refund}/fail", Simulation.fail_refund),
    Route("POST", "/sandbox/dispute", Simulation.dispute, DISPUTE),
    Route(
        "POST",
        "/sandbox/disputes/{dispute}/close",
        Simulation.close_dispute,
        Fields({"won": Boolean()}, required=("won",)),
    ),
    Route(
        "POST",
        "/sandbox/webhook_endpoint",
        Simulation.register_webhook,
        Fields({"enabled_events": ListOf(Text()), "secret": Text(), "url": Text()}, required=("url", "secret")),
    ),
)
