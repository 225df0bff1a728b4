"""`rekomi-mcp sandbox`: play the customers and the clock of the built-in Stripe."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from rekomi_mcp.domain.errors import StripeRefused
from rekomi_mcp.domain.money import display
from rekomi_mcp.sandbox.control import CHECKOUT, DISPUTE, REFUND
from rekomi_mcp.sandbox.errors import ApiError
from rekomi_mcp.sandbox.forms import from_json
from rekomi_mcp.sandbox.params import Fields
from rekomi_mcp.sandbox.server import serve_sandbox
from rekomi_mcp.sandbox.shapes import JsonObject
from rekomi_mcp.sandbox.simulate import Simulation
from rekomi_mcp.sandbox.state import State
from rekomi_mcp.settings import Settings, SettingsError

_KINDS = {"pi_": "payment_intent", "ch_": "charge", "in_": "invoice", "cs_": "session"}


def _simulation(settings: Settings) -> Simulation:
    """The sandbox of this data folder; there is none beside a Stripe key."""
    if settings.mode != "sandbox":
        raise SettingsError(f"A Stripe {settings.mode} key is set, and the sandbox is never used beside one.")
    return Simulation(State(settings.sandbox_path))


def serve(settings: Settings, arguments: argparse.Namespace) -> int:
    _simulation(settings)

    def announce(url: str) -> None:
        print(f"SANDBOX (no real money): a Stripe API on {url}, key sk_test_sandbox, state in {settings.sandbox_path}")
        print(f"Use it with REKOMI_STRIPE_API_BASE={url} REKOMI_STRIPE_SECRET_KEY=sk_test_sandbox, or with any client.")

    serve_sandbox(settings.sandbox_path, arguments.port, announce)
    return 0


def show(settings: Settings, arguments: argparse.Namespace) -> int:
    found = _simulation(settings).summary()
    print(found["note"])
    print(
        f"Clock: {_moment(found['clock']['now'])}, {found['clock']['offset_seconds'] // 86400} days ahead of real time"
    )
    print("Objects: " + (", ".join(f"{count} {kind}" for kind, count in found["counts"].items()) or "none"))
    for endpoint in found["webhook_endpoints"]:
        print(f"Webhooks to {endpoint['url']} ({endpoint['status']})")
    for event in found["last_events"]:
        print(f"  {_moment(event['created'])}  {event['type']:34} {event['id']}")
    return 0


def checkout(settings: Settings, arguments: argparse.Namespace) -> int:
    simulation = _simulation(settings)
    names = ("amount", "currency", "code", "email", "interval", "trial_days", "tax_percent", "client_reference_id")
    given = {name: getattr(arguments, name) for name in names}
    given |= {"metadata": dict(arguments.metadata) if arguments.metadata else None, "delayed": arguments.delayed}
    sale = _tried(lambda: simulation.checkout(**_read(CHECKOUT, given)))
    currency = arguments.currency
    done = "has ordered for" if sale["payment_status"] == "unpaid" else "paid"
    print(
        f"SANDBOX: {arguments.email} {done} {display(sale['amount_total'], currency)} "
        f"(discount {display(sale['amount_discount'], currency)}, tax {display(sale['amount_tax'], currency)})."
    )
    _print_ids(sale)
    return 0


def settle(settings: Settings, arguments: argparse.Namespace) -> int:
    simulation = _simulation(settings)
    sale = _tried(lambda: simulation.settle(arguments.session, succeeded=not arguments.failed))
    outcome = "has failed" if arguments.failed else "has arrived"
    print(f"SANDBOX: the payment of {display(sale['amount_total'], sale['currency'])} {outcome}.")
    _print_ids(sale)
    return 0


def renew(settings: Settings, arguments: argparse.Namespace) -> int:
    simulation = _simulation(settings)
    billed = _tried(lambda: simulation.renew(arguments.subscription))
    print(f"SANDBOX: the subscription is {billed['status']}; the clock now says {_moment(simulation.clock()['now'])}.")
    _print_ids(billed)
    return 0


def refund(settings: Settings, arguments: argparse.Namespace) -> int:
    simulation, sale = _simulation(settings), _sale(arguments)
    made = _tried(lambda: simulation.refund(**_read(REFUND, sale | {"amount": arguments.amount})))
    print(f"SANDBOX: refunded {display(made['amount'], made['currency'])} ({made['id']}, {made['status']}).")
    return 0


def dispute(settings: Settings, arguments: argparse.Namespace) -> int:
    simulation, sale = _simulation(settings), _sale(arguments)
    wanted = sale | {"amount": arguments.amount, "inquiry": arguments.inquiry}
    made = _tried(lambda: simulation.dispute(**_read(DISPUTE, wanted)))
    print(f"SANDBOX: {display(made['amount'], made['currency'])} are disputed ({made['id']}, {made['status']}).")
    return 0


def decide(settings: Settings, arguments: argparse.Namespace) -> int:
    simulation = _simulation(settings)
    closed = _tried(lambda: simulation.close_dispute(arguments.dispute, won=arguments.outcome == "won"))
    print(f"SANDBOX: the dispute {closed['id']} is {closed['status']}.")
    return 0


def _read(fields: Fields, given: Mapping[str, object]) -> JsonObject:
    """What was given, held to the same bounds as a request to the sandbox.

    Raises:
        SettingsError: naming the option that is out of them.
    """
    try:
        return fields.read(from_json(given) or {})
    except ApiError as error:
        raise SettingsError(f"--{(error.param or '').replace('_', '-')}: {error.message}") from None


def _sale(arguments: argparse.Namespace) -> dict[str, object]:
    """The sale that is named, by what kind of thing its id is."""
    kind = _KINDS.get(arguments.sale[:3])
    if kind is None:
        raise SettingsError("Name a payment intent (pi_…), charge (ch_…), invoice (in_…) or checkout session (cs_…).")
    return {kind: arguments.sale}


def advance(settings: Settings, arguments: argparse.Namespace) -> int:
    simulation = _simulation(settings)
    clock = _tried(lambda: simulation.advance(days=arguments.days))
    print(f"SANDBOX: the clock now says {_moment(clock['now'])}; what fell due is billed.")
    return 0


def _tried(work: Callable[[], JsonObject]) -> JsonObject:
    """The work's result.

    Raises:
        StripeRefused: the sandbox refused as Stripe would, with Stripe's reason.
    """
    try:
        return work()
    except ApiError as error:
        raise StripeRefused(error.message) from None


def _print_ids(found: JsonObject) -> None:
    for name in ("session", "subscription", "invoice", "payment_intent", "charge", "customer"):
        if found.get(name):
            print(f"  {name.replace('_', ' '):15} {found[name]}")


def _moment(unix: int) -> str:
    return f"{datetime.fromtimestamp(unix, UTC):%Y-%m-%d %H:%M} UTC"
