"""What the pipeline writes to the audit log."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

import rekomi_mcp.storage as storage
from rekomi_mcp.domain.access import Caller
from rekomi_mcp.domain.errors import Refusal
from rekomi_mcp.domain.text import clean
from rekomi_mcp.operation import AnyOperation, Change, Context
from rekomi_mcp.pipeline.calls import Origin

if TYPE_CHECKING:
    from rekomi_mcp.storage.audit import Actor, Line

MAX_USER_AGENT = 200


def actor_of(caller: Caller, origin: Origin) -> Actor:
    # Anybody writes this header, and people read the log in a terminal.
    user_agent = clean(origin.user_agent[: 2 * MAX_USER_AGENT])[:MAX_USER_AGENT] if origin.user_agent else None
    return storage.audit.Actor(caller.actor.value, caller.actor_id, origin.ip, user_agent)


def write_changes(context: Context, operation: AnyOperation, actor: Actor) -> None:
    """One line a change the handler noted, in the transaction of the change."""
    assert not (operation.stream and context.changes), f"{operation.name} only appends: a change belongs elsewhere"
    by_organization: dict[str, list[Line]] = {}
    for change in context.changes:
        organization_id = change.organization_id or context.organization_id
        by_organization.setdefault(organization_id, []).append(_line(operation, change))
    for organization_id in sorted(by_organization):
        storage.audit.append(context.session, organization_id, actor, by_organization[organization_id], context.now)


def write_refusal(context: Context, operation: AnyOperation, actor: Actor, refusal: Refusal) -> None:
    """One line for a write that was refused: which, to whom and with what code."""
    if not context.organization_id:
        return  # The operator's own commands belong to no organization.
    subject = str(operation.audit).partition(".")[0]
    line = storage.audit.Line(str(operation.audit), refusal.code, subject, None, None, None)
    storage.audit.append(context.session, context.organization_id, actor, [line], context.now)


def _line(operation: AnyOperation, change: Change) -> Line:
    return storage.audit.Line(
        action=change.action or str(operation.audit),
        outcome="ok",
        entity_type=change.entity_type,
        entity_id=change.entity_id,
        before=_json(change.before),
        after=_json(change.after),
    )


def _json(model: BaseModel | None) -> str | None:
    if model is None:
        return None
    content: dict[str, Any] = model.model_dump(mode="json", exclude_none=True)
    return json.dumps(content, separators=(",", ":"), ensure_ascii=False)
