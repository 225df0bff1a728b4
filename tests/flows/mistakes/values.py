"""Mistakes with pages, times and numbers."""

from __future__ import annotations

from datetime import UTC, datetime

from rekomi_mcp.domain.paging import encode_cursor, encode_number
from tests.support.mistakes import code_with, coupon_with, just, mistake, program_with

VALUES = [
    mistake("malformed cursor", "list_affiliates", just(cursor="nonsense"), "cursor", "nextCursor"),
    mistake("cursor with odd characters", "list_programs", just(cursor="%%%"), "cursor", "nextCursor"),
    mistake(
        "cursor of another list",
        "list_affiliates",
        just(cursor=encode_cursor("programs", datetime(2026, 1, 1, tzinfo=UTC), "x")),
        "cursor",
        "nextCursor",
    ),
    mistake(
        "cursor of the audit log", "list_conversions", just(cursor=encode_number("audit_log", 3)), "cursor", "none"
    ),
    mistake("take 0", "list_affiliates", just(take=0), "take", "greater than or equal to 1"),
    mistake("take 201", "list_affiliates", just(take=201), "take", "less than or equal to 200"),
    mistake("take x", "list_affiliates", just(take="x"), "take", "whole number"),
    mistake(
        "conversions since after until",
        "list_conversions",
        just(since="2026-02-01", until="2026-01-01"),
        "since",
        "before until",
    ),
    mistake(
        "audit lines since after until",
        "list_audit_log",
        just(since="2026-02-01", until="2026-01-01"),
        "since",
        "before until",
    ),
    mistake("not a date", "list_conversions", just(since="yesterday"), "since", "date"),
    mistake("not a date of ten characters", "list_conversions", just(since="2026-13-45"), "since", "for example"),
    mistake("digits for a time", "list_conversions", just(since="2026"), "since", "for example"),
    mistake("a number for a time", "list_audit_log", just(until=0.5), "until", "for example"),
    mistake("an hour past all years", "list_conversions", just(until="9999-12-31T23:59-10:00"), "until", "9998"),
    mistake("a day past all years", "run_payout_preview", just(periodEnd="9999-12-31"), "periodEnd", "9998"),
    mistake("a number for a day", "run_payout_preview", just(periodStart=0), "periodStart", "for example"),
    mistake("a time for a day", "run_payout_preview", just(periodStart="2026-01-01T00:00"), "periodStart", "a day"),
    mistake("yes for true", "list_programs", just(includeArchived="yes"), "includeArchived", "true or false"),
    mistake("true for 1", "update_program", program_with(cookieWindowDays=True), "cookieWindowDays", "whole number"),
    mistake(
        "more uses than a number holds",
        "mint_affiliate_code",
        code_with(maxRedemptions=10**30),
        "maxRedemptions",
        "1000000000",
    ),
    mistake(
        "a least order past all amounts",
        "mint_affiliate_code",
        code_with(minimumAmountCents=10**30, minimumAmountCurrency="USD"),
        "minimumAmountCents",
        "99999999",
    ),
    mistake(
        "more uses of a coupon than a number holds",
        "create_campaign_coupon",
        coupon_with(maxRedemptionsPerCode=2**31),
        "maxRedemptionsPerCode",
        "1000000000",
    ),
    mistake("other digits", "list_programs", just(take="1_0"), "take", "whole number"),
    mistake("1 for true", "update_program", program_with(autoApprove=1), "autoApprove", "true or false"),
    mistake(
        "period the wrong way round",
        "run_payout_preview",
        just(periodStart="2026-02-01", periodEnd="2026-01-01"),
        "periodStart",
        "must not be after",
    ),
]
