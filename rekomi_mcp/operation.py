"""An operation: one thing the server can do, declared once.

MCP tools, HTTP routes, OpenAPI, the command line's `call` and the test matrix are loops over these declarations, and the
pipeline is the only code that runs them, so a gate that is declared is a gate that is enforced on every road in.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, Generic, Protocol, Self, TypeVar

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel
from pydantic.config import JsonDict

from rekomi_mcp.domain.access import Caller, Gate, Role, Scope

if TYPE_CHECKING:
    from sqlmodel import Session


class Input(BaseModel):
    """Arguments of an operation: camelCase on the wire, anything undeclared refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, alias_generator=to_camel)


class Output(BaseModel):
    """An answer: camelCase on the wire. Optional fields default to null and are left out where bytes count."""

    model_config = ConfigDict(
        frozen=True, alias_generator=to_camel, populate_by_name=True, serialize_by_alias=True, extra="forbid"
    )

    @classmethod
    def of_row(cls, row: object) -> Self:
        """The answer that a row's fields of the same names make."""
        # Only by our names: a row that is asked for each wire name first takes longer to say no than all the rest does.
        return cls.model_validate(row, from_attributes=True, by_alias=False, by_name=True)


DETAIL: JsonDict = {"x-detail": True}
"""Marks a field of a list's items that is seldom needed: `Field(json_schema_extra=DETAIL)`."""


class Ticket(BaseModel):
    """What a three-step operation commits before it calls Stripe, so that any process can finish it."""

    model_config = ConfigDict(frozen=True)

    subject_id: str
    """The row the call is about: with the operation's name it makes the call unique."""
    account: str
    """The Stripe account to call: a connected account's id or "self"."""


class Question(BaseModel):
    """What an inquiry asks Stripe. Two questions are the same when their fields are."""

    model_config = ConfigDict(frozen=True)

    account: str
    """The Stripe account to ask: a connected account's id or "self"."""


@dataclass(frozen=True, slots=True)
class Change:
    """One thing that changed, for the audit log. `before` and `after` must hold no secrets."""

    entity_type: str
    entity_id: str | None
    before: BaseModel | None
    after: BaseModel | None
    action: str | None
    """The audit action when it is not the operation's own."""
    organization_id: str | None


class Vault(Protocol):
    """Seals texts that the server must be able to read again, with the deployment's own key."""

    def seal(self, text: str, place: str) -> str:
        """The text, encrypted; it opens only for the same place.

        Raises:
            SecretKeyRequired: the deployment has no key.
        """
        ...

    def unseal(self, sealed: str, place: str) -> str | None:
        """The text; None when it was sealed with another key, for another place, or by nobody."""
        ...


@dataclass(frozen=True, slots=True)
class Site:
    """Where the HTTP server is, for the addresses that answers hold."""

    address: str
    """Where it is reached at least from its own machine."""
    is_public: bool = False
    """Whether that is the address other people reach it at."""

    @property
    def public(self) -> str | None:
        return self.address if self.is_public else None


@dataclass(frozen=True, slots=True)
class Intake:
    """How this server hears of Stripe's events."""

    webhooks: bool
    """Whether the secret of a webhook endpoint is set."""
    poll_seconds: float
    """The pause between two readings of Stripe's event list."""


@dataclass(frozen=True, slots=True)
class Context:
    """What a handler may touch: its own organization's rows, the clock, the vault, and nothing else.

    Made only by the pipeline.
    """

    session: Session
    """Of a brief operation a `storage.engine.Glance`, of which columns alone can be asked."""
    caller: Caller
    now: datetime
    mode: str
    """`sandbox`, `test` or `live`: what kind of money this is."""
    catalogue: Catalogue
    site: Site
    vault: Vault
    intake: Intake
    changes: list[Change] = field(default_factory=list[Change])

    @property
    def organization_id(self) -> str:
        return self.caller.organization_id

    def changed(
        self,
        entity_type: str,
        entity_id: str | None,
        *,
        before: BaseModel | None = None,
        after: BaseModel | None = None,
        action: str | None = None,
        organization_id: str | None = None,
    ) -> None:
        """Note a change; the pipeline writes it to the audit log in the transaction of the change."""
        self.changes.append(Change(entity_type, entity_id, before, after, action, organization_id))


