"""What one event says and another leaves out is kept, and news that repeats itself takes nothing from anybody."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from rekomi_mcp.app import App
from rekomi_mcp.domain.sales import Fact, Referral, Sale, SaleSource, SubscriptionStarted
from rekomi_mcp.storage.tables import AffiliateCodeRow, SaleRow
from tests.races.test_reordering import day, promotion_codes
from tests.support.pictures import check_books, picture
from tests.support.stage import Stage
from tests.support.world import sale, sell

KIM: dict[str, Any] = {"customer_id": "cus_kim", "subscription_id": "sub_kim"}


@pytest.fixture
def duo(stages: Callable[[str, str], Stage]) -> Stage:
    """Sarah and Tom, each with a code, on SQLite."""
    return stages("sqlite", "two codes")


def tell(stage: Stage, *facts: Fact) -> None:
    """Each by an event of its own, one after the other."""

    async def ingest(app: App) -> None:
        for number, fact in enumerate(facts):
            event_id = f"evt_{len(stage.rows(SaleRow))}_{number}_{fact.event_id}"
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
