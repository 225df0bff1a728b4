"""Balances: the database's sums are those of a plain walk over the entries."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import pytest
from sqlmodel import delete

from rekomi_mcp.domain.payout import Balance
from rekomi_mcp.storage.engine import Store
from rekomi_mcp.storage.ledger import BalanceFilter, balances, next_releases
from rekomi_mcp.storage.tables import LedgerEntryRow
from tests.storage.support import add_conversion, at
from tests.support.world import Brand, World

NOW = at(100)
CURRENCIES = ("EUR", "JPY", "USD")
SEEDS = range(12)


@dataclass(frozen=True, slots=True)
class Entry:
    """What the reference needs of an entry; times are minutes."""

    sale: int
    affiliate: str
    currency: str
    amount: int
    kind: str
    available: int
    sold: int


def generated(seed: int, brand: Brand) -> list[Entry]:
    """Accruals, each followed by none or some reversals and restorations with the accrual's own times."""
    dice = random.Random(seed)
    entries: list[Entry] = []
    for sale in range(dice.randint(0, 25)):
        affiliate, currency = dice.choice([brand.affiliate, brand.applicant]), dice.choice(CURRENCIES)
        sold = dice.choice([10, 20, 30, 40])
        available = dice.choice([90, 99, 100, 101, 120])
        amount = dice.randint(1, 10**12)
        entries.append(Entry(sale, affiliate, currency, amount, "accrual", available, sold))
        for kind in ("reversal", "restoration")[: dice.choice([0, 0, 1, 2])]:
            part = dice.choice([amount, dice.randint(1, 2 * amount)])
            entries.append(
                Entry(sale, affiliate, currency, -part if kind == "reversal" else part, kind, available, sold)
            )
    return entries


def keep(store: Store, brand: Brand, entries: Sequence[Entry]) -> None:
    """Make these the only entries of the brand."""
    with store.writing() as session:
        session.exec(delete(LedgerEntryRow))
        conversions = {
            e.sale: add_conversion(session, brand, f"in_{e.sale}", e.sold) for e in first_of_each_sale(entries)
        }
        session.add_all(
            LedgerEntryRow(
                organization_id=brand.id,
                affiliate_id=entry.affiliate,
                conversion_id=conversions[entry.sale],
                kind=entry.kind,
                amount_minor=entry.amount,
                currency=entry.currency,
                cause="test",
                cause_id=str(number),
                cause_state="paid",
                cause_amount_minor=entry.amount,
                available_at=at(entry.available),
                sold_at=at(entry.sold),
                occurred_at=at(entry.sold),
                recorded_at=at(entry.sold),
            )
            for number, entry in enumerate(entries)
        )


def first_of_each_sale(entries: Sequence[Entry]) -> list[Entry]:
    return list({entry.sale: entry for entry in reversed(entries)}.values())


def reference(entries: Sequence[Entry], since: int | None = None, until: int | None = None) -> list[Balance]:
    """The same balances, added up one entry at a time."""
    found: list[Balance] = []
    for key in sorted({(entry.affiliate, entry.currency) for entry in entries}):
        mine = [entry for entry in entries if (entry.affiliate, entry.currency) == key]
        wanted = [e for e in mine if (since is None or e.sold >= since) and (until is None or e.sold < until)]
        released, held = [e for e in wanted if e.available <= 100], [e for e in wanted if e.available > 100]
        ever = sum(e.amount for e in mine if e.available <= 100)
        available, waiting = min(ever, sum(e.amount for e in released)), sum(e.amount for e in held)
        sales = sum(e.kind == "accrual" for e in (released if available else held))
        if available or waiting:
            found.append(Balance(*key, available, waiting, sales))
    return found


def read(store: Store, brand: Brand, since: int | None = None, until: int | None = None) -> list[Balance]:
    wanted = BalanceFilter(since=moment(since), until=moment(until))
    with store.reading() as session:
        return balances(session, brand.id, wanted, NOW)


def releases(store: Store, brand: Brand, since: int | None = None) -> dict[tuple[str, str], datetime]:
    wanted = BalanceFilter([brand.affiliate, brand.applicant], since=moment(since))
    with store.reading() as session:
        return next_releases(session, brand.id, wanted, NOW)


def moment(minute: int | None) -> datetime | None:
    return None if minute is None else at(minute)


def figures(found: Sequence[Balance]) -> list[tuple[str, str, int, int, int]]:
    return [(b.affiliate_id, b.currency, b.available_minor, b.held_minor, b.sales) for b in found]


