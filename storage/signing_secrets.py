"""Secrets that sign calls of sellers' servers: 32 random bytes, shown once, kept sealed."""

import secrets
from collections.abc import Sequence

from sqlmodel import Session, col, select

from rekomi_mcp.storage.tables import SigningSecretRow

PREFIX = "rks_"
MAX_LIVE = 10
"""Each is tried on a signature, so a few for rotation, not a collection."""


def new_secret() -> str:
    return PREFIX + secrets.token_urlsafe(32)


def hint(text: str) -> str:
    """The part that may be shown again: the prefix and four characters."""
    return f"{text[: len(PREFIX) + 4]}…"


def place(row: SigningSecretRow) -> str:
    """What a sealed secret is bound to."""
    return f"signing_secret:{row.organization_id}:{row.id}"


def get(session: Session, secret_id: str) -> SigningSecretRow | None:
    return session.get(SigningSecretRow, secret_id)


def of_organization(session: Session, organization_id: str) -> Sequence[SigningSecretRow]:
    """All of them, revoked ones too, oldest first."""
    query = select(SigningSecretRow).where(SigningSecretRow.organization_id == organization_id)
    return session.exec(query.order_by(col(SigningSecretRow.created_at), col(SigningSecretRow.id))).all()


def live(session: Session, organization_id: str) -> Sequence[SigningSecretRow]:
    return [row for row in of_organization(session, organization_id) if row.revoked_at is None]
