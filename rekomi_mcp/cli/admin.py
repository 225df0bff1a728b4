"""`rekomi-mcp org`, `rekomi-mcp token` and `rekomi-mcp secret`."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from anyio import to_thread

import rekomi_mcp.storage as storage
from rekomi_mcp.app import App
from rekomi_mcp.cli.run import given, operate, with_app
from rekomi_mcp.domain.errors import InvalidInput, NotFound
from rekomi_mcp.settings import Settings
from rekomi_mcp.tools import (
    CREATE_ORGANIZATION,
    CREATE_SIGNING_SECRET,
    CREATE_TOKEN,
    LIST_ORGANIZATIONS,
    LIST_SIGNING_SECRETS,
    LIST_TOKENS,
    REVOKE_SIGNING_SECRET,
    REVOKE_TOKEN,
    UPDATE_ORGANIZATION,
)

if TYPE_CHECKING:
    from rekomi_mcp.storage.audit import ChainReport

_PROFILE = ("name", "timezone", "home_currency", "payout_grace_days", "billing_email")


def list_organizations(settings: Settings, arguments: argparse.Namespace) -> int:
    found = with_app(settings, lambda app: operate(app, LIST_ORGANIZATIONS, {}))
    for row in found["items"]:
        plan = f"{row['planTier']} ({row['subscriptionStatus']})"
        print(f"{row['slug']:24} {row['name']:28} {plan:22} Stripe: {row['stripeAccount'] or 'not linked'}")
    if not found["items"]:
        print("There is no organization yet. Run `rekomi-mcp init`.")
    return 0


def create_organization(settings: Settings, arguments: argparse.Namespace) -> int:
    wanted = given(arguments, "slug", "plan", "status", "trial_days", *_PROFILE)
    made = with_app(settings, lambda app: operate(app, CREATE_ORGANIZATION, wanted))
    print(f"Created {made['name']} (slug {made['slug']}, plan {made['planTier']}).")
    if made["stripeAccount"] is None:
        print(_how_to_link(settings, made["slug"]))
    return 0


def _how_to_link(settings: Settings, slug: str) -> str:
    if settings.mode != "sandbox":
        return f"Link its Stripe account with `rekomi-mcp org link-stripe {slug} acct_…`."
    return (
        "The sandbox has one account, and another organization has it (see `rekomi-mcp org list`). To rehearse with this "
        f"one, `rekomi-mcp org link-stripe OTHER none`, then `rekomi-mcp org link-stripe {slug} self`."
    )


def update_organization(settings: Settings, arguments: argparse.Namespace) -> int:
    wanted = given(arguments, "organization", "plan", "status", "trial_days", "stripe_account", *_PROFILE)
    row = with_app(settings, lambda app: operate(app, UPDATE_ORGANIZATION, wanted))
    print(
        f"{row['slug']}: {row['name']}, {row['planTier']} ({row['subscriptionStatus']}), hold {row['payoutGraceDays']} "
        f"days, {row['homeCurrency']}, {row['timezone']}, Stripe: {row['stripeAccount'] or 'not linked'}"
    )
    return 0


def verify_audit(settings: Settings, arguments: argparse.Namespace) -> int:
    """Recompute every hash; exit 1 when a chain does not hold."""
    reports = with_app(settings, lambda app: to_thread.run_sync(chain_reports, app, arguments.organization))
    for slug, report in reports:
        verdict = "every hash holds" if report.broken_at is None else f"BROKEN at line {report.broken_at}"
        print(f"{slug}: {report.lines} lines, {verdict}")
    return int(any(report.broken_at is not None for _, report in reports))


def chain_reports(app: App, slug: str | None) -> list[tuple[str, ChainReport]]:
    """What verifying each organization's chain found, or the named one's.

    Raises:
        NotFound: no organization has this slug.
    """
    with app.open_store().reading() as session:
        rows = [row for row in storage.organizations.everyone(session) if slug in (None, row.slug)]
        if slug is not None and not rows:
            raise NotFound("No organization has this slug. See `rekomi-mcp org list`.")
        return [(row.slug, storage.audit.verify_chain(session, row.id)) for row in rows]


async def _slug(app: App, given_slug: str | None) -> str:
    """The organization that is meant: the one that is named, or the only one.

    Raises:
        InvalidInput: none is named, and there is none or several.
    """
    named = given_slug or app.settings.organization
    if named is not None:
        return named
    found = (await operate(app, LIST_ORGANIZATIONS, {}))["items"]
    if not found:
        raise InvalidInput("There is no organization yet. Run `rekomi-mcp init`.")
    if len(found) > 1:
        raise InvalidInput(
            f"There are {len(found)} organizations. Name one with --organization or REKOMI_ORGANIZATION; see "
            "`rekomi-mcp org list`."
        )
    return str(found[0]["slug"])


def create_token(settings: Settings, arguments: argparse.Namespace) -> int:
    async def work(app: App) -> dict[str, Any]:
        return await operate(
            app,
            CREATE_TOKEN,
            {
                "organization": await _slug(app, arguments.organization),
                "kind": arguments.kind.upper(),
                "name": arguments.name or f"{arguments.kind} token",
                "scope": "read" if arguments.read_only else "read_write",
                **given(arguments, "role", "expires_in_days"),
            },
        )

    made = with_app(settings, work)
    print(made["token"])
    expiry = f", expires {made['expiresAt']}" if made["expiresAt"] else ""
    print(f"{made['scope']} as {made['role']}{expiry}. It is not shown again; id {made['id']} revokes it.")
    return 0


def list_tokens(settings: Settings, arguments: argparse.Namespace) -> int:
    async def work(app: App) -> dict[str, Any]:
        return await operate(app, LIST_TOKENS, {"organization": await _slug(app, arguments.organization)})

    for row in with_app(settings, work)["items"]:
        state = f"revoked {row['revokedAt']}" if row["revokedAt"] else f"expires {row['expiresAt'] or 'never'}"
        print(f"{row['id']}  {row['hint']:16} {row['scope']:10} {row['role']:8} {state}  {row['name']}")
    return 0


def revoke_token(settings: Settings, arguments: argparse.Namespace) -> int:
    row = with_app(settings, lambda app: operate(app, REVOKE_TOKEN, {"tokenId": arguments.token_id}))
    print(f"Revoked {row['hint']} ({row['name']}).")
    return 0


def create_secret(settings: Settings, arguments: argparse.Namespace) -> int:
    async def work(app: App) -> dict[str, Any]:
        wanted = {
            "organization": await _slug(app, arguments.organization),
            "name": arguments.name or "signing secret",
        }
        return await operate(app, CREATE_SIGNING_SECRET, wanted)

    made = with_app(settings, work)
    print(made["secret"])
    print(f"Signs calls of your server; see docs/tracking.md. It is not shown again; id {made['id']} revokes it.")
    return 0


def list_secrets(settings: Settings, arguments: argparse.Namespace) -> int:
    async def work(app: App) -> dict[str, Any]:
        return await operate(app, LIST_SIGNING_SECRETS, {"organization": await _slug(app, arguments.organization)})

    for row in with_app(settings, work)["items"]:
        state = f"revoked {row['revokedAt']}" if row["revokedAt"] else f"made {row['createdAt']}"
        print(f"{row['id']}  {row['hint']:12} {state}  {row['name']}")
    return 0


def revoke_secret(settings: Settings, arguments: argparse.Namespace) -> int:
    row = with_app(settings, lambda app: operate(app, REVOKE_SIGNING_SECRET, {"secretId": arguments.secret_id}))
    print(f"Revoked {row['hint']} ({row['name']}).")
    return 0