@pytest.mark.parametrize("seed", SEEDS)
def test_balances_are_the_sums_of_their_entries(store: Store, world: World, seed: int) -> None:
    entries = generated(seed, world.acme)
    keep(store, world.acme, entries)
    assert figures(read(store, world.acme)) == figures(reference(entries))


@pytest.mark.parametrize("seed", SEEDS)
def test_a_period_counts_its_own_sales_and_nets_a_debt_from_elsewhere(store: Store, world: World, seed: int) -> None:
    entries = generated(seed, world.acme)
    keep(store, world.acme, entries)
    for since, until in ((20, None), (None, 30), (20, 40), (30, 30), (41, None)):
        assert figures(read(store, world.acme, since, until)) == figures(reference(entries, since, until))


@pytest.mark.parametrize("seed", SEEDS)
def test_no_period_pays_more_than_the_whole_balance(store: Store, world: World, seed: int) -> None:
    keep(store, world.acme, generated(seed, world.acme))
    whole = {(b.affiliate_id, b.currency): b.available_minor for b in read(store, world.acme)}
    for since, until in ((None, 20), (20, 30), (30, None), (10, 41)):
        for balance in read(store, world.acme, since, until):
            if balance.available_minor > 0:
                assert balance.available_minor <= whole[balance.affiliate_id, balance.currency]


def test_money_becomes_available_at_the_very_moment_its_hold_ends(store: Store, world: World) -> None:
    keep(store, world.acme, [entry(world, 500, 1, available=100), entry(world, 70, 2, available=101)])
    [balance] = read(store, world.acme)
    assert (balance.available_minor, balance.held_minor) == (500, 70)
    assert releases(store, world.acme) == {(world.acme.affiliate, "USD"): at(101)}


def entry(
    world: World, amount: int, sale: int = 1, *, available: int = 90, sold: int = 10, kind: str = "accrual"
) -> Entry:
    return Entry(sale, world.acme.affiliate, "USD", amount, kind, available, sold)


def test_a_debt_from_before_the_period_is_netted_against_the_period(store: Store, world: World) -> None:
    keep(store, world.acme, [entry(world, -300, 1, sold=10, kind="reversal"), entry(world, 500, 2, sold=30)])
    [balance] = read(store, world.acme, since=20)
    assert balance.available_minor == 200


def test_money_from_before_the_period_is_not_paid_with_it(store: Store, world: World) -> None:
    keep(store, world.acme, [entry(world, 300, 1, sold=10), entry(world, 500, 2, sold=30)])
    [balance] = read(store, world.acme, since=20)
    assert (balance.available_minor, balance.sales) == (500, 1)


def test_a_balance_of_nothing_is_left_out(store: Store, world: World) -> None:
    keep(store, world.acme, [entry(world, 300), entry(world, -300, kind="reversal")])
    assert read(store, world.acme) == []


def test_the_next_release_is_the_earliest_of_those_that_are_held(store: Store, world: World) -> None:
    keep(store, world.acme, [entry(world, 1, sale, available=m) for sale, m in enumerate((130, 110, 120, 90))])
    assert releases(store, world.acme) == {(world.acme.affiliate, "USD"): at(110)}


def test_a_held_sale_that_was_refunded_whole_releases_nothing(store: Store, world: World) -> None:
    refunded = [entry(world, 300, available=110), entry(world, -300, available=110, kind="reversal")]
    keep(store, world.acme, [*refunded, entry(world, 50, 2, available=130)])
    assert releases(store, world.acme) == {(world.acme.affiliate, "USD"): at(130)}


def test_the_next_release_of_a_period_is_that_of_its_own_sales(store: Store, world: World) -> None:
    keep(store, world.acme, [entry(world, 300, 1, available=110, sold=10), entry(world, 50, 2, available=130, sold=30)])
    assert releases(store, world.acme, since=20) == {(world.acme.affiliate, "USD"): at(130)}


def test_only_the_named_affiliates_are_answered(store: Store, world: World) -> None:
    acme = world.acme
    keep(
        store,
        acme,
        [Entry(sale, who, "USD", 10, "accrual", 90, 10) for sale, who in enumerate((acme.affiliate, acme.applicant))],
    )
    with store.reading() as session:
        for wanted in ([acme.affiliate], [acme.applicant], [acme.affiliate, acme.applicant], []):
            found = balances(session, acme.id, BalanceFilter(wanted), NOW)
            assert {b.affiliate_id for b in found} == set(wanted)


def test_another_organizations_balances_are_not_seen(store: Store, world: World) -> None:
    keep(store, world.acme, [entry(world, 300)])
    with store.reading() as session:
        assert balances(session, world.neighbour.id, BalanceFilter([world.acme.affiliate]), NOW) == []
