"""How many calls a minute one token may make."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from threading import Lock

from rekomi_mcp.domain.access import Caller
from rekomi_mcp.domain.errors import RateLimited
from rekomi_mcp.domain.quota import Quota

WINDOW_SECONDS = 60


class RateLimiter:
    """A fixed window a token and process; the local owner and the server itself are not limited.

    All tokens share the window's bounds, so what is counted is forgotten at once when the next begins.
    """

    def __init__(self, calls_per_minute: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._calls_per_minute = calls_per_minute
        self._clock = clock
        self._window = 0
        self._calls: dict[str, int] = {}
        self._lock = Lock()

    def admit(self, caller: Caller) -> Quota | None:
        """Count one call.

        Raises:
            RateLimited: the window is used up; `retryAfterSeconds` says when the next begins.
        """
        if caller.actor_id is None:
            return None
        calls, wait = self._count(caller.actor_id)
        quota = Quota(self._calls_per_minute, max(0, self._calls_per_minute - calls), wait)
        if calls <= self._calls_per_minute:
            return quota
        refusal = RateLimited(
            f"This token may make {quota.limit} calls a minute. Wait {wait} seconds, then go on.",
            retryAfterSeconds=wait,
        )
        refusal.quota = quota
        raise refusal

    def _count(self, token_id: str) -> tuple[int, int]:
        """This token's calls in this window, and the seconds until the next."""
        window, passed = divmod(self._clock(), WINDOW_SECONDS)
        with self._lock:
            if window != self._window:
                self._window, self._calls = int(window), {}
            calls = self._calls[token_id] = self._calls.get(token_id, 0) + 1
        return calls, math.ceil(WINDOW_SECONDS - passed)
