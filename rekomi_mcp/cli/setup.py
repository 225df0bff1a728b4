"""`rekomi-mcp init`, `migrate` and `doctor`."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

from anyio import to_thread

import rekomi_mcp.storage as storage
from rekomi_mcp.app import App
from rekomi_mcp.cli.run import given, operate, with_app
from rekomi_mcp.domain.errors import Refusal, StripeMisconfigured
from rekomi_mcp.settings import Settings, SettingsError
from rekomi_mcp.tools import CREATE_ORGANIZATION, LIST_ORGANIZATIONS, LIST_TOKENS

DEFAULT_NAME = "My brand"


def init(settings: Settings, arguments: argparse.Namespace) -> int:
    """Create the first organization; an initialised database is left as it is."""
    profile = given(arguments, "name", "plan", "timezone", "home_currency", "payout_grace_days", "billing_email")
    organization = prepare(settings, profile)
    if organization is None:
        print("This database has an organization already; nothing to do. `rekomi-mcp org create` makes another.")
        return 0
    print(f"Created {organization['name']} (slug {organization['slug']}, plan {organization['planTier']}).")
    print(f"Database: {_shown_url(settings)}")
    print("Next: connect an assistant with `rekomi-mcp serve stdio`, or make tokens with `rekomi-mcp token create`.")
    return 0


def prepare(settings: Settings, profile: dict[str, Any] | None = None) -> dict[str, Any] | None:
    """Migrate the database and, when it holds no organization, create one; answers it, or None."""

    async def work(app: App) -> dict[str, Any] | None:
        await to_thread.run_sync(app.open_store)
        if (await operate(app, LIST_ORGANIZATIONS, {}))["items"]:
            return None
        return await operate(app, CREATE_ORGANIZATION, profile or {"name": DEFAULT_NAME})

    return with_app(settings, work)


def migrate(settings: Settings, arguments: argparse.Namespace) -> int:
    from rekomi_mcp.storage.engine import Store
    from rekomi_mcp.storage.migrate import HEAD
    from rekomi_mcp.storage.migrate import migrate as upgrade

    try:
        store = Store(settings.store_url)
    except ValueError as error:
        raise SettingsError(f"REKOMI_DATABASE_URL: {error}") from None
    changed = upgrade(store)
    store.close()
    print(f"The schema {'was brought to' if changed else 'is at'} revision {HEAD}.")
    return 0


def doctor(settings: Settings, arguments: argparse.Namespace) -> int:
    """Check each part, say what is missing, and end with the next step."""
    checks: list[tuple[str, Callable[[Settings], str]]] = [
        ("Database", _database),
        ("Organizations", _organizations),
        ("Stripe", _stripe),
        ("Webhooks", _webhooks),
        ("Signing secrets", _signing_secrets),
        ("Audit log", _audit),
    ]
    next_step = None
    for name, check in checks:
        try:
            print(f"ok       {name}: {check(settings)}")
        except (_Missing, Refusal, SettingsError) as problem:
            print(f"MISSING  {name}: {problem}")
            next_step = next_step or str(problem)
            if name == "Database":
                break
    print(f"Next step: {next_step}" if next_step else "Nothing is missing.")
    return 1 if next_step else 0


class _Missing(Exception):
    """Something the server needs, and how to supply it."""


def _database(settings: Settings) -> str:
    from sqlalchemy.exc import SQLAlchemyError

    from rekomi_mcp.storage.engine import Store
    from rekomi_mcp.storage.migrate import HEAD, revision

    if settings.sqlite_path is not None and not settings.sqlite_path.exists():
        raise _Missing(f"{settings.sqlite_path} does not exist yet. Run `rekomi-mcp init`.")
    try:
        store = Store(settings.store_url)
        with store.engine.connect() as connection:
            found = revision(connection)
        store.close()
    except (ValueError, SQLAlchemyError, ModuleNotFoundError) as error:
        raise _Missing(f"{_shown_url(settings)} cannot be opened: {str(error).splitlines()[0]}") from None
    if found != HEAD:
        raise _Missing(
            f"the schema is at {found or 'nothing'}, and this version needs {HEAD}. Run `rekomi-mcp migrate`."
        )
    return f"{_shown_url(settings)}, schema {HEAD}"


def _organizations(settings: Settings) -> str:
    async def work(app: App) -> list[str]:
        found = (await operate(app, LIST_ORGANIZATIONS, {}))["items"]
        lines: list[str] = []
        for organization in found:
            tokens = (await operate(app, LIST_TOKENS, {"organization": organization["slug"]}))["items"]
            active = sum(token["revokedAt"] is None for token in tokens)
            linked = "Stripe linked" if organization["stripeAccount"] else "no Stripe account"
            lines.append(f"{organization['slug']} ({organization['planTier']}, {linked}, {active} tokens)")
        return lines

    lines = with_app(settings, work)
    if not lines:
        raise _Missing("there is none yet. Run `rekomi-mcp init`.")
    return ", ".join(lines)


def _stripe(settings: Settings) -> str:
    refused = with_app(settings, _refused_organizations)
    if refused:
        raise _Missing(
            f"Stripe does not let this server's key act for the account of {', '.join(refused)}. Link one that it may act "
            "for, or none, with `rekomi-mcp org link-stripe`."
        )
    if settings.mode == "sandbox":
        return "the built-in sandbox (no real money); set REKOMI_STRIPE_SECRET_KEY to use Stripe"
    return f"the key works, {settings.mode} mode"


async def _refused_organizations(app: App) -> list[str]:
    """The organizations whose accounts Stripe does not accept the key for, each with its account.

    Raises:
        _Missing: the key itself is refused.
    """

    def linked() -> list[tuple[str, str]]:
        with app.open_store().reading() as session:
            everyone = storage.organizations.everyone(session)
            return [(row.slug, row.stripe_account) for row in everyone if row.stripe_account is not None]

    own = storage.organizations.OWN_ACCOUNT
    if app.settings.mode != "sandbox" and not await _is_accepted(app, own):
        raise _Missing(
            "Stripe does not accept the key. Set REKOMI_STRIPE_SECRET_KEY to one that is shown under API keys in Stripe; "
            "a restricted key must be allowed what the README lists."
        )
    others = [(slug, account) for slug, account in await to_thread.run_sync(linked) if account != own]
    return [f"{slug} ({account})" for slug, account in others if not await _is_accepted(app, account)]


async def _is_accepted(app: App, account: str) -> bool:
    try:
        await app.stripe.account(account).check()
    except StripeMisconfigured:
        return False
    return True


def _webhooks(settings: Settings) -> str:
    if settings.mode == "sandbox":
        return "delivered by the sandbox to the HTTP server by itself"
    if not settings.webhook_secrets:
        return "off; Stripe's events are polled every minute (set REKOMI_STRIPE_WEBHOOK_SECRET for webhooks)"
    return f"on at {settings.address}/webhooks/stripe"


def _signing_secrets(settings: Settings) -> str:
    """Whether those in use open with the key there is. Who uses none needs no key."""
    file = settings.secret_key_file
    key = "REKOMI_SECRET_KEY" if settings.secret_key is not None or file is None else str(file)
    has_key, opened, lost = with_app(settings, lambda app: to_thread.run_sync(_opened, app, key))
    if not opened and not lost:
        if has_key:
            return f"none yet; the key is in {key}"
        if file is None:
            return "none yet; set REKOMI_SECRET_KEY before the first is made (`openssl rand -base64 32`)"
        if file.exists():
            raise _Missing(f"{file} is empty. Delete it: a new key is made with the first signing secret.")
        return f"none yet; the key is made with the first, in {file}"
    if lost:
        why = f"the key in {key} is another than theirs" if has_key else f"there is no key in {key}"
        raise _Missing(
            f"{', '.join(lost)} cannot be opened, because {why}: what they sign is refused. Put their key back, or revoke "
            "them with `rekomi-mcp secret revoke` and make new ones with `rekomi-mcp secret create`."
        )
    return f"{len(opened)}, and each opens with the key in {key}"


def _opened(app: App, key: str) -> tuple[bool, list[str], list[str]]:
    """Whether there is a key, and the live secrets that open with it and those that do not, by id."""
    try:
        has_key = app.vault.has_key()
    except (OSError, ValueError):
        raise _Missing(
            f"the key in {key} cannot be read. Let the user the server runs as read it, or put back the copy you kept."
        ) from None
    opened: list[str] = []
    lost: list[str] = []
    with app.open_store().reading() as session:
        for organization in storage.organizations.everyone(session):
            for row in storage.signing_secrets.live(session, organization.id):
                text = app.vault.unseal(row.sealed, storage.signing_secrets.place(row))
                (lost if text is None else opened).append(f"{row.id} of {organization.slug}")
    return has_key, opened, lost


def _audit(settings: Settings) -> str:
    from rekomi_mcp.cli.admin import chain_reports

    reports = with_app(settings, lambda app: to_thread.run_sync(chain_reports, app, None))
    broken = [slug for slug, report in reports if report.broken_at is not None]
    if broken:
        raise _Missing(f"the hash chain of {', '.join(broken)} is broken. Run `rekomi-mcp org verify-audit`.")
    return f"{sum(report.lines for _, report in reports)} lines, every hash holds"


def _shown_url(settings: Settings) -> str:
    """The database's address without its password."""
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        return make_url(settings.store_url).render_as_string(hide_password=True)
    except ArgumentError:
        return "REKOMI_DATABASE_URL"
