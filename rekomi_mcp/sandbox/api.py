"""One request to the Stripe API: who asks, what for, and the answer, all in one transaction."""

import base64
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from rekomi_mcp.sandbox import API_VERSION, SANDBOX_KEY
from rekomi_mcp.sandbox.accounts import OWN_ACCOUNT
from rekomi_mcp.sandbox.accounts import ROUTES as ACCOUNTS
from rekomi_mcp.sandbox.balance import ROUTES as BALANCE
from rekomi_mcp.sandbox.checkout import ROUTES as CHECKOUT
from rekomi_mcp.sandbox.coupons import ROUTES as COUPONS
from rekomi_mcp.sandbox.customers import ROUTES as CUSTOMERS
from rekomi_mcp.sandbox.disputes import ROUTES as DISPUTES
from rekomi_mcp.sandbox.errors import AccountForbidden, ApiError, Broken, NotFound, Unauthenticated
from rekomi_mcp.sandbox.events import ROUTES as EVENTS
from rekomi_mcp.sandbox.expand import expand
from rekomi_mcp.sandbox.forms import decode
from rekomi_mcp.sandbox.idempotency import Remembered, fingerprint, recall, remember
from rekomi_mcp.sandbox.ids import new_id
from rekomi_mcp.sandbox.invoices import ROUTES as INVOICES
from rekomi_mcp.sandbox.params import ListOf, Text
from rekomi_mcp.sandbox.payments import ROUTES as PAYMENTS
from rekomi_mcp.sandbox.products import ROUTES as PRODUCTS
from rekomi_mcp.sandbox.promotion_codes import ROUTES as PROMOTION_CODES
from rekomi_mcp.sandbox.refunds import ROUTES as REFUNDS
from rekomi_mcp.sandbox.routes import Route, find_route
from rekomi_mcp.sandbox.shapes import JsonObject
from rekomi_mcp.sandbox.state import State
from rekomi_mcp.sandbox.subscriptions import ROUTES as SUBSCRIPTIONS
from rekomi_mcp.sandbox.tax_rates import ROUTES as TAX_RATES
from rekomi_mcp.sandbox.views import view
from rekomi_mcp.sandbox.webhook_endpoints import ROUTES as WEBHOOK_ENDPOINTS
from rekomi_mcp.sandbox.work import Work

log = logging.getLogger(__name__)

ROUTES: tuple[Route, ...] = (
    *ACCOUNTS,
    *BALANCE,
    *PAYMENTS,
    *CHECKOUT,
    *COUPONS,
    *CUSTOMERS,
    *DISPUTES,
    *EVENTS,
    *INVOICES,
    *PRODUCTS,
    *PROMOTION_CODES,
    *REFUNDS,
    *SUBSCRIPTIONS,
    *TAX_RATES,
    *WEBHOOK_ENDPOINTS,
)

_EXPAND = ListOf(Text())


@dataclass(frozen=True)
class ApiRequest:
    """A request as the transport received it.

    Attributes:
        segments: the decoded parts of the path, `["v1", "coupons", "SARAH20"]`.
        form: the query of a GET or DELETE, the body of a POST, still encoded.
        headers: by lower-case name.
    """

    method: str
    segments: list[str]
    form: str
    headers: Mapping[str, str]


@dataclass(frozen=True)
class Answer:
    status: int
    body: JsonObject
    headers: dict[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True)
class Call:
    """A request understood: nothing is left that could be wrong about its form."""

    route: Route
    ids: list[str]
    params: JsonObject
    expand: list[str]

    def run(self, work: Work) -> JsonObject:
        body = view(work, self.route.handler(work, *self.ids, self.params))
        expand(work, body, self.expand)
        return body


def answer_api(state: State, request: ApiRequest) -> Answer:
    """Answer a request to the Stripe API. Never raises."""
    request_id = new_id("req_")
    answer = guarded(request, lambda: _answer(state, request, request_id))
    headers = {"request-id": request_id, "stripe-version": API_VERSION}
    return Answer(answer.status, answer.body, headers | answer.headers)


def guarded(request: ApiRequest, answer: Callable[[], Answer]) -> Answer:
    """The answer, or the error it raises as an answer."""
    try:
        return answer()
    except ApiError as error:
        return Answer(error.status, error.body())
    except Exception as error:
        log.exception("the sandbox failed to answer %s /%s", request.method, "/".join(request.segments))
        return Answer(500, Broken(f"The sandbox has a bug: {error!r}").body())


def _answer(state: State, request: ApiRequest, request_id: str) -> Answer:
    _authenticate(request.headers.get("authorization", ""))
    found = find_route(ROUTES, request.method, request.segments)
    if found is None:
        raise NotFound(f"Unrecognized request URL ({request.method}: /{'/'.join(request.segments)}).")
    route, ids = found
    raw = decode(request.form)
    call = Call(
        route,
        ids,
        route.params.read({name: raw[name] for name in raw if name != "expand"}),
        _EXPAND.read(raw.get("expand", {}), "expand"),
    )
    account = acting_account(request)
    if request.method == "GET":
        with state.read(account) as work:
            check_account(work)
            return Answer(200, call.run(work))
    key = request.headers.get("idempotency-key") if request.method == "POST" else None
    with state.write(account, {"id": request_id, "idempotency_key": key}) as work:
        check_account(work)
        if key is None:
            return Answer(200, call.run(work))
        return _run_once(work, call, key, fingerprint("/".join(request.segments), raw), request_id)


def _run_once(work: Work, call: Call, key: str, request: str, request_id: str) -> Answer:
    """Run a request under its idempotency key, or repeat the answer the key has had."""
    headers = {"idempotency-key": key}
    if earlier := recall(work, key, request):
        replayed = {"idempotent-replayed": "true", "original-request": earlier.request_id}
        return Answer(earlier.status, earlier.body, headers | replayed)
    work.db.execute("SAVEPOINT request")
    try:
        answer = Answer(200, call.run(work), headers)
    except ApiError as error:
        if not error.remembered:
            raise
        work.db.execute("ROLLBACK TO request")
        answer = Answer(error.status, error.body(), headers)
    remember(work, key, request, Remembered(request_id, answer.status, answer.body))
    return answer


def _authenticate(authorization: str) -> None:
    """Accept the sandbox's key, as a bearer token or as the user name of basic authentication."""
    scheme, _, credentials = authorization.partition(" ")
    key = credentials.strip()
    if scheme.lower() == "basic":
        try:
            key = base64.b64decode(key).decode().partition(":")[0]
        except ValueError:
            key = ""
    if not key:
        raise Unauthenticated(
            "You did not provide an API key. You need to provide your API key in the Authorization header, using "
            "Bearer auth (e.g. 'Authorization: Bearer YOUR_SECRET_KEY')."
        )
    if not key.startswith(SANDBOX_KEY):
        raise Unauthenticated(
            f"Invalid API Key provided: {key[:8]}****{key[-4:]}. This is the sandbox; its key is {SANDBOX_KEY}."
        )


def acting_account(request: ApiRequest) -> str:
    """The connected account a request is for, "" for the sandbox's own."""
    named = request.headers.get("stripe-account", "")
    return "" if named == OWN_ACCOUNT else named


def check_account(work: Work) -> None:
    """Refuse to act for a connected account that does not exist."""
    if work.account and work.acting_for("", work.now).find("account", work.account) is None:
        raise AccountForbidden(
            f"The provided key '{SANDBOX_KEY}' does not have access to account '{work.account}' (or that account does "
            "not exist). Application access may have been revoked.",
            code="account_invalid",
        )
