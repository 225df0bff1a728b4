"""`rekomi-mcp call`, `operations` and `sync`."""

from __future__ import annotations

import argparse
import json
from typing import Any, cast

from rekomi_mcp.app import App
from rekomi_mcp.cli.run import operate, with_app
from rekomi_mcp.domain.access import ActorType, LocalOwner
from rekomi_mcp.domain.errors import InvalidInput, NotFound, Refusal
from rekomi_mcp.operation import AnyOperation
from rekomi_mcp.settings import Settings
from rekomi_mcp.tools import CATALOGUE


def call(settings: Settings, arguments: argparse.Namespace) -> int:
    """Run one exposed operation as the local owner; the answer or the refusal is printed as JSON."""
    operation = CATALOGUE.get(arguments.name)
    if operation is None or not operation.exposed:
        raise NotFound(f"There is no operation {arguments.name!r}. See `rekomi-mcp operations`.")
    try:
        given = json.loads(arguments.arguments)
    except ValueError:
        raise InvalidInput("The arguments are not JSON. Quote them for the shell: '{\"take\": 5}'.") from None
    if not isinstance(given, dict):
        raise InvalidInput("The arguments must be a JSON object.")
    wanted = cast(dict[str, Any], given)
    owner = LocalOwner(ActorType.USER, arguments.organization or settings.organization)
    try:
        answer = with_app(settings, lambda app: operate(app, operation, wanted, owner, arguments.idempotency_key))
    except Refusal as refusal:
        print(json.dumps(refusal.body(), indent=2, ensure_ascii=False))
        return 1
    print(json.dumps(answer, indent=2, ensure_ascii=False))
    return 0


def operations(settings: Settings, arguments: argparse.Namespace) -> int:
    """Print the catalogue."""
    print(markdown_table() if arguments.markdown else _plain_table())
    return 0


def _plain_table() -> str:
    lines = [f"{'OPERATION':28} {'ROUTE':62} {'SCOPE':11} {'ROLE':8} {'PLAN':8} AUDIT ACTION"]
    for operation in CATALOGUE.exposed():
        lines.append(
            f"{operation.name:28} {_route(operation):62} {operation.scope.value:11} {operation.role.name:8} "
            f"{operation.gate.tier.name:8} {operation.audit or '-'}"
        )
    return "\n".join(lines)


def markdown_table() -> str:
    """The README's table of tools."""
    lines = ["| tool | what it does | route | scope | role | plan |", "|---|---|---|---|---|---|"]
    lines += [
        f"| `{o.name}` | {o.summary} | `{_route(o)}` | {o.scope.value} | {o.role.name} | {o.gate.tier.name} |"
        for o in CATALOGUE.exposed()
    ]
    return "\n".join(lines)


def _route(operation: AnyOperation) -> str:
    return f"{operation.route.method} {operation.route.path}" if operation.route else "-"


def sync(settings: Settings, arguments: argparse.Namespace) -> int:
    """Read Stripe's events once, then work off the inbox."""

    async def work(app: App) -> tuple[int, int, int]:
        new = await app.poller.poll()
        return new, await app.inbox.work_off(), await app.pipeline.sweep_outbound()

    new, worked, swept = with_app(settings, work)
    print(f"{new} new events read, {worked} events worked off, {swept} unfinished writes to Stripe taken up.")
    return 0
