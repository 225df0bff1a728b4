"""The ledger's arithmetic: the steps of reversals add up, whatever way the money went back."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import permutations

from hypothesis import given
from hypothesis import strategies as st

from rekomi_mcp.domain.commission import remaining_minor
from rekomi_mcp.domain.ledger import EntryKind, Step, reversal_steps
from rekomi_mcp.domain.sales import Reversal, ReversalKind, ReversalStatus

START = datetime(2026, 3, 1, 12, tzinfo=UTC)
COMMISSION, GROSS = 800, 4400

commissions = st.integers(0, 10**6)
grosses = st.integers(1, 10**7)
statuses = st.sampled_from(ReversalStatus)


def refund(name: str, amount: int, status: ReversalStatus = ReversalStatus.Succeeded, minutes: int = 0) -> Reversal:
    return Reversal(
        id=name,
        kind=ReversalKind.Refund,
        event_id=f"evt_{name}_{status}",
        occurred_at=START + timedelta(minutes=minutes),
        currency="USD",
        amount_minor=amount,
        status=status,
        payment_intent_id="pi_1",
        charge_id="ch_1",
    )


@st.composite
def refunds(draw: st.DrawFn, most: int = 5) -> list[Reversal]:
    """Refunds of one sale, each in some state, at few different times."""
    return [
        refund(f"re_{index}", draw(st.integers(0, 10**6)), draw(statuses), draw(st.integers(0, 3)))
        for index in range(draw(st.integers(0, most)))
    ]


def taken(steps: Sequence[Step]) -> int:
    return sum(step.amount_minor for step in steps)


def one_by_one(commission: int, gross: int, changes: Sequence[Reversal]) -> list[Step]:
    """The steps when each change arrives by itself, as the store would keep them."""
    known: dict[str, int] = {}
    steps: list[Step] = []
    for change in changes:
        steps += reversal_steps(commission, gross, known, [change])
        known[change.id] = change.effective_minor
    return steps


@given(commissions, grosses, st.dictionaries(st.sampled_from(["re_0", "re_9"]), st.integers(0, 10**6)), refunds())
def test_the_steps_add_up_to_the_difference_they_make(
    commission: int, gross: int, known: dict[str, int], changes: list[Reversal]
) -> None:
    after = known | {change.id: change.effective_minor for change in changes}
    before_minor = remaining_minor(commission, gross, sum(known.values()))
    after_minor = remaining_minor(commission, gross, sum(after.values()))
    steps = reversal_steps(commission, gross, known, changes)
    assert taken(steps) == after_minor - before_minor
    if steps:
        assert steps[-1].remaining_minor == after_minor


@given(commissions, grosses, refunds())
def test_each_step_begins_where_the_last_one_ended(commission: int, gross: int, changes: list[Reversal]) -> None:
    remaining = commission
    for step in reversal_steps(commission, gross, {}, changes):
        remaining += step.amount_minor
        assert step.remaining_minor == remaining
        assert 0 <= remaining <= commission


@given(commissions, grosses, refunds())
def test_a_step_that_moves_nothing_is_no_step_and_the_kind_tells_the_direction(
    commission: int, gross: int, changes: list[Reversal]
) -> None:
    for step in reversal_steps(commission, gross, {}, changes):
        assert step.amount_minor != 0
        assert step.kind is (EntryKind.Reversal if step.amount_minor < 0 else EntryKind.Restoration)


@given(commissions, grosses, refunds())
def test_a_batch_ends_where_single_deliveries_end(commission: int, gross: int, changes: list[Reversal]) -> None:
    assert taken(one_by_one(commission, gross, changes)) == taken(reversal_steps(commission, gross, {}, changes))


@given(commissions, grosses, refunds(most=4))
def test_every_order_of_delivery_ends_the_same(commission: int, gross: int, changes: list[Reversal]) -> None:
    ends = {taken(one_by_one(commission, gross, order)) for order in permutations(changes)}
    assert len(ends) == 1


@given(commissions, grosses, refunds())
def test_news_that_is_known_already_changes_nothing(commission: int, gross: int, changes: list[Reversal]) -> None:
    known = {change.id: change.effective_minor for change in changes}
    assert reversal_steps(commission, gross, known, changes) == []


@given(commissions, st.lists(st.integers(1, 10**5), min_size=1, max_size=6), st.data())
def test_how_a_refund_is_split_does_not_matter(commission: int, parts: list[int], data: st.DataObject) -> None:
    gross = data.draw(st.integers(sum(parts), 2 * sum(parts)))
    split = [refund(f"re_{index}", part, minutes=index) for index, part in enumerate(parts)]
    whole = [refund("re_whole", sum(parts))]
    assert taken(reversal_steps(commission, gross, {}, split)) == taken(reversal_steps(commission, gross, {}, whole))


@given(commissions, grosses, refunds(), st.integers(1, 10**6))
def test_a_refund_that_fails_gives_back_exactly_what_it_took(
    commission: int, gross: int, others: list[Reversal], amount: int
) -> None:
    known = {change.id: change.effective_minor for change in others}
    there = reversal_steps(commission, gross, known, [refund("re_late", amount)])
    back = reversal_steps(
        commission, gross, known | {"re_late": amount}, [refund("re_late", amount, ReversalStatus.Failed)]
    )
    assert taken(there) == -taken(back)
    assert {step.kind for step in back} <= {EntryKind.Restoration}


def test_a_pending_refund_takes_nothing_until_it_succeeds() -> None:
    assert reversal_steps(COMMISSION, GROSS, {}, [refund("re_1", GROSS, ReversalStatus.Pending)]) == []
    [step] = reversal_steps(COMMISSION, GROSS, {"re_1": 0}, [refund("re_1", GROSS)])
    assert (step.kind, step.amount_minor, step.remaining_minor) == (EntryKind.Reversal, -800, 0)


def test_steps_come_in_the_order_in_which_the_money_went_back() -> None:
    late, early = refund("re_late", 1100, minutes=9), refund("re_early", 2200, minutes=1)
    steps = reversal_steps(COMMISSION, GROSS, {}, [late, early])
    assert [(s.reversal.id, s.amount_minor, s.remaining_minor) for s in steps] == [
        ("re_early", -400, 400),
        ("re_late", -200, 200),
    ]


def test_refunds_beyond_the_sale_take_no_more_than_the_commission() -> None:
    steps = reversal_steps(COMMISSION, GROSS, {}, [refund("re_1", GROSS), refund("re_2", GROSS, minutes=1)])
    assert [step.amount_minor for step in steps] == [-COMMISSION]
