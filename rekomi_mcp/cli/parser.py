"""The commands and their arguments, as argparse shows them."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

PLANS = ("Starter", "Growth", "Pro", "Enterprise")
STATUSES = ("Active", "Trialing", "None")
ROLES = ("Viewer", "Manager", "Admin", "Owner")


def build_parser(version: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="rekomi-mcp", description="A self-hosted affiliate program that is run by talking to it."
    )
    parser.add_argument("--version", action="version", version=version)
    parser.add_argument("--settings", type=Path, metavar="FILE", help="file of REKOMI_NAME=value lines")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _everyday(commands)
    _setup(commands)
    _organizations(commands)
    _tokens(commands)
    _secrets(commands)
    _sandbox(commands)
    return parser


def _command(group: Any, name: str, run: str, help_: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = group.add_parser(name, help=help_, description=f"{help_[0].upper()}{help_[1:]}.")
    parser.set_defaults(run=run)
    return parser


def _everyday(commands: Any) -> None:
    serve = _command(commands, "serve", "serve:serve", "serve MCP on stdio, or MCP and the HTTP API on a port")
    serve.add_argument("transport", choices=("stdio", "http"), nargs="?", default="stdio")
    serve.add_argument("--toolsets", metavar="NAMES", help="only these as tools, for example coupons,sales")
    serve.add_argument("--read-only", action="store_true", help="only what changes nothing")
    call = _command(commands, "call", "call:call", "run one operation as the local owner and print its answer")
    call.add_argument("name", metavar="NAME", help="an operation, for example list_programs")
    call.add_argument(
        "arguments", metavar="JSON", nargs="?", default="{}", help="arguments, for example '{\"take\":5}'"
    )
    call.add_argument("--organization", metavar="SLUG", help="when the data folder holds several")
    call.add_argument("--idempotency-key", metavar="KEY", help="repeat a write safely")
    operations = _command(commands, "operations", "call:operations", "print every operation with its gates and route")
    operations.add_argument("--markdown", action="store_true", help="as the README's table")
    _command(commands, "sync", "call:sync", "read Stripe's events once and work off the inbox")
    _command(commands, "demo", "demo:demo", "play an owner's story against a real server, and check every figure")


def _setup(commands: Any) -> None:
    init = _command(commands, "init", "setup:init", "prepare the database and create the first organization")
    init.add_argument("--name", default="My brand", help="the organization's name (default: %(default)s)")
    _profile_arguments(init, currency="USD")
    init.add_argument("--plan", choices=PLANS, default="Pro")
    _command(commands, "migrate", "setup:migrate", "bring the database to this version's schema")
    _command(commands, "doctor", "setup:doctor", "say what is missing and the next step")


def _profile_arguments(parser: argparse.ArgumentParser, currency: str | None = None) -> None:
    parser.add_argument("--timezone", metavar="ZONE", help="for example Europe/Berlin")
    parser.add_argument("--home-currency", metavar="CODE", default=currency, help="for example USD")
    parser.add_argument("--payout-grace-days", type=int, metavar="DAYS", help="hold of commissions after payment")
    parser.add_argument("--billing-email", metavar="ADDRESS")


def _organizations(commands: Any) -> None:
    group = commands.add_parser("org", help="organizations of this deployment").add_subparsers(required=True)
    _command(group, "list", "admin:list_organizations", "list organizations")
    create = _command(group, "create", "admin:create_organization", "create an organization")
    create.add_argument("name")
    create.add_argument("--slug")
    create.add_argument("--plan", choices=PLANS, default="Pro")
    create.add_argument("--status", choices=STATUSES, default="Active")
    create.add_argument("--trial-days", type=int, metavar="DAYS")
    _profile_arguments(create, currency="USD")
    plan = _command(group, "set-plan", "admin:update_organization", "set an organization's plan and subscription")
    plan.add_argument("organization", metavar="SLUG")
    plan.add_argument("plan", choices=PLANS)
    plan.add_argument("--status", choices=STATUSES, default="Active")
    plan.add_argument("--trial-days", type=int, metavar="DAYS")
    change = _command(group, "set", "admin:update_organization", "change an organization's profile")
    change.add_argument("organization", metavar="SLUG")
    change.add_argument("--name")
    _profile_arguments(change)
    link = _command(group, "link-stripe", "admin:update_organization", "link a Stripe account to an organization")
    link.add_argument("organization", metavar="SLUG")
    link.add_argument("stripe_account", metavar="ACCOUNT", help="acct_…, or self for the deployment's own, or none")
    audit = _command(group, "verify-audit", "admin:verify_audit", "recompute the audit log's hash chains")
    audit.add_argument("organization", metavar="SLUG", nargs="?")


def _tokens(commands: Any) -> None:
    group = commands.add_parser("token", help="tokens for assistants and scripts").add_subparsers(required=True)
    create = _command(group, "create", "admin:create_token", "create a token; its text is shown once")
    create.add_argument("kind", choices=("mcp", "live"), help="mcp for assistants, live for scripts over HTTP")
    create.add_argument("--organization", metavar="SLUG", help="when the data folder holds several")
    create.add_argument("--name", default="", help="what it is for")
    create.add_argument("--read-only", action="store_true")
    create.add_argument("--role", choices=ROLES, default="Owner")
    create.add_argument("--expires-in-days", type=int, metavar="DAYS")
    listing = _command(group, "list", "admin:list_tokens", "list tokens, without their text")
    listing.add_argument("--organization", metavar="SLUG")
    revoke = _command(group, "revoke", "admin:revoke_token", "end a token at once")
    revoke.add_argument("token_id", metavar="ID")


def _secrets(commands: Any) -> None:
    group = commands.add_parser("secret", help="secrets that sign a server's calls").add_subparsers(required=True)
    create = _command(group, "create", "admin:create_secret", "create a signing secret; its text is shown once")
    create.add_argument("--organization", metavar="SLUG", help="when the data folder holds several")
    create.add_argument("--name", default="", help="what it is for")
    listing = _command(group, "list", "admin:list_secrets", "list signing secrets, without their text")
    listing.add_argument("--organization", metavar="SLUG")
    revoke = _command(group, "revoke", "admin:revoke_secret", "end a signing secret at once")
    revoke.add_argument("secret_id", metavar="ID")


def _pair(text: str) -> tuple[str, str]:
    name, is_pair, value = text.partition("=")
    if not (name and is_pair):
        raise argparse.ArgumentTypeError(f"{text!r} is not written as KEY=VALUE")
    return name, value


def _sandbox(commands: Any) -> None:
    group = commands.add_parser("sandbox", help="the built-in Stripe sandbox").add_subparsers(required=True)
    serve = _command(group, "serve", "sandbox:serve", "run the sandbox alone")
    serve.add_argument("--port", type=int, default=0, help="default: any free port")
    _command(group, "show", "sandbox:show", "say what is in the sandbox")
    checkout = _command(group, "checkout", "sandbox:checkout", "let a customer buy, with a code or without")
    checkout.add_argument("--code", help="the code the customer types")
    checkout.add_argument("--amount", type=int, default=4900, help="price in minor units (default: %(default)s)")
    checkout.add_argument("--currency", default="usd")
    checkout.add_argument("--email", default="kim@example.com", help="the customer's (default: %(default)s)")
    checkout.add_argument("--interval", choices=("day", "week", "month", "year"), help="makes it a subscription")
    checkout.add_argument("--trial-days", type=int)
    checkout.add_argument("--tax-percent", type=float)
    checkout.add_argument("--client-reference-id", metavar="TEXT", help="a click's id, or the slug of a link")
    checkout.add_argument(
        "--metadata", metavar="KEY=VALUE", type=_pair, action="append", help="of the checkout session; may be repeated"
    )
    checkout.add_argument("--delayed", action="store_true", help="the money arrives later: see settle")
    settle = _command(group, "settle", "sandbox:settle", "let the money of a delayed payment arrive, or fail")
    settle.add_argument("session", metavar="SESSION", help="the checkout session, cs_…")
    settle.add_argument("--failed", action="store_true", help="it never will")
    renew = _command(group, "renew", "sandbox:renew", "advance the clock to a subscription's next invoice")
    renew.add_argument("subscription", metavar="SUB")
    refund = _command(group, "refund", "sandbox:refund", "give a customer money back")
    refund.add_argument("sale", metavar="ID", help="a payment intent, charge, invoice or checkout session")
    refund.add_argument("--amount", type=int, help="in minor units; all of it when left out")
    dispute = _command(group, "dispute", "sandbox:dispute", "let a customer dispute a payment at the bank")
    dispute.add_argument("sale", metavar="ID", help="a payment intent, charge, invoice or checkout session")
    dispute.add_argument("--amount", type=int, help="in minor units; all of it when left out")
    dispute.add_argument("--inquiry", action="store_true", help="the bank only asks; no money moves")
    decide = _command(group, "decide", "sandbox:decide", "let the bank decide a dispute")
    decide.add_argument("dispute", metavar="DISPUTE", help="its id, du_…")
    decide.add_argument("outcome", choices=("won", "lost"), help="for the brand")
    advance = _command(group, "advance", "sandbox:advance", "advance the clock, billing what falls due")
    advance.add_argument("days", type=int)
