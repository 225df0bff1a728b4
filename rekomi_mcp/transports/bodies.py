"""Read request bodies within the limit, and make arguments of what a request says."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, cast

from starlette.requests import ClientDisconnect, Request

from rekomi_mcp.domain.errors import InvalidInput, PayloadTooLarge

LARGE_BYTES = 16 * 1024
"""The calls people make are far smaller."""


async def read_body(request: Request, limit_bytes: int) -> bytes:
    """The raw body.

    Raises:
        PayloadTooLarge: longer than the limit; no more of it is read than that, and nothing when it says so itself.
        InvalidInput: it ended before it was whole.
    """
    too_large = PayloadTooLarge(f"The body is larger than {limit_bytes} bytes. Send less at a time.")
    if _declared_size(request) > limit_bytes:
        raise too_large
    chunks: list[bytes] = []
    size = 0
    try:
        async for chunk in request.stream():
            size += len(chunk)
            if size > limit_bytes:
                raise too_large
            chunks.append(chunk)
    except ClientDisconnect:
        raise InvalidInput("The body ended before it was whole. Send it again.") from None
    return b"".join(chunks)


def may_be_large(request: Request) -> bool:
    """Whether the body is worth reading only for a caller who is known."""
    return "transfer-encoding" in request.headers or _declared_size(request) > LARGE_BYTES


def _declared_size(request: Request) -> int:
    """How long the body says it is; 0 when it does not."""
    length = request.headers.get("content-length", "")
    return int(length) if length.isascii() and length.isdecimal() and len(length) < 20 else 0


async def arguments_of(request: Request, limit_bytes: int) -> dict[str, Any]:
    """A request's arguments: the path's, and the query's of a GET or DELETE or the JSON body's of a write.

    Raises:
        InvalidInput: not a JSON object, a query parameter given twice, or one that contradicts the path.
    """
    if request.method in ("GET", "HEAD", "DELETE"):
        arguments = _query(request)
    else:
        arguments = json_object(await read_body(request, limit_bytes))
    for name, value in request.path_params.items():
        if arguments.setdefault(name, value) != value:
            raise InvalidInput(f"{name} is in the path already; leave it out or give the same.", field=name)
    return arguments


def _query(request: Request) -> dict[str, Any]:
    pairs = request.query_params.multi_items()
    arguments = dict(pairs)
    if len(arguments) < len(pairs):
        raise InvalidInput("A query parameter is given twice. Give each once.")
    return arguments


def json_object(body: bytes, parse_number: Callable[[str], Any] | None = None) -> dict[str, Any]:
    """The JSON object a body is.

    Args:
        parse_number: what to make of a number's text; Python's own numbers when None.

    Raises:
        InvalidInput: it is none, or a name is given twice in it.
    """
    if not body:
        return {}
    try:
        parsed = json.loads(
            body,
            object_pairs_hook=_object,
            parse_constant=_no_constant,
            parse_float=parse_number,
            parse_int=parse_number,
        )
    except (ValueError, RecursionError):
        raise InvalidInput("The body is not JSON. Send a JSON object.") from None
    if not isinstance(parsed, dict):
        raise InvalidInput("The body is JSON but not an object. Send a JSON object.")
    return cast(dict[str, Any], parsed)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise InvalidInput("A name is given twice in the body. Give each once.")
    return found


def _no_constant(name: str) -> None:
    raise ValueError(name)  # NaN and Infinity are Python's, not JSON's
