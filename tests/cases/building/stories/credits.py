"""Credit notes on paid invoices."""

from __future__ import annotations

from tests.cases.building import credit_notes
from tests.cases.building.stories.renewals import jane_sells
from tests.cases.building.story import JANE, Story, Tell


def credit_note_with_a_refund(story: Story) -> None:
    story.tells("A credit note of 10.00, paid back by a refund: one reversal, not two.", "the refund tells of itself")
    sale = jane_sells(story).first_invoice
    story.shop.days(3)
    credit_notes.credit(story.shop, sale, 10_00, refund=10_00)
    [given_back] = story.shop.all("refund")
    story.takes_back(sale, given_back, -2_00)
    story.leaves(JANE, "usd", 6_00)


def credit_note_out_of_band(story: Story) -> None:
    story.tells("A credit note of 10.00, paid back in cash: there is no refund, and a quarter goes.")
    sale = jane_sells(story).first_invoice
    story.shop.days(3)
    story.takes_back(sale, credit_notes.credit(story.shop, sale, 10_00, out_of_band=10_00), -2_00)
    story.leaves(JANE, "usd", 6_00)


def credit_note_into_the_balance(story: Story) -> None:
    story.tells("A credit note of 10.00 into the customer's balance: a quarter goes.")
    sale = jane_sells(story).first_invoice
    story.shop.days(3)
    story.takes_back(sale, credit_notes.credit(story.shop, sale, 10_00, to_balance=10_00), -2_00)
    story.leaves(JANE, "usd", 6_00)


def credit_note_half_refunded(story: Story) -> None:
    story.tells("A credit note of 20.00, half by a refund and half into the balance: each half counts once.")
    sale = jane_sells(story).first_invoice
    story.shop.days(3)
    note = credit_notes.credit(story.shop, sale, 20_00, refund=10_00, to_balance=10_00)
    [given_back] = story.shop.all("refund")
    story.takes_back(sale, given_back, -2_00)
    story.takes_back(sale, note, -2_00)
    story.leaves(JANE, "usd", 4_00)


def credit_note_voided(story: Story) -> None:
    story.tells("A credit note of 10.00 out of band is voided: the commission comes back.")
    sale = jane_sells(story).first_invoice
    story.shop.days(3)
    note = credit_notes.credit(story.shop, sale, 10_00, out_of_band=10_00)
    story.by_now((JANE, "usd", 6_00))
    story.shop.days(1)
    credit_notes.void(story.shop, note)
    story.takes_back(sale, note, -2_00)
    story.takes_back(sale, note, 2_00)
    story.leaves(JANE, "usd", 8_00)


STORIES: tuple[Tell, ...] = (
    credit_note_with_a_refund,
    credit_note_out_of_band,
    credit_note_into_the_balance,
    credit_note_half_refunded,
    credit_note_voided,
)
