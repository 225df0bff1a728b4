"""A store with many sales, written by the database itself from a row of numbers: a million take a minute or two.

Every sale is a renewal of one of `sales / 10` subscriptions, is credited to one of the affiliates in turn, and earned
20 %; every tenth was refunded by half. They are one a minute, the last one now, so that the newest are on hold.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import text

from rekomi_mcp.app import App
from rekomi_mcp.domain.access import BearerToken, Operator, System, TokenKind
from rekomi_mcp.settings import Settings
from rekomi_mcp.storage.engine import Store
from tests.support.world import operate

NO_LIMIT = 10**9


@dataclass(frozen=True, slots=True)
class Brand:
    organization: str
    program: str
    affiliate: str
    """The first of them; the others follow by number."""
    token: str
    affiliates: int
    sales: int

    @property
    def credential(self) -> BearerToken:
        return BearerToken(self.token, TokenKind.MCP)

    def promotion_code(self, number: int) -> str:
        return f"promo_{number % self.affiliates}"


class _Dialect:
    """How the two databases say the same."""

    def __init__(self, sqlite: bool, now: datetime) -> None:
        self._sqlite, self._epoch = sqlite, int(now.timestamp())

    def numbers(self, count: int) -> str:
        if not self._sqlite:
            return f"(SELECT g AS n FROM generate_series(0, {count - 1}) AS g)"
        walk = f"WITH RECURSIVE s(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM s WHERE n < {count - 1}) SELECT n FROM s"
        return f"({walk})"

    def id(self, kind: int, number: str) -> str:
        """A time-ordered id like ours: the kind of row, then its number."""
        if self._sqlite:
            return f"printf('0000000{kind}-0000-7000-8000-%012x', {number})"
        return f"('0000000{kind}-0000-7000-8000-' || lpad(to_hex({number}), 12, '0'))"

    def at(self, minutes: str) -> str:
        """So many minutes from now."""
        seconds = f"{self._epoch} + 60 * ({minutes})"
        if self._sqlite:
            return f"strftime('%Y-%m-%d %H:%M:%S', {seconds}, 'unixepoch') || '.000000'"
        return f"to_timestamp({seconds})"

    def json(self, expression: str) -> str:
        return expression if self._sqlite else f"CAST({expression} AS JSON)"


AFFILIATE, CODE, SALE, CONVERSION, ACCRUAL, REVERSAL = range(1, 7)
HOLD_MINUTES = 30 * 24 * 60
TERMS = {
    "rate": {"type": "Percentage", "value": 2000, "currency": None},
    "source": "program",
    "version": 1,
    "recurring_months": None,
    "recurring_delay_invoices": 0,
    "invoice_index": 0,
    "hold_days": 30,
}


async def build(settings: Settings, sales: int, affiliates: int) -> Brand:
    """Fill the empty store that the settings name."""
    app = App(settings)
    async with app.running():
        organization = (await operate(app, "create_organization", {"name": "Acme"}, Operator()))["id"]
        token = (await operate(app, "create_token", {"organization": "acme", "kind": "MCP", "name": "bench"}))["token"]
        system = System(organization)
        terms = {"name": "Creators", "defaultCommissionType": "Percentage", "defaultCommissionValue": 20}
        program = (await operate(app, "create_program", terms, system))["id"]
        first = await operate(app, "create_affiliate", {"email": "a@example.com", "fullName": "A"}, system)
        coupon = (await operate(app, "create_campaign_coupon", {"name": "20 off", "discountValue": 20}, system))["id"]
        _fill(app.open_store(), Brand(organization, program, first["id"], token, affiliates, sales), coupon)
    return Brand(organization, program, first["id"], token, affiliates, sales)


def _fill(store: Store, brand: Brand, coupon: str) -> None:
    sql = _Dialect(store.is_sqlite, datetime.now(UTC))
    with store.writing() as session:
        connection = session.connection()
        for table, count, row in _rows(sql, brand, coupon):
            columns, values = ", ".join(row), ", ".join(row.values())
            connection.execute(text(f"INSERT INTO {table} ({columns}) SELECT {values} FROM {sql.numbers(count)} AS s"))
    with store.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("ANALYZE"))


def _rows(sql: _Dialect, brand: Brand, coupon: str) -> list[tuple[str, int, dict[str, str]]]:
    """Each table, how many rows it gets, and what each column is, by the row's number `n`."""
    owner = {"organization_id": f"'{brand.organization}'"}
    offset = f"n - {brand.sales - 1}"
    seller = sql.id(AFFILIATE, f"n % {brand.affiliates}")
    sold_at, free_at = sql.at(offset), sql.at(f"{offset} + {HOLD_MINUTES}")
    people: dict[str, Any] = {
        "id": sql.id(AFFILIATE, "n"),
        **owner,
        "program_id": f"'{brand.program}'",
        "email": "'affiliate-' || n || '@example.com'",
        "email_key": "'affiliate-' || n || '@example.com'",
        "full_name": "'Affiliate ' || n",
        "search_key": "'affiliate ' || n",
        "status": "'Approved'",
        "tags": "'[]'",
        "source": "'Direct'",
        "applied_at": sql.at("-n"),
        "created_at": sql.at("-n"),
    }
    codes: dict[str, Any] = {
        "id": sql.id(CODE, "n"),
        **owner,
        "affiliate_id": sql.id(AFFILIATE, "n"),
        "program_id": f"'{brand.program}'",
        "campaign_coupon_id": f"'{coupon}'",
        "code": "'CODE' || n",
        "status": "'Active'",
        "first_order_only": "FALSE",
        "stripe_promotion_code_id": "'promo_' || n",
        "created_at": sql.at("-n"),
    }
    return [
        ("affiliate", brand.affiliates, people),
        ("affiliate_code", brand.affiliates, codes),
        ("sale", brand.sales, _sale(sql, owner, brand, seller, sold_at)),
        ("sale_payment", brand.sales, _payment(owner)),
        ("binding", brand.sales // 10, _binding(sql, owner, brand)),
        ("conversion", brand.sales, _conversion(sql, owner, brand, seller, sold_at, free_at)),
        ("ledger_entry", brand.sales, _entry(sql, owner, brand, "n", _accrual(sql))),
        ("ledger_entry", brand.sales // 10, _entry(sql, owner, brand, "n * 10", _reversal(sql))),
    ]


def _sale(sql: _Dialect, owner: dict[str, str], brand: Brand, seller: str, sold_at: str) -> dict[str, str]:
    code = f"n % {brand.affiliates}"
    claim = {
        "affiliateId": f"' || {seller} || '",
        "programId": brand.program,
        "evidence": "code",
        "reference": f"promo_' || ({code}) || '",
        "codeId": f"' || {sql.id(CODE, code)} || '",
        "since": None,
        "won": True,
        "reason": "code",
    }
    codes = [f"promo_' || ({code}) || '"]
    decision = {"reason": "code", "promotionCodeIds": codes, "candidates": [claim], "terms": TERMS}
    email = "'customer-' || (n / 10) || '@example.com'"
    return {
        "id": sql.id(SALE, "n"),
        **owner,
        "source": "'invoice'",
        "source_id": "'in_' || n",
        "event_id": "'evt_' || n",
        "currency": "'USD'",
        "net_minor": "4000",
        "gross_minor": "4400",
        "customer_id": "'cus_' || (n / 10)",
        "subscription_id": "'sub_' || (n / 10)",
        "outcome": "'credited'",
        "decision": sql.json(f"'{json.dumps(decision)}'"),
        "customer_email": email,
        "email_key": email,
        "occurred_at": sold_at,
        "recorded_at": sold_at,
    }


def _payment(owner: dict[str, str]) -> dict[str, str]:
    return {**owner, "payment_id": "'pi_' || n", "source": "'invoice'", "source_id": "'in_' || n"}


def _binding(sql: _Dialect, owner: dict[str, str], brand: Brand) -> dict[str, str]:
    seller = f"n % {brand.affiliates}"
    return {
        **owner,
        "kind": "'subscription'",
        "ref": "'sub_' || n",
        "affiliate_id": sql.id(AFFILIATE, seller),
        "program_id": f"'{brand.program}'",
        "code_id": sql.id(CODE, seller),
        "event_id": "'evt_' || (n * 10)",
        "bound_at": sql.at(f"n * 10 - {brand.sales - 1}"),
    }


def _conversion(
    sql: _Dialect, owner: dict[str, str], brand: Brand, seller: str, sold_at: str, free_at: str
) -> dict[str, str]:
    return {
        "id": sql.id(CONVERSION, "n"),
        **owner,
        "sale_id": sql.id(SALE, "n"),
        "program_id": f"'{brand.program}'",
        "affiliate_id": seller,
        "code_id": sql.id(CODE, f"n % {brand.affiliates}"),
        "code": f"'CODE' || (n % {brand.affiliates})",
        "method": "'coupon'",
        "type": "'Recurring'",
        "amount_minor": "4000",
        "currency": "'USD'",
        "commission_minor": "800",
        "commission_currency": "'USD'",
        "remaining_minor": "CASE WHEN n % 10 = 0 THEN 400 ELSE 800 END",
        "rate_type": "'Percentage'",
        "rate_value": "2000",
        "rate_source": "'program'",
        "terms_version": "1",
        "state": "'Open'",
        "occurred_at": sold_at,
        "held_until": free_at,
    }


def _entry(sql: _Dialect, owner: dict[str, str], brand: Brand, sale: str, what: dict[str, str]) -> dict[str, str]:
    """A ledger entry of the sale with this number; `what` is what an accrual and a reversal differ in."""
    offset = f"{sale} - {brand.sales - 1}"
    return {
        **owner,
        "affiliate_id": sql.id(AFFILIATE, f"({sale}) % {brand.affiliates}"),
        "conversion_id": sql.id(CONVERSION, sale),
        "currency": "'USD'",
        "available_at": sql.at(f"{offset} + {HOLD_MINUTES}"),
        "sold_at": sql.at(offset),
        "occurred_at": sql.at(offset),
        "recorded_at": sql.at(offset),
        **what,
    }


def _accrual(sql: _Dialect) -> dict[str, str]:
    return {
        "id": sql.id(ACCRUAL, "n"),
        "kind": "'accrual'",
        "amount_minor": "800",
        "cause": "'sale'",
        "cause_id": "'in_' || n",
        "cause_state": "'paid'",
        "cause_amount_minor": "4000",
    }


def _reversal(sql: _Dialect) -> dict[str, str]:
    return {
        "id": sql.id(REVERSAL, "n"),
        "kind": "'reversal'",
        "amount_minor": "-400",
        "cause": "'refund'",
        "cause_id": "'re_' || n",
        "cause_state": "'succeeded'",
        "cause_amount_minor": "2200",
    }
