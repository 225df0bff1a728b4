"""`rekomi-mcp serve`."""

from __future__ import annotations

import argparse
import gc
import sys
from functools import partial

from rekomi_mcp.settings import Settings


def serve(settings: Settings, arguments: argparse.Namespace) -> int:
    """Prepare what is missing, say on stderr what is served, and serve."""
    # What is loaded at the start stays: keeping the collector off meanwhile, and off it later, saves a fifth of the start.
    gc.disable()
    import anyio

    from rekomi_mcp.app import App
    from rekomi_mcp.serving import listen, serve_http, serve_stdio

    chosen = {
        "toolsets": arguments.toolsets or settings.toolsets,
        "read_only": arguments.read_only or settings.read_only,
    }
    settings = settings.model_copy(update=chosen)
    # An assistant waits for a server on stdio: what another machine must be asked for is prepared at the first call.
    later = arguments.transport == "stdio" and settings.sqlite_path is None
    app = App(settings, prepare=partial(_prepare, settings) if later else None)
    if not later and not _is_prepared(settings):
        _prepare(settings)
    # Before anything is said or started: of two servers on one port, the second must not call itself one.
    work = partial(serve_stdio, app) if arguments.transport == "stdio" else partial(serve_http, app, listen(settings))
    for line in _banner(settings, arguments.transport):
        print(line, file=sys.stderr)
    gc.enable()
    gc.freeze()
    anyio.run(work)
    return 0


def _is_prepared(settings: Settings) -> bool:
    """True when the SQLite file is there: its schema is checked when it is first used, after the start."""
    return settings.sqlite_path is not None and settings.sqlite_path.exists()


def _prepare(settings: Settings) -> None:
    from rekomi_mcp.cli.setup import prepare

    organization = prepare(settings)
    if organization is not None:
        print(f"Created the organization {organization['name']!r} in an empty database.", file=sys.stderr)


def _banner(settings: Settings, transport: str) -> list[str]:
    where = f"on {settings.address}: MCP at /mcp, API at /api/v1" if transport == "http" else "MCP on stdio"
    lines = [f"rekomi-mcp serves {where}. Data in {settings.data_dir}."]
    if settings.read_only:
        lines.append("READ-ONLY: nothing that changes anything is offered.")
    if settings.mode == "sandbox":
        lines.append(
            "SANDBOX: no Stripe key is set, so no money here is real. Set REKOMI_STRIPE_SECRET_KEY to go live."
        )
    elif settings.mode == "test":
        lines.append("Stripe TEST mode: no money here is real.")
    if transport == "http" and settings.mode != "sandbox" and not settings.webhook_secrets:
        lines.append("Webhooks are off (REKOMI_STRIPE_WEBHOOK_SECRET is not set); Stripe's events are polled instead.")
    return lines
