"""What one event says and another leaves out is kept, and news that repeats itself takes nothing from anybody."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from itertools import permutations
from typing import Any

import pytest

from rekomi_mcp.app import App
from rekomi_mcp.domain.sales import (
    Fact,
    Referral,
    Reversal,
    ReversalKind,
    ReversalStatus,
    Sale,
    SaleReference,
    SaleSource,
    SubscriptionStarted,
)
from rekomi_mcp.storage.tables import AffiliateCodeRow, AffiliateRow, ConversionRow, InboxEventRow, LeadRow, SaleRow
from tests.races.test_reordering import day, promotion_codes
from tests.support.pictures import check_books, picture
from tests.support.stage import Stage
from tests.support.world import sale, sell

KIM: dict[str, Any] = {"customer_id": "cus_kim", "subscription_id": "sub_kim"}


def tell(stage: Stage, *facts: Fact) -> None:
    """Each by an event of its own, one after the other."""

    async def ingest(app: App) -> None:
        for number, fact in enumerate(facts):
            event_id = f"evt_{len(stage.rows(InboxEventRow))}_{number}_{fact.event_id}"
            await sell(app, stage.cast.organization, replace(fact, event_id=event_id))

    stage.act(ingest)
    with stage.reading() as session:
        check_books(session, stage.cast.organization)


def earned(stage: Stage) -> list[tuple[str, str]]:
    return [(source_id, name) for source_id, name, *_ in picture(stage)["conversions"]]


def test_a_code_put_on_a_subscription_later_does_not_take_it_from_whom_it_belongs_to(duo: Stage) -> None:
    sarah, tom = promotion_codes(duo)
    tell(
        duo,
        SubscriptionStarted("sub_kim", "cus_kim", "begun", day(0), (sarah,), told_at=day(0)),
        sale("in_1", at=day(0), codes=(sarah,), **KIM),
        SubscriptionStarted("sub_kim", "cus_kim", "changed", day(9), (tom,), told_at=day(9)),
        sale("in_2", at=day(30), **KIM),
    )
    assert earned(duo) == [("in_1", "Sarah Lee"), ("in_2", "Sarah Lee")]


@pytest.mark.parametrize("first", [0, 1])
def test_a_code_that_is_used_up_and_missing_from_later_news_still_counts(duo: Stage, first: int) -> None:
    sarah, tom = promotion_codes(duo)
    news = [
        SubscriptionStarted("sub_kim", "cus_kim", "begun", day(0), (sarah, tom), told_at=day(0)),
        SubscriptionStarted("sub_kim", "cus_kim", "changed", day(0), (tom,), told_at=day(5)),
    ]
    tell(duo, news[first], news[1 - first], sale("in_1", at=day(1), **KIM))
    assert earned(duo) == [("in_1", "Sarah Lee")]


def test_a_code_told_by_a_second_event_is_kept_for_when_it_is_somebodys(duo: Stage) -> None:
    tell(duo, sale("in_1", at=day(0)), sale("in_1", at=day(0), codes=("promo_later",)))
    with duo.writing() as session:
        row = session.get(AffiliateCodeRow, duo.cast.code)
        assert row is not None
        row.stripe_promotion_code_id = "promo_later"
    tell(duo, sale("in_1", at=day(0)))
    assert earned(duo) == [("in_1", "Sarah Lee")]


def test_a_customer_told_by_a_second_event_belongs_to_whom_the_sale_was_credited(duo: Stage) -> None:
    sarah, _ = promotion_codes(duo)
    first = sale("in_1", at=day(0), codes=(sarah,))
    tell(duo, first, replace(first, customer_id="cus_kim"), sale("in_2", at=day(3), customer_id="cus_kim"))
    assert earned(duo) == [("in_1", "Sarah Lee"), ("in_2", "Sarah Lee")]


def test_a_sale_named_later_without_its_customer_brings_the_customers_later_sales(duo: Stage) -> None:
    def told(number: int, **more: Any) -> Sale:
        return sale(f"order_{number}", source=SaleSource.Server, at=day(number), **more)

    referral = Referral(affiliate_id=duo.cast.sarah)
    tell(duo, told(1, customer_id="kim"), told(2, customer_id="kim"), told(1, referral=referral))
    assert earned(duo) == [("order_1", "Sarah Lee"), ("order_2", "Sarah Lee")]


def test_a_signup_that_is_told_late_begins_when_it_was_and_not_after_the_sale(duo: Stage) -> None:
    sarah, _ = promotion_codes(duo)
    free: dict[str, Any] = {"net": 0, "gross": 0, "codes": (sarah,), "customer_email": "kim@example.com"}
    tell(
        duo,
        sale("in_free_5", at=day(5), **free),
        sale("in_paid_3", at=day(3), customer_email="Kim@example.com"),
        sale("in_free_1", at=day(1), **free),
    )
    assert earned(duo) == [("in_paid_3", "Sarah Lee")]


def test_a_signup_that_was_anothers_after_all_is_no_lead_of_the_first(duo: Stage) -> None:
    sarah, tom = promotion_codes(duo)
    free = sale("in_free", at=day(1), net=0, gross=0, codes=(tom,), customer_email="kim@example.com", **KIM)
    begun = SubscriptionStarted("sub_kim", "cus_kim", "begun", day(0), (sarah,), told_at=day(0))
    tell(duo, free, begun, sale("in_paid", at=day(3), customer_email="kim@example.com"))
    assert earned(duo) == [("in_paid", "Sarah Lee")]
    assert [row.affiliate_id for row in duo.rows(LeadRow)] == [duo.cast.sarah]


def toms_server_tells_of_kim(stage: Stage, at: datetime) -> None:
    with stage.writing() as session:
        owner = session.get(AffiliateRow, stage.cast.tom)
        assert owner is not None
        session.add(
            LeadRow(
                organization_id=owner.organization_id,
                program_id=owner.program_id,
                affiliate_id=owner.id,
                email="kim@example.com",
                email_key="kim@example.com",
                source="Api",
                created_at=at,
            )
        )


def test_a_signup_that_was_recorded_keeps_its_time_when_an_earlier_sale_was_anothers(duo: Stage) -> None:
    """Tom's server told of Kim on day 4; a sale of day 1 that seemed to be his was Sarah's."""
    sarah, tom = promotion_codes(duo)
    toms_server_tells_of_kim(duo, day(4))
    free = sale("in_free", at=day(1), net=0, gross=0, codes=(tom,), customer_email="kim@example.com", **KIM)
    begun = SubscriptionStarted("sub_kim", "cus_kim", "begun", day(0), (sarah,), told_at=day(0))
    later: dict[str, Any] = {"net": 0, "gross": 0, "codes": (tom,), "customer_email": "lou@example.com"}
    tell(
        duo,
        free,
        sale("in_then", at=day(2), customer_email="kim@example.com"),
        begun,
        sale("in_lou", at=day(1), **later),
        sale("in_paid", at=day(5), customer_email="lou@example.com"),
    )
    assert earned(duo) == [("in_paid", "Tom Ray"), ("in_then", "Sarah Lee")]
    signups = {(row.affiliate_id, row.email, row.created_at, row.free_sale_at) for row in duo.rows(LeadRow)}
    assert signups == {
        (duo.cast.tom, "kim@example.com", day(4), None),
        (duo.cast.sarah, "kim@example.com", day(1), day(1)),
        (duo.cast.tom, "lou@example.com", day(1), day(1)),
    }


@pytest.mark.parametrize("first", [0, 1])
def test_a_signup_by_a_sale_of_the_very_moment_brought_nothing_of_another_sale(duo: Stage, first: int) -> None:
    """Nor when the affiliate has a later signup that was recorded."""
    _, tom = promotion_codes(duo)
    toms_server_tells_of_kim(duo, day(4))
    sales = [
        sale("in_free", at=day(1), net=0, gross=0, codes=(tom,), customer_email="kim@example.com"),
        sale("in_paid", at=day(1), customer_email="kim@example.com"),
    ]
    tell(duo, sales[first], sales[1 - first])
    assert earned(duo) == []


def test_a_signup_in_the_minutes_after_a_sale_brought_nothing_of_it(duo: Stage) -> None:
    sarah, _ = promotion_codes(duo)
    paid = sale("in_paid", at=day(1), customer_email="kim@example.com")
    soon = day(1) + timedelta(minutes=2)
    tell(duo, sale("in_free", at=soon, net=0, gross=0, codes=(sarah,), customer_email="kim@example.com"), paid)
    assert earned(duo) == []


def test_a_credit_note_may_come_to_the_same_amount_twice(duo: Stage) -> None:
    sarah, _ = promotion_codes(duo)

    def note(amount: int, number: int) -> Reversal:
        return Reversal(
            id="cn_1",
            kind=ReversalKind.CreditNote,
            event_id=f"note_{number}",
            occurred_at=day(2),
            currency="USD",
            amount_minor=amount,
            status=ReversalStatus.Succeeded,
            told_at=day(number),
            sale=(SaleSource.Invoice, "in_1"),
        )

    tell(duo, sale("in_1", at=day(1), codes=(sarah,)), note(2200, 2), note(1100, 3), note(2200, 4))
    assert picture(duo)["conversions"] == [("in_1", "Sarah Lee", 800, 400, "Open")]


@pytest.mark.parametrize("order", list(permutations(range(4))))
def test_a_dispute_that_is_lost_won_and_lost_again_is_lost_in_whatever_order_that_is_told(
    order: tuple[int, ...],
) -> None:
    told = [
        Reversal(
            id="dp_1",
            kind=ReversalKind.Dispute,
            event_id=f"evt_{number}",
            occurred_at=day(number),
            currency="USD",
            amount_minor=100,
            status=ReversalStatus(status),
            told_at=day(number),
        )
        for number, status in enumerate(("open", "succeeded", "failed", "succeeded"))
    ]
    known = told[order[0]]
    for number in order[1:]:
        known = told[number] if told[number].supersedes(known) else known
    assert known == told[3]


def dispute(name: str, number: int, status: str, charge: str) -> Reversal:
    return Reversal(
        id=f"dp_{name}",
        kind=ReversalKind.Dispute,
        event_id=f"{name}_{number}",
        occurred_at=day(number),
        currency="USD",
        amount_minor=100,
        status=ReversalStatus(status),
        charge_id=charge,
        told_at=day(number),
    )


def link(charge: str) -> SaleReference:
    return SaleReference(charge, SaleSource.Invoice, "in_1", f"link_{charge}")


@pytest.mark.parametrize(("first", "second"), [("a", "b"), ("b", "a")])
def test_two_disputes_and_a_credit_note_hold_and_release_as_often_as_it_takes(
    duo: Stage, first: str, second: str
) -> None:
    """Whichever of them a list has last: what holds again is the dispute that is open, not the one that is over."""
    sarah, _ = promotion_codes(duo)
    credited = Reversal(
        id="cn_1",
        kind=ReversalKind.CreditNote,
        event_id="note",
        occurred_at=day(2),
        currency="USD",
        amount_minor=1100,
        status=ReversalStatus.Succeeded,
        told_at=day(2),
        sale=(SaleSource.Invoice, "in_1"),
    )
    tell(
        duo,
        sale("in_1", at=day(1), codes=(sarah,)),
        credited,
        dispute(first, 3, "open", "ch_first"),
        link("ch_first"),
        dispute(first, 5, "failed", "ch_first"),
        dispute(second, 6, "open", "ch_second"),
        link("ch_second"),
    )
    [row] = duo.rows(ConversionRow)
    assert (row.remaining_minor, row.on_hold_minor) == (600, 600)


def test_a_refund_that_is_found_to_be_the_sales_while_a_dispute_is_open_takes_its_share_out_of_what_is_held(
    duo: Stage,
) -> None:
    sarah, _ = promotion_codes(duo)
    refund = Reversal(
        id="re_1",
        kind=ReversalKind.Refund,
        event_id="refund",
        occurred_at=day(4),
        currency="USD",
        amount_minor=1100,
        status=ReversalStatus.Succeeded,
        charge_id="ch_b",
    )
    tell(
        duo,
        sale("in_1", at=day(1), codes=(sarah,)),
        link("ch_a"),
        dispute("a", 3, "open", "ch_a"),
        refund,
        link("ch_b"),
    )
    [row] = duo.rows(ConversionRow)
    assert (row.remaining_minor, row.on_hold_minor) == (600, 600)


def test_an_address_with_very_many_signups_keeps_a_decision_short_and_goes_to_the_oldest_who_may_earn(
    duo: Stage,
) -> None:
    with duo.writing() as session:
        tom = session.get(AffiliateRow, duo.cast.tom)
        assert tom is not None
        common = tom.model_dump(exclude={"id", "email", "email_key", "full_name", "status"})
        for number in range(60):
            name, status = f"a{number}@example.com", "Paused" if number < 30 else "Approved"
            session.add(row := AffiliateRow(**common, email=name, email_key=name, full_name=name, status=status))
            session.flush()
            signup = LeadRow(
                organization_id=row.organization_id,
                program_id=row.program_id,
                affiliate_id=row.id,
                email="kim@example.com",
                email_key="kim@example.com",
                source="Api",
                created_at=day(0) + timedelta(hours=number),
            )
            session.add(signup)
    tell(duo, sale("in_1", at=day(9), customer_email="kim@example.com"))
    assert earned(duo) == [("in_1", "a30@example.com")]
    [row] = duo.rows(SaleRow)
    assert len(row.decision["candidates"]) == 21
