"""What the doors for visitors share: how often an address may knock, what a request tells of a visit, and recording it."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from ipaddress import IPv6Address, ip_address
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from anyio import to_thread
from starlette.requests import Request

import rekomi_mcp.storage as storage
from rekomi_mcp.domain.access import System
from rekomi_mcp.domain.visits import BOT, LABELS, country_of, device_of, label_of
from rekomi_mcp.operation import Input
from rekomi_mcp.pipeline import Call, Pipeline
from rekomi_mcp.pipeline.rate_limit import Windows
from rekomi_mcp.settings import Settings
from rekomi_mcp.storage.ids import new_id
from rekomi_mcp.tools.clicks import RECORD_CLICKS, RecordClicksInput, RecordClicksOutput, Recorded, Visit
from rekomi_mcp.tools.links import REDIRECTS
from rekomi_mcp.transports.visit_book import VisitBook

if TYPE_CHECKING:
    from rekomi_mcp.operation import AnyOperation
    from rekomi_mcp.storage.engine import Store
    from rekomi_mcp.storage.links import Target

FLOOD = 10
"""How many times as often as visits count an address may knock before it is sent away unanswered."""
MOST_ADDRESSES = 100_000


class AddressLimit:
    """How often one address knocks in a minute. Addresses are kept as keyed digests, for that minute only."""

    def __init__(self, per_minute: int) -> None:
        self._per_minute = per_minute
        self._windows = Windows(most_keys=MOST_ADDRESSES)
        self._key = secrets.token_bytes(16)

    def knock(self, request: Request) -> tuple[bool, bool]:
        """Whether this request counts, and whether it is even looked at."""
        host = request.client.host if request.client else ""
        calls, _ = self._windows.count(hashlib.blake2b(_network(host), key=self._key, digest_size=12).hexdigest())
        return calls <= self._per_minute, calls <= FLOOD * self._per_minute


def _network(host: str) -> bytes:
    """What one visitor has: an IPv4 address, or the 2^64 addresses of an IPv6 network."""
    try:
        address = ip_address(host)
    except ValueError:
        return b""
    return address.packed[:8] if isinstance(address, IPv6Address) else address.packed


class Reception:
    """Receives visitors for the doors: resolves slugs, records visits, runs the server's own operations."""

    def __init__(
        self,
        open_store: Callable[[], Store],
        pipeline: Pipeline,
        clock: Callable[[], datetime],
        settings: Settings,
    ) -> None:
        self._open_store = open_store
        self._pipeline = pipeline
        self._clock = clock
        self._country_header = settings.country_header
        address = urlsplit(settings.address)
        self.is_secure = address.scheme == "https"
        self.redirects = f"{address.path}{REDIRECTS}"
        """The path under which browsers find the links, where the public address has a path of its own."""
        self.visits = AddressLimit(settings.visits_per_minute)
        self.signups = AddressLimit(settings.visits_per_minute)
        self.book = VisitBook(self._record)

    async def targets(self, slugs: Sequence[str], program_id: str | None = None) -> dict[str, Target]:
        """Where slugs lead."""

        def find() -> dict[str, Target]:
            with self._open_store().reading() as session:
                return storage.links.targets(session, slugs, of_program=program_id)

        return await to_thread.run_sync(find)

    async def own_params(self, program_id: str) -> str | None:
        """The attribution parameters of the organization that a program belongs to."""

        def find() -> str | None:
            with self._open_store().reading() as session:
                return storage.organizations.attribution_params_of_program(session, program_id)

        return await to_thread.run_sync(find)

    def visit(
        self,
        request: Request,
        target: Target,
        *,
        visitor_id: str | None,
        labels: Mapping[str, str | None],
        referrer_host: str | None,
        claimed_id: str | None = None,
    ) -> Visit:
        country = request.headers.get(self._country_header, "") if self._country_header else ""
        return Visit(
            id=new_id(),
            program_id=target.program_id,
            affiliate_id=target.affiliate_id,
            link_id=target.link_id,
            visitor_id=visitor_id or secrets.token_urlsafe(16),
            device=device_of(request.headers.get("user-agent", "")),
            occurred_at=self._clock(),
            claimed_id=claimed_id,
            referrer_host=referrer_host,
            country=country_of(country),
            **labels,
        )

    async def run(self, operation: AnyOperation, organization_id: str, request: Input) -> Mapping[str, object]:
        """Run one of the server's own operations. No origin is given: a visitor's address is written nowhere."""
        call = Call(operation=operation, credential=System(organization_id), arguments=request)
        return (await self._pipeline.execute(call)).body

    async def _record(self, organization_id: str, visits: Sequence[Visit]) -> Sequence[Recorded]:
        request = RecordClicksInput.model_construct(visits=tuple(visits))
        body = await self.run(RECORD_CLICKS, organization_id, request)
        return RecordClicksOutput.model_validate(body).clicks


def labels_of(given: Mapping[str, object]) -> dict[str, str | None]:
    """The labels among what a query or a body says, cleaned."""
    return {name: label_of(text) if isinstance(text := given.get(name), str) else None for name in LABELS}


def is_fetched_ahead(request: Request) -> bool:
    """Whether a browser only prepares for a visit that may never be made."""
    purposes = (request.headers.get(name, "") for name in ("sec-purpose", "purpose", "x-moz"))
    return any(purpose.lower().startswith("prefetch") for purpose in purposes)


def is_bot(visit: Visit) -> bool:
    return visit.device == BOT
