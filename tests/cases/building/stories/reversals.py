"""Money that goes back: refunds in all their states, disputes and inquiries."""

from __future__ import annotations

from tests.cases.building import checkout, invoices, payments
from tests.cases.building.amounts import Tax
from tests.cases.building.checkout import Purchase
from tests.cases.building.payments import dispute, refund
from tests.cases.building.stories.money import janes_customer
from tests.cases.building.stories.renewals import jane_sells
from tests.cases.building.story import JANE, Story, Tell
from tests.cases.building.subscriptions import Plan, renewal_due


def full_refund(story: Story) -> None:
    story.tells("All of it goes back, tax too: nothing is left.")
    sale = janes_customer(story, Plan(50_00, tax=Tax("10")), net=40_00, commission=8_00).first_invoice
    story.shop.days(3)
    story.takes_back(sale, refund(story.shop, sale), -8_00)
    story.leaves(JANE, "usd", 0)


def refund_of_a_guest(story: Story) -> None:
    story.tells("Half of a one-off purchase without an invoice goes back.", "the payment belongs to a session")
    jane = story.code("JANE20", JANE)
    sale = checkout.buy(story.shop, Purchase(50_00, code=jane))
    story.shop.days(3)
    given_back = refund(story.shop, sale, 20_00)
    story.earns(JANE, sale, net=40_00, commission=8_00, kind="one_off", code=jane)
    story.takes_back(sale, given_back, -4_00)
    story.leaves(JANE, "usd", 4_00)


def refund_of_a_renewal(story: Story) -> None:
    story.tells("The renewal goes back, the first month stays.")
    subscribed = jane_sells(story)
    story.shop.days(30)
    renewal = renewal_due(story.shop, subscribed)
    invoices.mark_paid(story.shop, renewal)
    story.shop.tell("invoice.paid", renewal)
    story.shop.days(1)
    story.earns(JANE, renewal, net=50_00, commission=10_00, kind="renewal")
    story.takes_back(renewal, refund(story.shop, renewal), -10_00)
    story.leaves(JANE, "usd", 8_00)


def refunds_that_add_up(story: Story) -> None:
    story.tells(
        "80 yen, commission 16; 26, 27 and 27 go back: 11, 5, 0 stay. Rounded one by one, a yen would be left.",
        "rounding each refund by itself",
    )
    sale = janes_customer(story, Plan(100, currency="jpy"), net=80, commission=16).first_invoice
    for amount, step in ((26, -5), (27, -6), (27, -5)):
        story.shop.days(1)
        story.takes_back(sale, refund(story.shop, sale, amount), step)
    story.leaves(JANE, "jpy", 0)


def refund_that_leaves_a_half(story: Story) -> None:
    story.tells("2,500 yen net, 3,000 paid, 1,497 back: 500 x 1503 / 3000 = 250.5, so 251.", "half to even gives 250")
    sale = janes_customer(story, Plan(3125, currency="jpy", tax=Tax("20")), net=2500, commission=500).first_invoice
    story.shop.days(3)
    story.takes_back(sale, refund(story.shop, sale, 1497), -249)
    story.leaves(JANE, "jpy", 251)


def refund_that_fails(story: Story) -> None:
    story.tells("A refund of everything fails a week later: the commission comes back.")
    sale = jane_sells(story).first_invoice
    story.shop.days(3)
    given_back = refund(story.shop, sale)
    story.by_now((JANE, "usd", 0))
    story.shop.days(7)
    payments.refund_fails(story.shop, given_back)
    story.takes_back(sale, given_back, -8_00)
    story.takes_back(sale, given_back, 8_00)
    story.leaves(JANE, "usd", 8_00)


def refund_that_waits(story: Story) -> None:
    story.tells("A refund is pending for five days: only then the commission goes.", "refund.created is not enough")
    sale = jane_sells(story).first_invoice
    story.shop.days(3)
    given_back = refund(story.shop, sale, 10_00, status="pending")
    story.by_now((JANE, "usd", 8_00))
    story.shop.days(5)
    payments.refund_succeeds(story.shop, given_back)
    story.takes_back(sale, given_back, -2_00)
    story.leaves(JANE, "usd", 6_00)


def refund_that_waits_and_fails(story: Story) -> None:
    story.tells("A pending refund fails: nothing ever moved.")
    sale = jane_sells(story).first_invoice
    story.shop.days(3)
    given_back = refund(story.shop, sale, 10_00, status="pending")
    story.shop.days(5)
    payments.refund_fails(story.shop, given_back)
    story.leaves(JANE, "usd", 8_00)


def one_of_two_refunds_fails(story: Story) -> None:
    story.tells("10.00 and 20.00 of 40.00 go back, the first of them fails: half stays.")
    sale = jane_sells(story).first_invoice
    story.shop.days(3)
    first, second = refund(story.shop, sale, 10_00), refund(story.shop, sale, 20_00)
    story.by_now((JANE, "usd", 2_00))
    story.shop.days(3)
    payments.refund_fails(story.shop, first)
    story.takes_back(sale, first, -2_00)
    story.takes_back(sale, second, -4_00)
    story.takes_back(sale, first, 2_00)
    story.leaves(JANE, "usd", 4_00)


