"""The first step of the road: from a credential to a caller bound to one organization."""

from datetime import datetime
from typing import Any

from sqlalchemy import bindparam
from sqlalchemy import select as select_columns
from sqlmodel import Session, col

from rekomi_mcp.domain.access import (
    ActorType,
    BearerToken,
    Caller,
    Credential,
    LocalOwner,
    Operator,
    Plan,
    Role,
    Scope,
    SignedCall,
    Standing,
    SubscriptionStatus,
    System,
    TokenKind,
)
from rekomi_mcp.domain.errors import TokenExpired, TokenRevoked, Unauthenticated
from rekomi_mcp.storage import organizations, tokens
from rekomi_mcp.storage.organizations import OrganizationView
from rekomi_mcp.storage.tables import ApiTokenRow, OrganizationRow

_ACTOR_OF_KIND = {TokenKind.LIVE: ActorType.API_KEY, TokenKind.MCP: ActorType.MCP}


_TOKEN = (
    select_columns(
        *organizations.COLUMNS,
        col(ApiTokenRow.id).label("token_id"),
        col(ApiTokenRow.scope),
        col(ApiTokenRow.role),
        col(ApiTokenRow.expires_at),
        col(ApiTokenRow.revoked_at),
    )
    .join(OrganizationRow, col(OrganizationRow.id) == ApiTokenRow.organization_id)
    .where(col(ApiTokenRow.sha256) == bindparam("sha256"), col(ApiTokenRow.kind) == bindparam("kind"))
)
"""Run at every call, so it reads columns: entities would cost several times as much. With the whole organization, which
costs less than asking for it again."""


def identify(session: Session, credential: Credential, now: datetime) -> Caller:
    """Resolve who is calling, with one statement; whoever asks this session for the organization then is given it.

    Raises:
        Unauthenticated: no such token, of the wrong kind for this door, expired, revoked, or no organization here.
    """
    match credential:
        case BearerToken():
            return _bearer(session, credential, now)
        case LocalOwner():
            return _local_owner(session, credential)
        case Operator():
            standing = Standing(Plan.Enterprise, SubscriptionStatus.Active)
            return Caller(ActorType.ADMIN, None, "", Scope.READ_WRITE, Role.Owner, standing)
        case SignedCall():
            raise AssertionError("a signature is checked by the pipeline, which has the vault")
        case System():
            row = organizations.get(session, credential.organization_id)
            assert row is not None, "the server acts only for organizations it has read"
            return _full_access(session, ActorType.SYSTEM, row)


def _bearer(session: Session, credential: BearerToken, now: datetime) -> Caller:
    wanted = credential.accepted
    if not credential.text.startswith(wanted.value):
        raise Unauthenticated(
            f"Send a token that begins with {wanted.value} as `Authorization: Bearer {wanted.value}…`."
        )
    # The lookup is by digest of 256 random bits: what its timing could tell is of no use.
    key = {"sha256": tokens.digest(credential.text), "kind": wanted.name}
    token: Any = session.connection().execute(_TOKEN, key).first()
    if token is None:
        raise Unauthenticated("This token is not known here. Create one with `rekomi-mcp token create`.")
    if token.revoked_at is not None:
        raise TokenRevoked("This token was revoked. Create another with `rekomi-mcp token create`.")
    if token.expires_at is not None and token.expires_at <= now:
        raise TokenExpired("This token has expired. Create another with `rekomi-mcp token create`.")
    organizations.remember(session, token)
    return Caller(
        actor=_ACTOR_OF_KIND[wanted],
        actor_id=token.token_id,
        organization_id=token.id,
        scope=Scope(token.scope),
        role=Role[token.role],
        standing=organizations.standing(token),
        token_expires_at=token.expires_at,
    )


def _local_owner(session: Session, credential: LocalOwner) -> Caller:
    if credential.organization_slug is not None:
        row = organizations.by_slug(session, credential.organization_slug)
        if row is None:
            raise Unauthenticated(
                "REKOMI_ORGANIZATION (or --organization) names no organization here. See `rekomi-mcp org list`."
            )
        return _full_access(session, credential.actor, row)
    everyone = organizations.everyone(session)
    if len(everyone) != 1:
        advice = (
            "Name one with REKOMI_ORGANIZATION, or at the command line with --organization; see `rekomi-mcp org list`."
            if everyone
            else "Run `rekomi-mcp init` first."
        )
        raise Unauthenticated(f"This data folder holds {len(everyone)} organizations, and no token was given. {advice}")
    return _full_access(session, credential.actor, everyone[0])


def _full_access(session: Session, actor: ActorType, row: OrganizationRow | OrganizationView) -> Caller:
    organizations.remember(session, row)
    return Caller(actor, None, row.id, Scope.READ_WRITE, Role.Owner, organizations.standing(row))
