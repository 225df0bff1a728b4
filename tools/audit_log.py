"""The audit log: who did what, and what was refused."""

from __future__ import annotations

import json
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, StringConstraints

import rekomi_mcp.storage as storage
from rekomi_mcp.domain.access import ActorType, Gate, Plan, Role, Scope
from rekomi_mcp.operation import DETAIL, Context, Operation, Output, Route
from rekomi_mcp.tools.fields import ListInput, ListOutput, Moment, require_order

if TYPE_CHECKING:
    from rekomi_mcp.storage.tables import AuditLineRow

Word = Annotated[str, StringConstraints(min_length=1, max_length=80)]


class AuditLineOutput(Output):
    id: str = Field(json_schema_extra=DETAIL)
    seq: int = Field(description="Counts the organization's lines without a gap.")
    action: str
    outcome: str = Field(description="ok, or the error code of a refusal.")
    entity_type: str
    entity_id: str | None = None
    actor_type: Literal["user", "api_key", "mcp", "system", "admin"]
    actor_user_id: str | None = Field(default=None, description="Hidden from tokens.")
    ip: str | None = Field(default=None, description="Hidden from tokens.")
    user_agent: str | None = Field(default=None, description="Hidden from tokens.")
    before: dict[str, Any] | None = Field(default=None, json_schema_extra=DETAIL)
    after: dict[str, Any] | None = Field(default=None, json_schema_extra=DETAIL)
    created_at: datetime


class AuditLog(ListOutput[AuditLineOutput]):
    """One page of audit lines."""


class ListAuditLogInput(ListInput):
    action: Word | None = Field(default=None, description="Only this action, for example affiliate_code.minted.")
    entity_type: Word | None = Field(default=None, description="Only this kind of thing, for example conversion.")
    since: Moment | None = Field(default=None, description="At or after; ISO 8601, UTC without a zone.")
    until: Moment | None = Field(default=None, description="Before.")


def _list(context: Context, request: ListAuditLogInput) -> AuditLog:
    require_order(request.since, request.until)
    wanted = storage.audit.LineFilter(request.action, request.entity_type, request.since, request.until)
    window = storage.pages.Window(request.take, request.cursor)
    page = storage.audit.page(context.session, context.organization_id, wanted, window)
    # Whoever holds only a token sees what was done, not from where: that is the operator's.
    redact = context.caller.actor in (ActorType.API_KEY, ActorType.MCP)
    return AuditLog(
        items=[_line(row, redact) for row in page.rows],
        next_cursor=page.next_cursor,
        has_more=page.next_cursor is not None,
        total=page.total,
    )


def _line(row: AuditLineRow, redact: bool) -> AuditLineOutput:
    return AuditLineOutput.model_validate(
        {
            "id": row.id,
            "seq": row.seq,
            "action": row.action,
            "outcome": row.outcome,
            "entity_type": row.entity_type,
            "entity_id": row.entity_id,
            "actor_type": row.actor_type,
            "actor_user_id": None if redact else row.actor_id,
            "ip": None if redact else row.ip,
            "user_agent": None if redact else row.user_agent,
            "before": json.loads(row.before) if row.before else None,
            "after": json.loads(row.after) if row.after else None,
            "created_at": row.created_at,
        }
    )


LIST_AUDIT_LOG = Operation(
    name="list_audit_log",
    title="List audit log",
    summary="List what was done and refused in this organization, by whom or what, newest first.",
    usage="For one sale's own history use get_conversion.",
    toolset="audit",
    input=ListAuditLogInput,
    output=AuditLog,
    handler=_list,
    route=Route("GET", "/api/v1/audit-log"),
    scope=Scope.READ,
    role=Role.Owner,
    gate=Gate(Plan.Pro, survives_lapse=True),
)
