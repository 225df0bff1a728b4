"""What the handlers of all MCP messages share: who asks, and how a no is said where the protocol has only errors."""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any

from mcp.server import ServerRequestContext
from mcp.shared.exceptions import MCPError
from mcp_types import INTERNAL_ERROR, INVALID_PARAMS
from mcp_types.version import MODERN_PROTOCOL_VERSIONS

from rekomi_mcp.domain.access import Credential
from rekomi_mcp.domain.errors import InvalidInput, NotFound, Refusal
from rekomi_mcp.pipeline import Origin

logger = logging.getLogger(__name__)

RequestContext = ServerRequestContext[dict[str, Any], Any]
Identify = Callable[[RequestContext], tuple[Credential, Origin]]
"""From a request's context to who claims to ask, and from where."""

FAILED = "The server failed on this call, and nothing was changed. Its log says why."
REFUSED = -32010
"""Of the codes that the protocol leaves to servers: the caller may not have it, or not now; `data.error` says why."""
NOT_FOUND_IN_2025 = -32002
"""What the handshake era calls a resource that is not there. Since 2026-07-28 it is an invalid parameter."""


def protocol_error(context: RequestContext, refusal: Refusal, **data: str) -> MCPError:
    """A refusal as an error of the protocol: the message as it is, the code and the rest in `data`."""
    modern = context.protocol_version in MODERN_PROTOCOL_VERSIONS
    match refusal:
        case NotFound():
            code = INVALID_PARAMS if modern else NOT_FOUND_IN_2025
        case InvalidInput():
            code = INVALID_PARAMS
        case _:
            code = REFUSED
    rest = {name: value for name, value in refusal.body().items() if name != "message"}
    return MCPError(code, refusal.message, rest | data)


@contextmanager
def errors_of_the_protocol(context: RequestContext, name: str, **data: str) -> Generator[None]:
    """Let a refusal out as an error of the protocol, and of anything unexpected only that it happened."""
    try:
        yield
    except Refusal as refusal:
        raise protocol_error(context, refusal, **data) from None
    except Exception:
        logger.exception("%s failed", name)
        raise MCPError(INTERNAL_ERROR, FAILED, {"error": "internal_error"}) from None
