"""Events that the server gave up on, put back to waiting."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, Field

import rekomi_mcp.storage as storage
from rekomi_mcp.domain.access import Role, Scope
from rekomi_mcp.domain.errors import NotFound
from rekomi_mcp.operation import Context, Input, Operation, Output, Route
from rekomi_mcp.tools import lookups
from rekomi_mcp.tools.fields import StripeId

_MOST_NAMED = 100


class ReplayInput(Input):
    event_ids: Annotated[list[StripeId], Field(min_length=1, max_length=_MOST_NAMED)] | None = Field(
        default=None, description="evt_… of failedEvents in tracking_health; all failed ones when left out."
    )


class Replay(Output):
    replayed: int
    event_ids: list[str] = Field(description="The first hundred of them.")
    summary: str


class ReplayNote(BaseModel):
    """What the audit log keeps of it."""

    replayed: int
    eventIds: list[str]


def _replay(context: Context, request: ReplayInput) -> Replay:
    wanted = sorted(set(request.event_ids)) if request.event_ids is not None else None
    found = storage.inbox.replay_failed(context.session, lookups.stripe_account(context), wanted, context.now)
    if wanted is not None and len(found) < len(wanted):
        raise NotFound(
            "Not all of these are failed events, and nothing was changed. Find them with tracking_health.",
            field="eventIds",
        )
    shown = found[:_MOST_NAMED]
    if found:
        context.changed("event", None, after=ReplayNote(replayed=len(found), eventIds=shown))
    return Replay(
        replayed=len(found),
        event_ids=shown,
        summary="They wait again, and the server works them off by itself. Look at tracking_health in a minute."
        if found
        else "No event has failed.",
    )


REPLAY_FAILED_EVENTS = Operation(
    name="replay_failed_events",
    title="Replay failed events",
    summary="Let the server try Stripe events again that it gave up on; an event counts once, however often it is tried.",
    usage="Use it when tracking_health lists failedEvents and their cause is mended. For sales whose events never arrived "
    "use repair_missed_sales.",
    toolset="tracking",
    input=ReplayInput,
    output=Replay,
    handler=_replay,
    route=Route("POST", "/api/v1/tracking/replays"),
    scope=Scope.READ_WRITE,
    role=Role.Manager,
    audit="events.replayed",
    idempotent=True,
)