In = TypeVar("In", bound=Input)
Out = TypeVar("Out", bound=Output)
T = TypeVar("T", bound=Ticket)
Q = TypeVar("Q", bound="Question")
Reply = TypeVar("Reply")

Handler = Callable[[Context, In], Out]


@dataclass(frozen=True, slots=True, kw_only=True)
class ThreeSteps(Generic[In, T, Reply, Out]):
    """How an operation that writes to Stripe runs: no call to Stripe sits inside a transaction.

    A crash between the steps is finished by the outbound sweep, with the same ticket and so the same idempotency key.
    """

    ticket: type[T]
    prepare: Callable[[Context, In], T]
    """A transaction: check everything, write the row as pending, return the ticket."""
    call: Callable[[Any, T], Awaitable[Reply]]
    """The request to Stripe, given the account's gateway. Must be repeatable: a second call finds the first one's work."""
    confirm: Callable[[Context, T, Reply], Out]
    """A transaction: make the row live."""
    abandon: Callable[[Context, T], None]
    """A transaction: Stripe said no, or was never reached; leave nothing behind."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FollowUp(Generic[Q, Reply]):
    """What an inquiry asks Stripe once more, where only the first reply beside the store shows what is lacking."""

    ask: Callable[[Context, Reply], Q | None]
    """A transaction that only reads: say what to look up, or that nothing is lacking."""
    call: Callable[[Any, Q, Reply], Awaitable[Reply]]
    """The requests to Stripe; the whole reply. They must only read, and leave the first reply as it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Inquiry(Generic[In, Q, Reply, Out]):
    """How an operation runs whose answer needs a reading of Stripe: nothing is written there, nothing is left pending.

    Between asking and answering no transaction is open, so the questions are put together a second time when the answer
    is written: what `ask` checked holds then, or the caller is told that it changed.
    """

    ask: Callable[[Context, In], Q]
    """A transaction that only reads: check everything, say what to look up."""
    call: Callable[[Any, Q], Awaitable[Reply]]
    """The requests to Stripe, given the account's gateway. They must only read."""
    answer: Callable[[Context, In, Reply], Out]
    """A transaction, right after `ask` has run in it again: of a write, the one that writes."""
    follow_up: FollowUp[Any, Reply] | None = None


@dataclass(frozen=True, slots=True)
class Route:
    """Where an operation lives over HTTP. Path parameters are named as the input's fields are on the wire."""

    method: str
    path: str
    aliases: tuple[str, ...] = ()
    """Further paths of the same route, kept for callers of the documented API."""
    status: int = 200
    """204 sends no body."""

    @property
    def has_body(self) -> bool:
        """Whether arguments that are not in the path come in the body; else they come in the query."""
        return self.method in ("POST", "PATCH", "PUT")


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation(Generic[In, Out]):
    """One capability. `audit` names the audit action of a write; None marks a read."""

    name: str
    title: str
    summary: str
    """One sentence: what it does."""
    usage: str
    """When to use it, and when to use which sibling instead."""
    toolset: str
    input: type[In]
    output: type[Out]
    handler: Handler[In, Out] | None = None
    """What a read or a write within our own store does; or else:"""
    steps: ThreeSteps[In, Any, Any, Out] | None = None
    """What a write that reaches Stripe does; or else:"""
    inquiry: Inquiry[In, Any, Any, Out] | None = None
    """What a read, or a write within our own store, does that must look something up in Stripe."""
    route: Route | None
    """None for the server's own operations, which no tool and no route exposes."""
    scope: Scope
    role: Role = Role.Viewer
    gate: Gate = field(default_factory=Gate)
    audit: str | None = None
    asks_nothing: bool = False
    """True for a brief read that answers from its caller and the caller's organization alone: it can ask nothing."""
    brief: bool = False
    """True for a read of a few look-ups by key in columns, each of which may see its own moment. It needs no transaction,
    which on PostgreSQL takes two round trips; on SQLite it is over sooner than a worker thread could begin with it."""
    destructive: bool = False
    """True when what it takes away cannot be brought back by another operation."""
    idempotent: bool = False
    """True for a write whose repetition changes nothing more."""
    stream: bool = False
    """True for the server's own append of what many strangers do, such as clicks: its rows are their own record, with
    the time and all that is known, and a line for each would bury what people did. Only its refusals are audited."""

    def __post_init__(self) -> None:
        assert self.reads or not self.brief, f"{self.name}: a write is one transaction"
        assert self.reads == (self.scope is Scope.READ), f"{self.name}: a read needs the read scope, a write does not"
        shapes = [shape for shape in (self.handler, self.steps, self.inquiry) if shape is not None]
        assert len(shapes) == 1, f"{self.name}: a handler, three steps or an inquiry"
        assert self.steps is None or not self.reads, f"{self.name}: three steps are for writes"
        assert self.brief or not self.asks_nothing, f"{self.name}: what asks nothing is brief"
        assert self.name.isidentifier(), self.name
        assert not (self.stream and self.exposed), f"{self.name}: what people do is audited"
        assert self.route is None or self.route.path.startswith("/"), self.name

    @property
    def reads(self) -> bool:
        return self.audit is None

    @property
    def exposed(self) -> bool:
        return self.route is not None

    @property
    def calls_stripe(self) -> bool:
        """Whether it fails when Stripe does."""
        return self.handler is None


