"""The audit log: append-only, written in the transaction of the change, each line's hash covering the one before."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import insert, update
from sqlmodel import Session, col, select

from rekomi_mcp.storage.ids import new_id
from rekomi_mcp.storage.pages import Page, Window, newest_numbers_first
from rekomi_mcp.storage.tables import AuditHeadRow, AuditLineRow

GENESIS = "0" * 64
_BATCH = 1000


@dataclass(frozen=True, slots=True)
class Line:
    """One entry to append. `before` and `after` are JSON text without secrets."""

    action: str
    outcome: str
    entity_type: str
    entity_id: str | None
    before: str | None
    after: str | None


@dataclass(frozen=True, slots=True)
class Actor:
    type: str
    id: str | None
    ip: str | None = None
    user_agent: str | None = None


def append(session: Session, organization_id: str, actor: Actor, lines: Sequence[Line], now: datetime) -> None:
    """Append lines to the organization's chain."""
    if not lines:
        return
    seq, previous = _locked_head(session, organization_id)
    now = now.astimezone(UTC)  # as the store gives it back, so that the hash can be computed again
    rows: list[dict[str, Any]] = []
    for line in lines:
        seq += 1
        row = {
            "organization_id": organization_id,
            "seq": seq,
            "id": new_id(),
            "action": line.action,
            "outcome": line.outcome,
            "entity_type": line.entity_type,
            "entity_id": line.entity_id,
            "actor_type": actor.type,
            "actor_id": actor.id,
            "ip": actor.ip,
            "user_agent": actor.user_agent,
            "before": line.before,
            "after": line.after,
            "created_at": now,
        }
        previous = row["sha256"] = _hash(previous, row)
        rows.append(row)
    session.connection().execute(insert(AuditLineRow), rows)
    session.exec(
        update(AuditHeadRow)
        .where(col(AuditHeadRow.organization_id) == organization_id)
        .values(seq=seq, sha256=previous)
    )


def _locked_head(session: Session, organization_id: str) -> tuple[int, str]:
    """The last line of the chain, locked against other writers."""
    query = select(AuditHeadRow.seq, AuditHeadRow.sha256).where(AuditHeadRow.organization_id == organization_id)
    return session.exec(query.with_for_update()).one()


def lock_chain(session: Session, organization_id: str) -> None:
    """Let no other transaction of this organization write until the commit. (SQLite has one writer anyway.)"""
    if session.get_bind().dialect.name != "sqlite":
        _locked_head(session, organization_id)


def open_chain(session: Session, organization_id: str) -> None:
    """Begin the chain of a new organization."""
    session.add(AuditHeadRow(organization_id=organization_id, seq=0, sha256=GENESIS))
    session.flush()


def _hash(previous: str, row: dict[str, Any]) -> str:
    content = {**row, "created_at": row["created_at"].isoformat()}
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(f"{previous}\n{text}".encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class LineFilter:
    action: str | None = None
    entity_type: str | None = None
    since: datetime | None = None
    until: datetime | None = None


def page(session: Session, organization_id: str, wanted: LineFilter, window: Window) -> Page[AuditLineRow]:
    """Lines, newest first. Times only rise along the chain, so the walk is by sequence number alone."""
    query = select(AuditLineRow).where(AuditLineRow.organization_id == organization_id)
    if wanted.action is not None:
        query = query.where(AuditLineRow.action == wanted.action)
    if wanted.entity_type is not None:
        query = query.where(AuditLineRow.entity_type == wanted.entity_type)
    if wanted.since is not None:
        query = query.where(AuditLineRow.created_at >= wanted.since)
    if wanted.until is not None:
        query = query.where(AuditLineRow.created_at < wanted.until)
    return newest_numbers_first(session, query, "audit_log", col(AuditLineRow.seq), window)


@dataclass(frozen=True, slots=True)
class ChainReport:
    lines: int
    broken_at: int | None
    """The first line whose hash does not hold, or that is missing; None when the chain is whole."""


def verify_chain(session: Session, organization_id: str) -> ChainReport:
    """Walk the whole chain and recompute every hash; nothing may be missing before the head or stand behind it."""
    head = session.get(AuditHeadRow, organization_id)
    end, end_sha256 = (head.seq, head.sha256) if head is not None else (0, GENESIS)
    checked, previous = 0, GENESIS
    for row in _lines_in_order(session, organization_id):
        content = {c: getattr(row, c) for c in AuditLineRow.model_fields if c != "sha256"}
        if row.seq != checked + 1 or row.seq > end or row.sha256 != _hash(previous, content):
            return ChainReport(checked, checked + 1)
        checked, previous = row.seq, row.sha256
    whole = (checked, previous) == (end, end_sha256)
    return ChainReport(checked, None if whole else checked + 1)


def _lines_in_order(session: Session, organization_id: str) -> Iterator[AuditLineRow]:
    """Every line, read in batches, so that a long log does not have to fit in memory."""
    seq = 0
    while True:
        query = (
            select(AuditLineRow)
            .where(AuditLineRow.organization_id == organization_id, AuditLineRow.seq > seq)
            .order_by(col(AuditLineRow.seq))
            .limit(_BATCH)
        )
        rows = session.exec(query).all()
        yield from rows
        if len(rows) < _BATCH:
            return
        seq = rows[-1].seq
        session.expunge_all()
