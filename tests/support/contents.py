"""What a database holds, to see that a refusal changed nothing."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import select

from rekomi_mcp.app import App
from rekomi_mcp.storage.tables import AuditLineRow

AUDIT_TABLES = ("audit_line", "audit_head")

Contents = Mapping[str, list[str]]
"""Every row as text, by table."""


def contents(app: App) -> Contents:
    """Everything, apart from the audit log."""
    tables = AuditLineRow.metadata.tables
    with app.open_store().reading() as session:
        connection = session.connection()
        return {
            name: sorted(repr(row) for row in connection.execute(select(table)))
            for name, table in tables.items()
            if name not in AUDIT_TABLES
        }


def audit_lines(app: App) -> list[tuple[str, str, str]]:
    """The audit log of all organizations as (organization, action, outcome), oldest first."""
    line = AuditLineRow.metadata.tables["audit_line"].c
    query = select(line.organization_id, line.action, line.outcome).order_by(line.organization_id, line.seq)
    with app.open_store().reading() as session:
        return [(row[0], row[1], row[2]) for row in session.connection().execute(query)]
