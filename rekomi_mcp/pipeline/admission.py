"""The gates before the handler, and the making of a handler's context."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, cast

import rekomi_mcp.storage as storage
from rekomi_mcp.domain.access import Caller, Credential, SignedCall, scope_or_role_refusal
from rekomi_mcp.domain.errors import RateLimited, Refusal
from rekomi_mcp.domain.quota import Quota
from rekomi_mcp.operation import AnyOperation, Catalogue, Context, Input, Intake, Site, Vault
from rekomi_mcp.pipeline import trail
from rekomi_mcp.pipeline.arguments import parse_arguments
from rekomi_mcp.pipeline.calls import Call, Origin
from rekomi_mcp.pipeline.rate_limit import RateLimiter
from rekomi_mcp.pipeline.signatures import identify_signed

if TYPE_CHECKING:
    from sqlmodel import Session

    from rekomi_mcp.storage.engine import Reader, Store

Looking = Callable[[], AbstractContextManager["Reader"]]
"""Opens what is asked without a transaction."""


@dataclass(frozen=True, slots=True)
class Deployment:
    """What the pipeline needs of its surroundings."""

    open_store: Callable[[], Store]
    """Answers the store, opened the first time it is asked for."""
    opened_store: Callable[[], Store | None]
    """Answers the store if it is open."""
    catalogue: Catalogue
    stripe: Any
    """The Stripe gateway: `account(id)` answers what a three-step operation calls."""
    clock: Callable[[], datetime]
    mode: str
    """`sandbox`, `test` or `live`."""
    rate_limiter: RateLimiter
    site: Site
    vault: Vault
    intake: Intake


@dataclass(frozen=True, slots=True)
class Admission:
    """An identified caller within its rate limit, at one moment."""

    caller: Caller
    now: datetime
    quota: Quota | None


class Gatekeeper:
    """identify -> rate limit -> scope -> role -> plan -> validate"""

    def __init__(self, deployment: Deployment) -> None:
        self._deployment = deployment

    def looking(self, credential: Credential) -> AbstractContextManager[Reader]:
        """Without a transaction, to find out who is calling: a signature alone takes one."""
        store = self._deployment.open_store()
        return store.reading() if isinstance(credential, SignedCall) else store.glancing()

    def at_once(self, credential: Credential) -> Looking | None:
        """How to look from the event loop; None where that would wait: for PostgreSQL, for the store to be opened, for the
        transaction a signature takes. Where it would wait after all, looking raises BusyError."""
        store = self._deployment.opened_store()
        if store is None or not store.is_sqlite or isinstance(credential, SignedCall):
            return None
        return store.glancing_at_once

    def admit(self, session: Reader, call: Call) -> Admission:
        """identify -> rate limit"""
        now = self._deployment.clock()
        caller = self.identify(session, call.credential, now)
        return Admission(caller, now, self._deployment.rate_limiter.admit(caller))

    def identify(self, session: Reader, credential: Credential, now: datetime) -> Caller:
        if isinstance(credential, SignedCall):
            return identify_signed(cast("Session", session), credential, self._deployment.vault, now)
        return storage.identity.identify(session, credential, now)

    def check(self, admission: Admission, call: Call) -> Input:
        """scope -> role -> plan -> validate"""
        operation, caller = call.operation, admission.caller
        refusal = scope_or_role_refusal(caller, operation.scope, operation.role)
        refusal = refusal or operation.gate.refusal(caller.standing, admission.now) or call.malformed
        if refusal is not None:
            raise refusal
        return parse_arguments(operation, call.arguments, call.also_takes)

    def context(self, session: Reader, admission: Admission) -> Context:
        deployment = self._deployment
        return Context(
            # Of a brief operation a glance: see `Context`.
            cast("Session", session),
            admission.caller,
            admission.now,
            deployment.mode,
            deployment.catalogue,
            deployment.site,
            deployment.vault,
            deployment.intake,
        )

    @contextmanager
    def writing(self, admission: Admission) -> Generator[Context]:
        """A writing transaction, one at a time an organization: what a handler has read stays true until it commits."""
        with self._deployment.open_store().writing() as session:
            if admission.caller.organization_id:
                storage.audit.lock_chain(session, admission.caller.organization_id)
            yield self.context(session, admission)

    def audit_refusal(self, admission: Admission, operation: AnyOperation, origin: Origin, refusal: Refusal) -> None:
        """Write the one line a refused write leaves."""
        refusal.quota = admission.quota
        if isinstance(refusal, RateLimited):
            return
        with self.writing(admission) as context:
            trail.write_refusal(context, operation, trail.actor_of(admission.caller, origin), refusal)
