"""How many calls a minute one token may make."""

from __future__ import annotations

import time
from functools import cached_property
from typing import TYPE_CHECKING

from rekomi_mcp.domain.access import Caller
from rekomi_mcp.domain.errors import RateLimited
from rekomi_mcp.domain.quota import Quota

if TYPE_CHECKING:
    from limits import RateLimitItem
    from limits.strategies import FixedWindowRateLimiter


class RateLimiter:
    """A fixed window a token and process; the local owner and the server itself are not limited."""

    def __init__(self, calls_per_minute: int) -> None:
        self._calls_per_minute = calls_per_minute

    def admit(self, caller: Caller) -> Quota | None:
        """Count one call.

        Raises:
            RateLimited: the window is used up; `retryAfterSeconds` says when the next begins.
        """
        if caller.actor_id is None:
            return None
        limiter, window = self._window
        allowed = limiter.hit(window, caller.actor_id)
        stats = limiter.get_window_stats(window, caller.actor_id)
        quota = Quota(self._calls_per_minute, stats.remaining, max(1, round(stats.reset_time - time.time())))
        if allowed:
            return quota
        wait = quota.resets_in_seconds
        refusal = RateLimited(
            f"This token may make {quota.limit} calls a minute. Wait {wait} seconds, then go on.",
            retryAfterSeconds=wait,
        )
        refusal.quota = quota
        raise refusal

    @cached_property
    def _window(self) -> tuple[FixedWindowRateLimiter, RateLimitItem]:
        # Imported at the first limited call: a server that only lists its tools does not need it.
        from limits import RateLimitItemPerMinute
        from limits.storage import MemoryStorage
        from limits.strategies import FixedWindowRateLimiter

        return FixedWindowRateLimiter(MemoryStorage()), RateLimitItemPerMinute(self._calls_per_minute)
