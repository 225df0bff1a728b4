"""Who signed a call: the HMAC of a seller's server, checked against its organization's signing secrets."""

from __future__ import annotations

import dataclasses
import hashlib
import hmac
import logging
import time
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

import rekomi_mcp.storage as storage
from rekomi_mcp.domain.access import ActorType, BearerToken, Caller, Role, Scope, Signature, SignedCall
from rekomi_mcp.domain.errors import NoSigningSecret, SignatureMismatch, SignatureStale
from rekomi_mcp.operation import Vault

if TYPE_CHECKING:
    from sqlmodel import Session

    from rekomi_mcp.storage.tables import OrganizationRow, SigningSecretRow

logger = logging.getLogger(__name__)

WINDOW_SECONDS = 300
"""How far the signer's clock may be from ours, either way. A call that is repeated within it is recorded once."""


def identify_signed(session: Session, credential: SignedCall, vault: Vault, now: datetime) -> Caller:
    """Resolve who signed a call.

    Raises:
        Unauthenticated: the token does not hold, or the signature does not.
    """
    if isinstance(credential.sender, BearerToken):
        caller = storage.identity.identify(session, credential.sender, now)
        _require_fresh(credential.signature)
        live = storage.signing_secrets.live(session, caller.organization_id)
        if not live:
            raise NoSigningSecret(
                "This organization has no signing secret yet. Make one with `rekomi-mcp secret create` and sign with it."
            )
        _signer(live, credential.signature, vault)
        return dataclasses.replace(caller, signed=True)
    _require_fresh(credential.signature)
    organization = storage.organizations.by_slug(session, credential.sender)
    if organization is None:
        raise _mismatch()
    live = storage.signing_secrets.live(session, organization.id)
    if not live:  # a stranger hears what a wrong signature hears
        raise _mismatch()
    return _server_of(organization, _signer(live, credential.signature, vault))


def _server_of(organization: OrganizationRow, secret: SigningSecretRow) -> Caller:
    """A secret signs sales and nothing else, so no more than that is a server that has only its secret."""
    standing = storage.organizations.standing(organization)
    return Caller(ActorType.API_KEY, secret.id, organization.id, Scope.READ_WRITE, Role.Manager, standing, signed=True)


def _require_fresh(signature: Signature) -> None:
    # The wall clock and not the deployment's: on the sandbox that one may have been advanced by months.
    behind = int(time.time()) - signature.unix
    if abs(behind) > WINDOW_SECONDS:
        raise SignatureStale(
            f"The call was signed {abs(behind)} seconds {'before' if behind > 0 else 'after'} this server's time, and "
            f"{WINDOW_SECONDS} are allowed. Set the clock right, and sign each attempt anew.",
            differenceSeconds=behind,
        )


def _signer(live: Sequence[SigningSecretRow], signature: Signature, vault: Vault) -> SigningSecretRow:
    """The secret that made this signature."""
    texts = [(row, vault.unseal(row.sealed, storage.signing_secrets.place(row))) for row in live]
    readable = [(row, text) for row, text in texts if text is not None]
    if not readable:
        logger.error("no signing secret can be read: the server's key is not the one they were sealed with")
        raise NoSigningSecret(
            "This server cannot read the signing secrets: its key has changed. Restore REKOMI_SECRET_KEY (or secret.key), "
            "or make a new secret with `rekomi-mcp secret create`."
        )
    for row, text in readable:
        made = hmac.new(text.encode(), signature.signed, hashlib.sha256).hexdigest()
        if hmac.compare_digest(made, signature.mac_hex):
            return row
    raise _mismatch()


def _mismatch() -> SignatureMismatch:
    return SignatureMismatch(
        "The signature fits no live signing secret of this organization. With HMAC-SHA256 sign `<unix>.<body>`, the very "
        "bytes of the body, or the parameters of a postback, sorted by name and percent-encoded; see docs/tracking.md."
    )