def invoice_paid_in_two_parts(story: Story) -> None:
    story.tells("A renewal of 50.00 is paid by two cards, 30.00 and 20.00, and the second is refunded.")
    subscribed = jane_sells(story)
    story.shop.days(30)
    renewal = renewal_due(story.shop, subscribed)
    invoices.mark_paid(story.shop, renewal, in_parts=(30_00, 20_00))
    story.shop.tell("invoice.paid", renewal)
    story.shop.days(2)
    story.earns(JANE, renewal, net=50_00, commission=10_00, kind="renewal")
    story.takes_back(renewal, refund(story.shop, renewal, charge=1), -4_00)
    story.leaves(JANE, "usd", 14_00)


def dispute_lost(story: Story) -> None:
    story.tells("A chargeback holds the commission, and takes it when it is lost.")
    sale = jane_sells(story).first_invoice
    story.shop.days(20)
    opened = dispute(story.shop, sale)
    story.by_now((JANE, "usd", 8_00), held=(sale,))
    story.shop.days(30)
    payments.dispute_closes(story.shop, opened, "lost")
    story.takes_back(sale, opened, -8_00)
    story.leaves(JANE, "usd", 0)


def dispute_won(story: Story) -> None:
    story.tells("A chargeback is won: the hold ends, nothing was taken.", "charge.dispute.closed does not mean lost")
    sale = jane_sells(story).first_invoice
    story.shop.days(20)
    opened = dispute(story.shop, sale)
    story.by_now((JANE, "usd", 8_00), held=(sale,))
    story.shop.days(30)
    payments.dispute_closes(story.shop, opened, "won")
    story.by_now((JANE, "usd", 8_00))
    story.leaves(JANE, "usd", 8_00)


def dispute_over_a_part(story: Story) -> None:
    story.tells("10.00 of 40.00 are disputed and lost: a quarter goes.", "the amount of a dispute may be a part")
    sale = jane_sells(story).first_invoice
    story.shop.days(20)
    opened = dispute(story.shop, sale, 10_00)
    story.shop.days(30)
    payments.dispute_closes(story.shop, opened, "lost")
    story.takes_back(sale, opened, -2_00)
    story.leaves(JANE, "usd", 6_00)


def inquiry_closed(story: Story) -> None:
    story.tells("The bank only asks, and is content: no hold, no reversal.", "warning_needs_response moves no money")
    sale = jane_sells(story).first_invoice
    story.shop.days(20)
    opened = dispute(story.shop, sale, inquiry=True)
    story.by_now((JANE, "usd", 8_00))
    story.shop.days(30)
    payments.dispute_closes(story.shop, opened, "warning_closed")
    story.leaves(JANE, "usd", 8_00)


def inquiry_escalates_and_is_lost(story: Story) -> None:
    story.tells("An inquiry becomes a chargeback and is lost: no hold, then a hold, then nothing is left.")
    sale = jane_sells(story).first_invoice
    story.shop.days(20)
    opened = dispute(story.shop, sale, inquiry=True)
    story.by_now((JANE, "usd", 8_00))
    story.shop.days(10)
    payments.dispute_escalates(story.shop, opened)
    story.by_now((JANE, "usd", 8_00), held=(sale,))
    story.shop.days(30)
    payments.dispute_closes(story.shop, opened, "lost")
    story.takes_back(sale, opened, -8_00)
    story.leaves(JANE, "usd", 0)


def refund_and_lost_dispute(story: Story) -> None:
    story.tells("30.00 of 40.00 were refunded when the bank takes all 40.00: nothing is left, and no less.")
    sale = jane_sells(story).first_invoice
    story.shop.days(3)
    given_back = refund(story.shop, sale, 30_00)
    story.shop.days(3)
    opened = dispute(story.shop, sale, 40_00)
    story.shop.days(30)
    payments.dispute_closes(story.shop, opened, "lost")
    story.takes_back(sale, given_back, -6_00)
    story.takes_back(sale, opened, -2_00)
    story.leaves(JANE, "usd", 0)


def dispute_of_a_guest(story: Story) -> None:
    story.tells("A one-off purchase without an invoice or a customer is charged back.")
    jane = story.code("JANE20", JANE)
    sale = checkout.buy(story.shop, Purchase(50_00, code=jane))
    story.shop.days(20)
    opened = dispute(story.shop, sale)
    story.shop.days(30)
    payments.dispute_closes(story.shop, opened, "lost")
    story.earns(JANE, sale, net=40_00, commission=8_00, kind="one_off", code=jane)
    story.takes_back(sale, opened, -8_00)
    story.leaves(JANE, "usd", 0)


def reversals_of_nobodys_sale(story: Story) -> None:
    story.tells("A refund and a lost dispute of sales that earned nothing move nothing.")
    story.code("JANE20", JANE)
    first, second = checkout.buy(story.shop, Purchase(50_00)), checkout.buy(story.shop, Purchase(30_00))
    story.shop.days(3)
    refund(story.shop, first)
    payments.dispute_closes(story.shop, dispute(story.shop, second), "lost")


STORIES: tuple[Tell, ...] = (
    full_refund,
    refund_of_a_guest,
    refund_of_a_renewal,
    refunds_that_add_up,
    refund_that_leaves_a_half,
    refund_that_fails,
    refund_that_waits,
    refund_that_waits_and_fails,
    one_of_two_refunds_fails,
    invoice_paid_in_two_parts,
    dispute_lost,
    dispute_won,
    dispute_over_a_part,
    inquiry_closed,
    inquiry_escalates_and_is_lost,
    refund_and_lost_dispute,
    dispute_of_a_guest,
    reversals_of_nobodys_sale,
)
