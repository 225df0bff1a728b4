"""What happens to a brand: thousands of customers, each with a small story of their own, drawn by a number."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from tests.cases import reference
from tests.cases.building import checkout, credit_notes, invoices, offers, payments, subscriptions
from tests.cases.building.amounts import Tax
from tests.cases.building.checkout import Purchase
from tests.cases.building.offers import Code
from tests.cases.building.subscriptions import Plan, Subscribed
from tests.cases.building.world import ACCOUNT, API_VERSION, DAY, START, World
from tests.cases.case import Affiliate, Case, Expected, SeedCode, Seeds

JsonObject = dict[str, Any]
BEGAN = START - 300 * DAY
"""So that the longest story is over by now."""
JANE, BOB = "aff_jane", "aff_bob"
OF_WHOM = {"JANE20": JANE, "JANE4EVER": JANE, "BOB10": BOB, "BOB4EVER": BOB, "SUMMER": None}
"""The codes that customers type; the last one is the shop's own."""


@dataclass(frozen=True)
class Life:
    """One customer's story, told to the end."""

    case: Case
    """What Stripe knows at the end. Its webhooks are kept beside it."""
    bodies: list[bytes]
    conversions: list[reference.Conversion]
    """As the plain computation has them."""


class Shop:
    """What all customers have in common: coupons and codes."""

    def __init__(self) -> None:
        self._world = World("shop")
        off = {
            "once": offers.coupon(self._world, "ONCE20", percent_off=20.0),
            "once_10": offers.coupon(self._world, "ONCE10", percent_off=10.0),
            "forever": offers.coupon(self._world, "FOREVER15", duration="forever", percent_off=15.0),
        }
        of_text = {"JANE20": "once", "BOB10": "once_10", "SUMMER": "once_10"}
        self.codes = {
            text: offers.promotion_code(self._world, off[of_text.get(text, "forever")], text) for text in OF_WHOM
        }
        self.seeds = Seeds(
            account=ACCOUNT,
            api_version=API_VERSION,
            percent="20",
            recurring_months=None,
            recurring_delay_invoices=0,
            affiliates=(Affiliate(JANE, "Jane", None), Affiliate(BOB, "Bob", None)),
            codes=tuple(
                SeedCode(text.lower(), text, owner, self.codes[text].id, self.codes[text].coupon["id"], 0)
                for text, owner in OF_WHOM.items()
                if owner is not None
            ),
            rekomi={},
        )

    @property
    def case(self) -> Case:
        """The shop before its first customer."""
        return self._case("shop", self._world)

    def life(self, number: int) -> Life:
        """The story of the customer with this number; the same one in every run."""
        dice = random.Random(number)
        world = World(f"customer {number}")
        world.now = BEGAN + dice.randrange(60 * DAY)
        for code in self.codes.values():
            world.keep(code.promotion)
            world.keep(code.coupon)
        dice.choices(STORIES, WEIGHTS)[0](Customer(self, world, dice, number))
        case = self._case(world.name, world)
        conversions = reference.conversions(case)
        case.api_state["event"] = []  # told by webhooks
        return Life(case, [json.dumps(event).encode() for event in world.deliveries], conversions)

    def _case(self, name: str, world: World) -> Case:
        nothing = Expected(conversions=(), clawbacks=(), final=(), codes=(), checkpoints=(), flagged=())
        return Case(name, "core", self.seeds, (), world.state(), nothing)


@dataclass(frozen=True)
class Customer:
    """Somebody about to do something in the shop."""

    shop: Shop
    world: World
    dice: random.Random
    number: int

    @property
    def email(self) -> str:
        return f"customer-{self.number}@example.com"

    def code(self) -> Code | None:
        """One of the codes, or none."""
        text = self.dice.choice([*OF_WHOM, None, None])
        return self.shop.codes[text] if text is not None else None

    def tax(self) -> Tax | None:
        return self.dice.choice([None, None, Tax("10"), Tax("19", inclusive=True)])

    def currency(self) -> str:
        return self.dice.choice(["usd", "usd", "eur", "jpy"])

    def amount(self) -> int:
        return self.dice.randrange(900, 30_000)

    def waits(self, days: int) -> None:
        """Some time passes, at most so many days."""
        self.world.now += self.dice.randrange(1, days * DAY)

    def often(self, percent: int) -> bool:
        return self.dice.randrange(100) < percent


def _subscribes(customer: Customer) -> None:
    """Subscribes, now and then with a free trial or with the codes of two affiliates, and stays for some months."""
    world, dice = customer.world, customer.dice
    typed = customer.code()
    codes = [typed] if typed is not None else []
    if customer.often(15):
        # Both for once or both forever: whose the rest is when one of two codes is used up is a rule of its own.
        texts = dice.choice([["JANE20", "BOB10"], ["JANE4EVER", "BOB4EVER"]])
        codes = [customer.shop.codes[text] for text in dice.sample(texts, 2)]
    trial = dice.choice([0, 0, 0, 14])
    plan = Plan(customer.amount(), customer.currency(), customer.tax(), codes, trial_days=trial)
    who = offers.customer(world, customer.email)
    start = checkout.subscribe if customer.often(60) else subscriptions.subscribe
    subscribed = start(world, who, plan)
    if not trial:
        _trouble(customer, subscribed.first_invoice)
    if trial and customer.often(30):
        _leaves(customer, subscribed)
        return
    for month in range(dice.randrange(1, 7)):
        world.now += (trial or 30) * DAY
        trial = 0
        renewed = subscriptions.renew(world, subscribed)
        if customer.often(30):
            world.tell("invoice.payment_succeeded", renewed)
        _trouble(customer, renewed)
        if month == 0 and _lasting(codes) and customer.often(20):
            customer.waits(5)
            subscriptions.add_code(world, subscribed, customer.shop.codes["BOB4EVER"])
    if customer.often(40):
        _leaves(customer, subscribed)


