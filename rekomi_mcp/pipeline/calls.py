"""What goes into the pipeline and what comes out."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rekomi_mcp.domain.access import Credential
from rekomi_mcp.domain.errors import Refusal
from rekomi_mcp.domain.quota import Quota
from rekomi_mcp.operation import AnyOperation, Input


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a call came from, for the audit log."""

    ip: str | None = None
    user_agent: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One request to run one operation."""

    operation: AnyOperation
    credential: Credential
    arguments: Mapping[str, Any] | Input
    """Raw arguments by their wire names, or, from inside the server, an input already made."""
    idempotency_key: str | None = None
    origin: Origin = Origin()
    also_takes: tuple[str, ...] = ()
    """Names of arguments that the transport takes for itself: a caller who misspells one hears of them too."""
    malformed: Refusal | None = None
    """Why the transport could not read the arguments: refused where arguments are validated, after the gates."""


@dataclass(frozen=True, slots=True)
class Answer:
    """The JSON of an operation's output."""

    body: dict[str, Any]
    replayed: bool = False
    """True when a keyed write was answered from memory."""
    quota: Quota | None = None
