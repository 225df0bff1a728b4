"""The rate limit: so many calls a minute a token, each minute anew."""

from __future__ import annotations

import pytest

from rekomi_mcp.domain.access import ActorType, Caller, Plan, Role, Scope, Standing, SubscriptionStatus
from rekomi_mcp.domain.errors import RateLimited
from rekomi_mcp.domain.quota import Quota
from rekomi_mcp.pipeline.rate_limit import RateLimiter


def caller(token: str | None) -> Caller:
    standing = Standing(Plan.Growth, SubscriptionStatus.Active)
    return Caller(ActorType.MCP, token, "organization", Scope.READ, Role.Viewer, standing)


class Clock:
    seconds = 30.5

    def __call__(self) -> float:
        return self.seconds


def test_a_token_may_make_its_calls_and_no_more_until_the_next_minute() -> None:
    clock = Clock()
    limiter = RateLimiter(2, clock)
    assert [limiter.admit(caller("a")), limiter.admit(caller("a"))] == [Quota(2, 1, 30), Quota(2, 0, 30)]
    with pytest.raises(RateLimited) as refused:
        limiter.admit(caller("a"))
    assert refused.value.details == {"retryAfterSeconds": 30}
    assert refused.value.quota == Quota(2, 0, 30)

    clock.seconds = 59.9
    with pytest.raises(RateLimited):
        limiter.admit(caller("a"))
    clock.seconds = 60.0
    assert limiter.admit(caller("a")) == Quota(2, 1, 60)


def test_tokens_are_counted_each_on_their_own() -> None:
    limiter = RateLimiter(1, Clock())
    assert limiter.admit(caller("a")) == limiter.admit(caller("b")) == Quota(1, 0, 30)


def test_the_local_owner_is_not_limited() -> None:
    limiter = RateLimiter(1, Clock())
    assert [limiter.admit(caller(None)) for _ in range(5)] == [None] * 5