def _lasting(codes: list[Code]) -> bool:
    """Whether the codes are on every invoice, or there are none: then the plain computation knows whose the others are."""
    return all(code.coupon["duration"] == "forever" for code in codes) and len(codes) < 2


def _leaves(customer: Customer, subscribed: Subscribed) -> None:
    customer.waits(5)
    subscriptions.cancel(customer.world, subscribed)


def _buys_as_a_guest(customer: Customer) -> None:
    _trouble(customer, checkout.buy(customer.world, _purchase(customer)))


def _buys_with_an_invoice(customer: Customer) -> None:
    who = offers.customer(customer.world, customer.email)
    _, invoice = checkout.buy_with_invoice(customer.world, _purchase(customer), who)
    _trouble(customer, invoice)


def _comes_back(customer: Customer) -> None:
    """Buys a few times as the same customer: with a code, with another's, without one."""
    who = offers.customer(customer.world, customer.email)
    for _ in range(customer.dice.randrange(2, 5)):
        session = checkout.buy(customer.world, _purchase(customer), who)
        _trouble(customer, session)
        customer.waits(20)


def _purchase(customer: Customer) -> Purchase:
    return Purchase(customer.amount(), customer.currency(), customer.code(), customer.tax(), email=customer.email)


def _trouble(customer: Customer, sale: JsonObject) -> None:
    """Every fourth sale or so is regretted."""
    if not customer.often(25):
        return
    world, now = customer.world, customer.world.now
    customer.waits(8)
    is_invoice = sale["object"] == "invoice"
    troubles = TROUBLES + NOTES if is_invoice and not sale["total_taxes"] else TROUBLES
    customer.dice.choice(troubles)(customer, sale)
    world.now = max(now, world.now)


def _part(sale: JsonObject) -> int:
    return int(sale["total"] if sale["object"] == "invoice" else sale["amount_total"]) // 3


def _refunded_in_parts(customer: Customer, sale: JsonObject) -> None:
    payments.refund(customer.world, sale, _part(sale))
    if customer.often(50):
        customer.waits(3)
        payments.refund(customer.world, sale, _part(sale))


def _refunded(customer: Customer, sale: JsonObject) -> None:
    payments.refund(customer.world, sale)


def _refund_fails(customer: Customer, sale: JsonObject) -> None:
    status = customer.dice.choice(["pending", "succeeded"])
    made = payments.refund(customer.world, sale, _part(sale), status=status)
    customer.waits(3)
    payments.refund_fails(customer.world, made)


def _refund_takes_long(customer: Customer, sale: JsonObject) -> None:
    made = payments.refund(customer.world, sale, _part(sale), status="pending")
    customer.waits(3)
    payments.refund_succeeds(customer.world, made)


def _disputed(end: str | None, customer: Customer, sale: JsonObject) -> None:
    """The bank's decision; None when there is none yet."""
    made = payments.dispute(customer.world, sale, inquiry=end == "warning_closed")
    if end is not None:
        customer.waits(20)
        payments.dispute_closes(customer.world, made, end)


def _credited(way: str, customer: Customer, sale: JsonObject) -> None:
    note = credit_notes.credit(customer.world, sale, _part(sale), **{way: _part(sale)})
    if way == "out_of_band" and customer.often(30):
        customer.waits(2)
        credit_notes.void(customer.world, note)


def _never_pays(customer: Customer) -> None:
    """A subscription whose second invoice is voided."""
    who = offers.customer(customer.world, customer.email)
    typed = customer.code()
    plan = Plan(customer.amount(), codes=[typed] if typed is not None else [])
    subscribed = subscriptions.subscribe(customer.world, who, plan)
    customer.world.days(30)
    due = subscriptions.renewal_due(customer.world, subscribed)
    invoices.fail_payment(customer.world, due)
    customer.waits(5)
    invoices.void(customer.world, due)


Trouble = Callable[[Customer, JsonObject], None]
TROUBLES: list[Trouble] = [
    _refunded_in_parts,
    _refunded,
    _refund_fails,
    _refund_takes_long,
    *(partial(_disputed, end) for end in ("won", "lost", "warning_closed", None)),
]
NOTES: list[Trouble] = [partial(_credited, way) for way in ("refund", "to_balance", "out_of_band")]
STORIES = [_subscribes, _buys_as_a_guest, _buys_with_an_invoice, _comes_back, _never_pays]
WEIGHTS = [50, 20, 10, 15, 5]
