"""Secrets that sign calls of sellers' servers, as the operator makes and ends them. Exposed nowhere, like tokens."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

import rekomi_mcp.storage as storage
from rekomi_mcp.domain.access import Role, Scope
from rekomi_mcp.domain.errors import NotFound, StatusConflict, TokenLimitReached
from rekomi_mcp.operation import Context, Input, Operation, Output
from rekomi_mcp.tools.administration import organization_by_slug
from rekomi_mcp.tools.fields import Name

if TYPE_CHECKING:
    from rekomi_mcp.storage.tables import SigningSecretRow


class SigningSecretOutput(Output):
    id: str
    name: str
    hint: str
    revoked_at: datetime | None = None
    created_at: datetime


class NewSigningSecretOutput(SigningSecretOutput):
    secret: str


def _present(row: SigningSecretRow) -> SigningSecretOutput:
    return SigningSecretOutput.model_validate(row, from_attributes=True)


class CreateSigningSecretInput(Input):
    organization: str
    name: Name


def _create(context: Context, request: CreateSigningSecretInput) -> NewSigningSecretOutput:
    """Both sides of a signature need the text, so it is sealed and not hashed; it is shown this once all the same."""
    organization = organization_by_slug(context, request.organization)
    live = len(storage.signing_secrets.live(context.session, organization.id))
    if live >= storage.signing_secrets.MAX_LIVE:
        raise TokenLimitReached(
            f"{organization.slug} has {live} live signing secrets, the most it may have. Revoke one first."
        )
    secret = storage.signing_secrets.new_secret()
    row = storage.tables.SigningSecretRow(
        organization_id=organization.id,
        name=request.name,
        hint=storage.signing_secrets.hint(secret),
        sealed="",
        created_at=context.now,
    )
    row.sealed = context.vault.seal(secret, storage.signing_secrets.place(row))
    context.session.add(row)
    context.session.flush()
    answer = _present(row)
    context.changed("signing_secret", row.id, after=answer, organization_id=organization.id)
    return NewSigningSecretOutput(**answer.model_dump(by_alias=False), secret=secret)


class ListSigningSecretsInput(Input):
    organization: str


class SigningSecretList(Output):
    items: list[SigningSecretOutput]


def _list(context: Context, request: ListSigningSecretsInput) -> SigningSecretList:
    organization = organization_by_slug(context, request.organization)
    rows = storage.signing_secrets.of_organization(context.session, organization.id)
    return SigningSecretList(items=[_present(row) for row in rows])


class RevokeSigningSecretInput(Input):
    secret_id: str


def _revoke(context: Context, request: RevokeSigningSecretInput) -> SigningSecretOutput:
    row = storage.signing_secrets.get(context.session, request.secret_id)
    if row is None:
        raise NotFound("No signing secret has this id. See `rekomi-mcp secret list`.", field="secretId")
    if row.revoked_at is not None:
        raise StatusConflict("This signing secret is revoked already.", field="secretId")
    before = _present(row)
    row.revoked_at = context.now
    context.session.flush()
    answer = _present(row)
    context.changed("signing_secret", row.id, before=before, after=answer, organization_id=row.organization_id)
    return answer


CREATE_SIGNING_SECRET = Operation(
    name="create_signing_secret",
    title="Create signing secret",
    summary="Create a secret with which a seller's server signs its calls; its text is shown once.",
    usage="`rekomi-mcp secret create`.",
    toolset="operator",
    input=CreateSigningSecretInput,
    output=NewSigningSecretOutput,
    handler=_create,
    route=None,
    scope=Scope.READ_WRITE,
    role=Role.Owner,
    audit="signing_secret.created",
)

LIST_SIGNING_SECRETS = Operation(
    name="list_signing_secrets",
    title="List signing secrets",
    summary="List an organization's signing secrets without their text.",
    usage="`rekomi-mcp secret list`.",
    toolset="operator",
    input=ListSigningSecretsInput,
    output=SigningSecretList,
    handler=_list,
    route=None,
    scope=Scope.READ,
    role=Role.Owner,
)

REVOKE_SIGNING_SECRET = Operation(
    name="revoke_signing_secret",
    title="Revoke signing secret",
    summary="End a signing secret at once.",
    usage="`rekomi-mcp secret revoke`.",
    toolset="operator",
    input=RevokeSigningSecretInput,
    output=SigningSecretOutput,
    handler=_revoke,
    route=None,
    scope=Scope.READ_WRITE,
    role=Role.Owner,
    audit="signing_secret.revoked",
    destructive=True,
)
