"""What to do about the state of the tracking, in plain words, most urgent first."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from rekomi_mcp.tools.reconciling.health_answer import Health

_DAY = int(timedelta(days=1).total_seconds())
_RETENTION = 30 * _DAY
"""Stripe lists events for this long."""
_SILENT_POLL = 300
"""A reading that is older means that nobody reads, even when each takes its time."""
_LATE = 900
"""An event that waits for longer is stuck: the first attempts follow each other within minutes."""


def next_steps(found: Health, differing: int) -> tuple[list[str], list[str]]:
    """What has to be done, and what is merely good to know; `differing` codes there are, though not all are listed."""
    return list(_problems(found)), list(_hints(found, differing))


def _problems(found: Health) -> Iterator[str]:
    if found.stripe_reachable is None:
        yield "Link a Stripe account with `rekomi-mcp org link-stripe`: without one no sale can arrive."
        return
    if found.stripe_trouble is not None:
        yield f"Stripe could not be asked. {found.stripe_trouble}"
    yield from _on_polling(found)
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


def _hints(found: Health, differing: int) -> Iterator[str]:
    if found.stripe_reachable is None:
        return
    if found.pending_calls > found.failing_calls:
        yield f"{_number(found.pending_calls, 'write')} to Stripe under way: they finish by themselves."
    if not found.webhook_secret_set and found.stripe_mode != "sandbox":
        yield (
            f"Events are polled every {found.poll_seconds:g} seconds. For news at once set up a webhook endpoint and "
            "REKOMI_STRIPE_WEBHOOK_SECRET."
        )
    if differing > len(found.code_differences):
        yield f"{differing} of the codes compared differ; the first {len(found.code_differences)} are listed."
    if found.next_cursor is not None:
        yield (
            f"{_number(found.codes_compared, 'promotion code')} of Stripe compared, and there are more: call "
            "tracking_health again with cursor = nextCursor to compare those before."
        )


def _number(number: int, thing: str) -> str:
    return f"1 {thing}" if number == 1 else f"{number} {thing}s"


def _age(seconds: int | None) -> str:
    seconds = seconds or 0
    for name, length in (("day", _DAY), ("hour", 3600), ("minute", 60)):
        if seconds >= 2 * length:
            return f"{seconds // length} {name}s"
    return f"{seconds} seconds"
