"""Which credential and which origin a request carries; the pipeline decides what they are worth."""

from __future__ import annotations

import re
from ipaddress import ip_address

from starlette.datastructures import Headers
from starlette.requests import HTTPConnection

from rekomi_mcp.domain.access import BearerToken, Signature, TokenKind
from rekomi_mcp.domain.errors import SignatureRequired, Unauthenticated
from rekomi_mcp.pipeline import Origin

KEY_HEADER = "x-rekomi-api-key"
SIGNATURE_HEADER = "x-rekomi-signature"
_SECONDS_DIGITS = 12
"""Enough for thirty thousand years, and one less than milliseconds have today."""
_SIGNATURE = re.compile(r"t=([0-9]{1,20}),\s*sig=([0-9A-Fa-f]{64})")


def bearer_token(headers: Headers, accepted: TokenKind) -> BearerToken:
    """The bearer token of a request.

    Raises:
        Unauthenticated: there is none.
    """
    scheme, _, text = headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not text.strip():
        raise Unauthenticated(
            f"A token is required: send `Authorization: Bearer {accepted.value}…`. Create one with `rekomi-mcp token create`."
        )
    return BearerToken(text.strip(), accepted)


def server_key(headers: Headers) -> BearerToken:
    """The rk_live_ token of a seller's server, as Authorization or as X-Rekomi-Api-Key.

    Raises:
        Unauthenticated: there is none, or one in each header.
    """
    key = headers.get(KEY_HEADER, "").strip()
    if not key:
        return bearer_token(headers, TokenKind.LIVE)
    if "authorization" in headers:
        raise Unauthenticated("The token is sent twice. Send it as Authorization or as X-Rekomi-Api-Key, not as both.")
    return BearerToken(key, TokenKind.LIVE)


def signature_of(headers: Headers, body: bytes) -> Signature:
    """The signature that X-Rekomi-Signature holds for a body.

    Raises:
        SignatureRequired: there is none, or it is not written as one.
    """
    found = _SIGNATURE.fullmatch(headers.get(SIGNATURE_HEADER, "").strip())
    if found is None:
        raise SignatureRequired(
            "This call must be signed: send `X-Rekomi-Signature: t=<unix>,sig=<hex>`, the HMAC-SHA256 of `<unix>.<raw body>` "
            "with a signing secret; see docs/tracking.md."
        )
    return Signature(unix_of(found[1]), found[2].lower(), f"{found[1]}.".encode() + body)


def unix_of(digits: str) -> int:
    """The moment of signing.

    Raises:
        SignatureRequired: it is not in seconds.
    """
    if len(digits) > _SECONDS_DIGITS:
        raise SignatureRequired(
            "t is the time of signing in Unix seconds, and this one looks like milliseconds: divide it by 1000, leave the "
            "fraction out, and sign with that."
        )
    return int(digits)


def origin_of(connection: HTTPConnection) -> Origin:
    client = connection.client
    return Origin(ip=_address(client.host) if client else None, user_agent=connection.headers.get("user-agent"))


def _address(text: str) -> str | None:
    """The address in its usual form; None for what a proxy's header made up."""
    try:
        return str(ip_address(text))
    except ValueError:
        return None
