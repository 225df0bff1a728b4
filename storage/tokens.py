"""Bearer credentials: 32 random bytes, shown once, kept as SHA-256."""

import hashlib
import secrets
from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import func
from sqlmodel import Session, col, select

from rekomi_mcp.domain.access import TokenKind
from rekomi_mcp.storage.tables import ApiTokenRow


def new_secret(kind: TokenKind) -> str:
    return kind.value + secrets.token_urlsafe(32)


def digest(text: str) -> str:
    # An environment variable may hold any bytes; what is no text is no token either.
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()


def hint(text: str) -> str:
    """The part that may be shown again: the prefix and four characters."""
    return f"{text[: text.index('_', 3) + 5]}…"


def get(session: Session, token_id: str) -> ApiTokenRow | None:
    return session.get(ApiTokenRow, token_id)


def of_organization(session: Session, organization_id: str) -> Sequence[ApiTokenRow]:
    query = select(ApiTokenRow).where(ApiTokenRow.organization_id == organization_id)
    return session.exec(query.order_by(col(ApiTokenRow.created_at), col(ApiTokenRow.id))).all()


def count_active(session: Session, organization_id: str, kind: TokenKind, now: datetime) -> int:
    query = select(func.count()).where(
        ApiTokenRow.organization_id == organization_id,
        ApiTokenRow.kind == kind.name,
        col(ApiTokenRow.revoked_at).is_(None),
        col(ApiTokenRow.expires_at).is_(None) | (col(ApiTokenRow.expires_at) > now),
    )
    return session.exec(query).one()
