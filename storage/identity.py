"""The first step of the road: from a credential to a caller bound to one organization."""

from datetime import datetime
from types import SimpleNamespace
from typing import Any

from sqlalchemy import bindparam
from sqlalchemy import select as select_columns
from sqlmodel import col

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
from rekomi_mcp.storage.engine import Reader
from rekomi_mcp.storage.organizations import OrganizationView
from rekomi_mcp.storage.prepared import Prepared
from rekomi_mcp.storage.tables import ApiTokenRow, OrganizationRow

_ACTOR_OF_KIND = {TokenKind.LIVE: ActorType.API_KEY, TokenKind.MCP: ActorType.MCP}


_BY_DIGEST = (
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
_NAMES = tuple(_BY_DIGEST.selected_columns.keys())
_TOKEN: Prepared[Any] = Prepared(_BY_DIGEST, lambda row: SimpleNamespace(**dict(zip(_NAMES, row, strict=True))))
"""With the whole organization, which costs less than asking for it again."""


def identify(reader: Reader, credential: Credential, now: datetime) -> Caller:
    """Resolve who is calling, with one statement; whoever asks this reader for the organization then is given it.

    Raises:
        Unauthenticated: no such token, of the wrong kind for this door, expired, revoked, or no organization here.
    """
    match credential:
        case BearerToken():
            return _bearer(reader, credential, now)
        case LocalOwner():
            return _local_owner(reader, credential)
        case Operator():
            standing = Standing(Plan.Enterprise, SubscriptionStatus.Active)
            return Caller(ActorType.ADMIN, None, "", Scope.READ_WRITE, Role.Owner, standing)
        case SignedCall():
            raise AssertionError("a signature is checked by the pipeline, which has the vault")
        case System():
            row = organizations.get(reader, credential.organization_id)
            assert row is not None, "the server acts only for organizations it has read"
            return _full_access(reader, ActorType.SYSTEM, row)


def _bearer(reader: Reader, credential: BearerToken, now: datetime) -> Caller:
    wanted = credential.accepted
    if not credential.text.startswith(wanted.value):
        raise Unauthenticated(
            f"Send a token that begins with {wanted.value} as `Authorization: Bearer {wanted.value}…`."
        )
    # The lookup is by digest of 256 random bits: what its timing could tell is of no use.
    key = {"sha256": tokens.digest(credential.text), "kind": wanted.name}
    token = _TOKEN.first(reader, key)
    if token is None:
        raise Unauthenticated("This token is not known here. Create one with `rekomi-mcp token create`.")
    if token.revoked_at is not None:
        raise TokenRevoked("This token was revoked. Create another with `rekomi-mcp token create`.")
    if token.expires_at is not None and token.expires_at <= now:
        raise TokenExpired("This token has expired. Create another with `rekomi-mcp token create`.")
    organizations.remember(reader, token)
    return Caller(
        actor=_ACTOR_OF_KIND[wanted],
        actor_id=token.token_id,
        organization_id=token.id,
        scope=Scope(token.scope),
        role=Role[token.role],
        standing=organizations.standing(token),
        token_expires_at=token.expires_at,
    )


def _local_owner(reader: Reader, credential: LocalOwner) -> Caller:
    if credential.organization_slug is not None:
        row = organizations.view_by_slug(reader, credential.organization_slug)
        if row is None:
            raise Unauthenticated(
                "REKOMI_ORGANIZATION (or --organization) names no organization here. See `rekomi-mcp org list`."
            )
        return _full_access(reader, credential.actor, row)
    everyone = organizations.views(reader)
    if len(everyone) != 1:
        advice = (
            "Name one with REKOMI_ORGANIZATION, or at the command line with --organization; see `rekomi-mcp org list`."
            if everyone
            else "Run `rekomi-mcp init` first."
        )
        raise Unauthenticated(f"This data folder holds {len(everyone)} organizations, and no token was given. {advice}")
    return _full_access(reader, credential.actor, everyone[0])


def _full_access(reader: Reader, actor: ActorType, row: OrganizationView) -> Caller:
    organizations.remember(reader, row)
    return Caller(actor, None, row.id, Scope.READ_WRITE, Role.Owner, organizations.standing(row))
