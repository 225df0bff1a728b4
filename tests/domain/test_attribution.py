"""Attribution: one winner, whatever the order of the claims, and a reason for everyone else."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rekomi_mcp.domain.attribution import NO_CLAIM, Candidate, Decision, Evidence, decide, is_same_person


def claim(evidence: Evidence, affiliate: str, **more: Any) -> Candidate:
    return Candidate(evidence, affiliate, "program", more.pop("reference", f"{evidence}-of-{affiliate}"), **more)


def reasons(decision: Decision) -> dict[str, str]:
    """Why each claim won or lost, by its reference."""
    return {verdict.candidate.reference: verdict.reason for verdict in decision.verdicts}


@st.composite
def claims(draw: st.DrawFn) -> list[Candidate]:
    """Claims on one sale, of few affiliates so that they meet each other often."""
    number = draw(st.integers(0, 6))
    return [
        Candidate(
            evidence=draw(st.sampled_from(Evidence)),
            affiliate_id=draw(st.sampled_from("abc")),
            program_id="program",
            reference=f"claim-{index}",
            position=draw(st.integers(0, 2)),
            obstacle=draw(st.sampled_from([None, None, "affiliate_paused", "program_archived"])),
        )
        for index in range(number)
    ]


@given(claims(), st.randoms(use_true_random=False))
def test_the_order_of_the_claims_does_not_matter(given_claims: list[Candidate], random: Any) -> None:
    shuffled = list(given_claims)
    random.shuffle(shuffled)
    assert decide(shuffled) == decide(given_claims)


@given(claims())
def test_every_claim_gets_one_verdict_and_at_most_one_wins(given_claims: list[Candidate]) -> None:
    decision = decide(given_claims)
    judged = [verdict.candidate for verdict in decision.verdicts]
    assert sorted(judged, key=lambda c: c.reference) == given_claims
    assert [v.candidate for v in decision.verdicts if v.won] == ([decision.winner] if decision.winner else [])


@given(claims())
def test_somebody_wins_unless_an_obstacle_stands_before_all_who_may(given_claims: list[Candidate]) -> None:
    decision = decide(given_claims)
    bound = [c for c in given_claims if c.evidence is Evidence.Subscription]
    # Only whom the seller named goes before whom a subscription is bound to: when those cannot earn, nobody does.
    named = [c for c in given_claims if c.evidence is Evidence.Named]
    may = [*named, *sorted(bound, key=lambda c: (c.position, c.reference))[:1]] if bound else given_claims
    assert (decision.winner is None) == all(c.obstacle for c in may)
    if decision.winner is not None:
        assert decision.winner.obstacle is None
        assert decision.reason == decision.winner.evidence.value


@given(claims())
def test_every_reason_is_given_and_an_obstacle_is_named_as_it_is(given_claims: list[Candidate]) -> None:
    for verdict in decide(given_claims).verdicts:
        assert verdict.reason
        if verdict.candidate.obstacle is not None:
            assert (verdict.won, verdict.reason) == (False, verdict.candidate.obstacle)


@given(claims())
def test_nobody_wins_against_a_stronger_claim_of_another_affiliate(given_claims: list[Candidate]) -> None:
    strength = list(Evidence)
    winner = decide(given_claims).winner
    if winner is not None:
        able = [c for c in given_claims if c.obstacle is None]
        strongest = min(strength.index(c.evidence) for c in able)
        assert winner.affiliate_id in {c.affiliate_id for c in able if strength.index(c.evidence) == strongest}


def test_nobody_has_a_claim() -> None:
    assert decide([]) == Decision(None, NO_CLAIM, ())


@pytest.mark.parametrize(
    ("stronger", "weaker", "reason"),
    [
        (Evidence.Subscription, Evidence.Code, "subscription_already_bound"),
        (Evidence.Subscription, Evidence.Customer, "subscription_already_bound"),
        (Evidence.Subscription, Evidence.Lead, "subscription_already_bound"),
        (Evidence.Named, Evidence.Subscription, "weaker_than_named"),
        (Evidence.Named, Evidence.Code, "weaker_than_named"),
        (Evidence.Code, Evidence.Click, "weaker_than_code"),
        (Evidence.Click, Evidence.Customer, "weaker_than_click"),
        (Evidence.Code, Evidence.Customer, "weaker_than_code"),
        (Evidence.Code, Evidence.Lead, "weaker_than_code"),
        (Evidence.Customer, Evidence.Lead, "weaker_than_customer"),
    ],
)
def test_the_stronger_evidence_wins(stronger: Evidence, weaker: Evidence, reason: str) -> None:
    winner, loser = claim(stronger, "sarah"), claim(weaker, "bob")
    decision = decide([loser, winner])
    assert decision.winner == winner
    assert reasons(decision) == {winner.reference: stronger.value, loser.reference: reason}


def test_of_two_codes_the_first_of_stripes_discounts_wins() -> None:
    second = claim(Evidence.Code, "sarah", reference="promo_a", position=1)
    first = claim(Evidence.Code, "bob", reference="promo_b", position=0)
    decision = decide([second, first])
    assert decision.winner == first
    assert reasons(decision) == {"promo_b": "code", "promo_a": "later_code"}


def test_a_code_whose_coupon_yields_stands_behind_a_click_and_before_an_earlier_sale() -> None:
    code, click = claim(Evidence.Code, "sarah", overrides_clicks=False), claim(Evidence.Click, "bob")
    customer = claim(Evidence.Customer, "kim")
    decision = decide([customer, code, click])
    assert decision.winner == click
    assert reasons(decision)[code.reference] == "weaker_than_click"
    assert decide([customer, code]).winner == code


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("Jane@Example.com", "jane@example.com", True),
        ("jane+shop@example.com", "jane@example.com", True),
        ("jane@example.org", "jane@example.com", False),
        (None, "jane@example.com", False),
        (None, None, False),
    ],
)
def test_two_addresses_of_one_mailbox_are_one_person(one: str | None, other: str | None, same: bool) -> None:
    assert is_same_person(one, other) is same


def test_of_two_leads_the_older_wins() -> None:
    younger = claim(Evidence.Lead, "sarah", reference="lead_a", position=1)
    older = claim(Evidence.Lead, "bob", reference="lead_b", position=0)
    decision = decide([younger, older])
    assert decision.winner == older
    assert reasons(decision)["lead_a"] == "later_lead"


def test_a_bound_subscription_beats_a_foreign_code() -> None:
    bound, foreign = claim(Evidence.Subscription, "sarah"), claim(Evidence.Code, "bob")
    decision = decide([foreign, bound])
    assert decision.winner == bound
    assert reasons(decision)[foreign.reference] == "subscription_already_bound"


def test_the_bound_affiliates_own_code_is_named_as_the_evidence() -> None:
    bound = claim(Evidence.Subscription, "sarah")
    foreign = claim(Evidence.Code, "bob", position=0)
    own = claim(Evidence.Code, "sarah", position=1, code_id="code")
    decision = decide([bound, foreign, own])
    assert decision.winner == own
    assert decision.reason == "code"
    assert reasons(decision) == {
        own.reference: "code",
        bound.reference: "same_affiliate",
        foreign.reference: "subscription_already_bound",
    }


def test_a_weaker_claim_of_the_winner_is_no_rival() -> None:
    code, customer = claim(Evidence.Code, "sarah"), claim(Evidence.Customer, "sarah")
    assert reasons(decide([code, customer]))[customer.reference] == "same_affiliate"


def test_a_claim_with_an_obstacle_gives_way_to_the_next() -> None:
    paused = claim(Evidence.Code, "sarah", obstacle="affiliate_paused")
    customer = claim(Evidence.Customer, "bob")
    decision = decide([paused, customer])
    assert decision.winner == customer
    assert reasons(decision) == {paused.reference: "affiliate_paused", customer.reference: "customer"}


def test_when_nobody_can_earn_the_strongest_claims_obstacle_is_the_reason() -> None:
    lead = claim(Evidence.Lead, "bob", obstacle="program_archived")
    code = claim(Evidence.Code, "sarah", obstacle="affiliate_paused")
    decision = decide([lead, code])
    assert (decision.winner, decision.reason) == (None, "affiliate_paused")
