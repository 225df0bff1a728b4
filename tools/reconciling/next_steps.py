"""What to do about the state of the tracking, in plain words, most urgent first."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from rekomi_mcp.tools.reconciling.health_answer import Health

if TYPE_CHECKING:
    from rekomi_mcp.storage.inbox import Span

_DAY = int(timedelta(days=1).total_seconds())
_RETENTION = 30 * _DAY
"""Stripe lists events for this long."""
_SILENT_POLL = 300
"""A reading that is older means that nobody reads, even when each takes its time."""
_LATE = 900
"""An event that waits for longer is stuck: the first attempts follow each other within minutes."""


@dataclass(frozen=True, slots=True)
class Beside:
    """What the steps depend on beside what is answered."""

    differing: int
    """So many codes differ, though not all are listed."""
    lost: Span | None
    """The time whose events were never read, until it has been compared."""
    servers_tell: bool
    """Whether sales have come from the seller's own server. Asked for only without a Stripe account."""


def next_steps(found: Health, beside: Beside) -> tuple[list[str], list[str]]:
    """What has to be done, and what is merely good to know."""
    return list(_problems(found, beside)), list(_hints(found, beside))


def _problems(found: Health, beside: Beside) -> Iterator[str]:
    if found.stripe_reachable is None:
        if not beside.servers_tell:
            yield (
                "No sale can arrive from Stripe, and none was told by your server: link a Stripe account with "
                "`rekomi-mcp org link-stripe`, or tell sales from your server with record_sale, a signed call or a postback."
            )
        return
    if found.stripe_trouble is not None:
        yield f"Stripe could not be asked. {found.stripe_trouble}"
    yield from _on_polling(found)
    if beside.lost is not None:
        yield (
            f"Stripe's events from {_moment(beside.lost.since)} until {_moment(beside.lost.until)} were never read: the server "
            "was away, and Stripe keeps events for 30 days. Run find_missed_sales with this since and until (in pieces "
            "of 92 days), then repair_missed_sales with the same, also when nothing was found: that ends this notice."
        )
    if found.failed_events_total:
        yield (
            f"{_number(found.failed_events_total, 'event')} failed for good: mend the cause that failedEvents names, then "
            "run replay_failed_events."
        )
    if (found.oldest_waiting_seconds or 0) > _LATE:
        yield (
            f"{_number(found.waiting_events, 'event')} not worked off, the oldest for {_age(found.oldest_waiting_seconds)}: "
            "check that the server runs, and its log."
        )
    for coupon in found.deleted_coupons:
        yield (
            f"The coupon of campaign coupon {coupon.coupon_id} is deleted in Stripe, so its codes take nothing off: archive "
            "it with archive_campaign_coupon and make a new one."
        )
    for code in found.code_differences:
        yield _on_code(code.code, code.code_id, code.here)
    if found.failing_calls:
        yield f"{_number(found.failing_calls, 'write')} to Stripe failed and will be tried again: see lastCallError."
    yield from _on_webhooks(found)


def _on_polling(found: Health) -> Iterator[str]:
    if found.read_seconds_ago is None:
        yield "Stripe's events were never read: start the server with `rekomi-mcp serve`."
    elif found.read_seconds_ago > _RETENTION:
        yield (
            f"Stripe's events were last read {_age(found.read_seconds_ago)} ago, and Stripe keeps them for 30 days: start "
            "the server, then run find_missed_sales."
        )
    elif found.read_seconds_ago > max(_SILENT_POLL, 5 * found.poll_seconds):
        yield (
            f"Stripe's events were last read {_age(found.read_seconds_ago)} ago: check that the server runs. It catches up "
            "by itself within 30 days."
        )


def _on_webhooks(found: Health) -> Iterator[str]:
    """A secret is set and yet the polling has to bring what the webhook should."""
    ages = {each.source: each.seconds_ago for each in found.sources}
    if found.webhook_secret_set and "poll" in ages and ages.get("webhook", _RETENTION) > ages["poll"] + _DAY:
        yield (
            "An endpoint secret is set, but events arrive by polling only: check the endpoint's address and its secret in "
            "Stripe."
        )


def _on_code(code: str, code_id: str, here: str) -> str:
    if here == "Active":
        return (
            f"The code {code} is Active here and switched off in Stripe: switch it on there, or end it with "
            f"deactivate_affiliate_code ({code_id})."
        )
    return (
        f"The code {code} is Inactive here and active in Stripe, where customers can still use it: switch it off there "
        f"({code_id})."
    )


def _hints(found: Health, beside: Beside) -> Iterator[str]:
    if found.stripe_reachable is None:
        if beside.servers_tell:
            yield (
                "No Stripe account is linked: only sales told by your server arrive. For Stripe's own link an account with "
                "`rekomi-mcp org link-stripe`."
            )
        return
    if found.pending_calls > found.failing_calls:
        yield f"{_number(found.pending_calls, 'write')} to Stripe under way: they finish by themselves."
    if not found.webhook_secret_set and found.stripe_mode != "sandbox":
        yield (
            f"Events are polled every {found.poll_seconds:g} seconds. For news at once set up a webhook endpoint and "
            "REKOMI_STRIPE_WEBHOOK_SECRET."
        )
    if beside.differing > len(found.code_differences):
        yield f"{beside.differing} of the codes compared differ; the first {len(found.code_differences)} are listed."
    if found.next_cursor is not None:
        yield (
            f"{_number(found.codes_compared, 'promotion code')} of Stripe compared, and there are more: call "
            "tracking_health again with cursor = nextCursor to compare those before."
        )


def _number(number: int, thing: str) -> str:
    return f"1 {thing}" if number == 1 else f"{number} {thing}s"


def _moment(at: datetime) -> str:
    return f"{at:%Y-%m-%dT%H:%M:%SZ}"


def _age(seconds: int | None) -> str:
    seconds = seconds or 0
    for name, length in (("day", _DAY), ("hour", 3600), ("minute", 60)):
        if seconds >= 2 * length:
            return f"{seconds // length} {name}s"
    return f"{seconds} seconds"
