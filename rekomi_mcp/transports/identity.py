"""Which credential and which origin a request carries; the pipeline decides what they are worth."""

from __future__ import annotations

from ipaddress import ip_address

from starlette.datastructures import Headers
from starlette.requests import HTTPConnection

from rekomi_mcp.domain.access import BearerToken, TokenKind
from rekomi_mcp.domain.errors import Unauthenticated
from rekomi_mcp.pipeline import Origin


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


def origin_of(connection: HTTPConnection) -> Origin:
    client = connection.client
    return Origin(ip=_address(client.host) if client else None, user_agent=connection.headers.get("user-agent"))


def _address(text: str) -> str | None:
    """The address in its usual form; None for what a proxy's header made up."""
    try:
        return str(ip_address(text))
    except ValueError:
        return None