AnyOperation = Operation[Any, Any]


ALL = "all"
"""Stands for every toolset."""


class Catalogue:
    """Every operation, by name; no two share a name or a route. A part of them may be all that is exposed."""

    def __init__(self, *operations: AnyOperation, unlisted: frozenset[str] = frozenset()) -> None:
        """`unlisted` are toolsets that are listed only when they are asked for: a list of tools costs every talk."""
        self._unlisted = unlisted
        self._toolsets: frozenset[str] | None = None
        self._read_only = False
        self._narrowed: dict[tuple[frozenset[str] | None, bool], Catalogue] = {}
        self._by_name = {operation.name: operation for operation in operations}
        assert len(self._by_name) == len(operations), "two operations share a name"
        routes = [(o.route.method, path) for o in operations if o.route for path in (o.route.path, *o.route.aliases)]
        assert len(set(routes)) == len(routes), "two operations share a route"

    def __iter__(self) -> Iterator[AnyOperation]:
        return iter(self._by_name.values())

    def narrowed(self, toolsets: frozenset[str] | None, read_only: bool) -> Catalogue:
        """The same operations, of which only these toolsets (or `all`), or only the reads, are exposed.

        Asked again it is the same catalogue: what is made of one can be kept with it.

        Raises:
            ValueError: no operation is in a toolset of this name.
        """
        known = sorted({operation.toolset for operation in self if operation.exposed})
        for name in sorted((toolsets or frozenset()) - {*known, ALL}):
            close = get_close_matches(name, known, n=1)
            advice = f"Did you mean {close[0]}?" if close else f"There are {', '.join(known)}."
            raise ValueError(f"there is no toolset {name!r}. {advice}")
        if toolsets is not None and ALL in toolsets:
            toolsets = frozenset(known)
        part = (toolsets, read_only)
        if part not in self._narrowed:
            narrowed = Catalogue(*self, unlisted=self._unlisted)
            narrowed._toolsets, narrowed._read_only = part
            self._narrowed[part] = narrowed
        return self._narrowed[part]

    def exposes(self, operation: AnyOperation) -> bool:
        """Whether tools and routes offer it."""
        wanted = self._toolsets is None or operation.toolset in self._toolsets
        return operation.exposed and wanted and (operation.reads or not self._read_only)

    def exposed(self) -> Iterator[AnyOperation]:
        """The operations that tools and routes offer."""
        return filter(self.exposes, self)

    def listed(self) -> Iterator[AnyOperation]:
        """Those that are listed as tools. The others can be called all the same by whoever knows them."""
        if self._toolsets is not None:
            return self.exposed()
        return (operation for operation in self.exposed() if operation.toolset not in self._unlisted)

    def get(self, name: str) -> AnyOperation | None:
        return self._by_name.get(name)
