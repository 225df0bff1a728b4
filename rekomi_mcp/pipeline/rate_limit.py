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


class Windows:
    """Counts by key in fixed windows. All keys share the window's bounds: what was counted is forgotten at once."""

    def __init__(self, clock: Callable[[], float] = time.monotonic, most_keys: int | None = None) -> None:
        """`most_keys` bounds the memory that strangers can take; beyond it all keys not seen yet are one."""
        self._clock = clock
        self._most_keys = most_keys
        self._window = 0
        self._calls: dict[str, int] = {}
        self._lock = Lock()

    def count(self, key: str) -> tuple[int, int]:
        """This key's calls in this window, with this one, and the seconds until the next window."""
        window, passed = divmod(self._clock(), WINDOW_SECONDS)
        with self._lock:
            if window != self._window:
                self._window, self._calls = int(window), {}
            if key not in self._calls and self._most_keys is not None and len(self._calls) >= self._most_keys:
                key = ""
            calls = self._calls[key] = self._calls.get(key, 0) + 1
        return calls, math.ceil(WINDOW_SECONDS - passed)


class RateLimiter:
    """A fixed window a token and process; the local owner and the server itself are not limited."""

    def __init__(self, calls_per_minute: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._calls_per_minute = calls_per_minute
        self._windows = Windows(clock)

    def admit(self, caller: Caller) -> Quota | None:
        """Count one call.

        Raises:
            RateLimited: the window is used up; `retryAfterSeconds` says when the next begins.
        """
        if caller.actor_id is None:
            return None
        calls, wait = self._windows.count(caller.actor_id)
        quota = Quota(self._calls_per_minute, max(0, self._calls_per_minute - calls), wait)
        if calls <= self._calls_per_minute:
            return quota
        refusal = RateLimited(
            f"This token may make {quota.limit} calls a minute. Wait {wait} seconds, then go on.",
            retryAfterSeconds=wait,
        )
        refusal.quota = quota
        raise refusal
