"""What time alone brings about: periods that end and sessions that expire, billed in the order they fall due."""

from collections.abc import Callable

from rekomi_mcp.sandbox.billing import renew
from rekomi_mcp.sandbox.checkout import expire
from rekomi_mcp.sandbox.shapes import JsonObject
from rekomi_mcp.sandbox.state import State
from rekomi_mcp.sandbox.work import Work

_BATCH = 50
"""How many objects one transaction deals with, so that other processes are never locked out for long."""

_HANDLERS: dict[str, Callable[[Work, JsonObject], None]] = {"subscription": renew, "checkout.session": expire}


def advance(state: State, moment: int) -> None:
    """Turn the sandbox's clock forward to `moment`, dealing with everything that falls due before."""
    while _advance_a_batch(state, moment):
        pass


def something_is_due(state: State) -> bool:
    with state.read() as work:
        query = "SELECT 1 FROM objects WHERE due <= ? LIMIT 1"
        return work.db.execute(query, (work.clock,)).fetchone() is not None


def catch_up(state: State) -> None:
    """Deal with what has fallen due by itself, while nothing ran."""
    with state.read() as work:
        now = work.clock
    advance(state, now)


def _advance_a_batch(state: State, moment: int) -> bool:
    """One transaction. Returns whether more is to be done."""
    with state.write() as work:
        for _ in range(_BATCH):
            query = "SELECT account, type, id, due FROM objects WHERE due <= ? ORDER BY due, seq LIMIT 1"
            row: tuple[str, str, str, int] | None = work.db.execute(query, (moment,)).fetchone()
            if row is None:
                work.turn_clock(moment)
                return False
            account, type, id, due = row
            work.turn_clock(due)
            then = work.acting_for(account, due)
            _HANDLERS[type](then, then.get(type, id, "id"))
        return True
