"""Links and clicks: a slug leads to one link for ever, and a visitor's clicks come back in order, without bots."""

from __future__ import annotations

import pytest
from sqlmodel import Session

from rekomi_mcp.storage import clicks, links
from rekomi_mcp.storage.engine import Store
from rekomi_mcp.storage.tables import AffiliateLinkRow, ClickRow
from tests.storage.support import at
from tests.support.world import Brand, World


def link_of(session: Session, brand: Brand) -> AffiliateLinkRow:
    return links.of_affiliates(session, brand.id, [brand.affiliate])[brand.affiliate][0]


def new_link(brand: Brand, slug: str) -> AffiliateLinkRow:
    return AffiliateLinkRow(
        organization_id=brand.id,
        affiliate_id=brand.affiliate,
        slug=slug,
        is_default=False,
        format="Short",
        created_at=at(0),
    )


def rename(session: Session, brand: Brand, slug: str) -> AffiliateLinkRow:
    link = link_of(session, brand)
    assert links.claim_slug(session, link, slug, at(1))
    link.slug = slug
    session.flush()
    return link


def click(session: Session, brand: Brand, visitor: str, minute: float, device: str = "Mobile") -> str:
    row = ClickRow(
        organization_id=brand.id,
        program_id=brand.program,
        affiliate_id=brand.affiliate,
        link_id=link_of(session, brand).id,
        visitor_id=visitor,
        device=device,
        occurred_at=at(minute),
    )
    session.add(row)
    session.flush()
    return row.id


def test_a_link_answers_to_its_slug_and_to_those_it_had(store: Store, world: World) -> None:
    with store.writing() as session:
        old = link_of(session, world.acme).slug
        link = rename(session, world.acme, "sarah-2")
        found = links.by_slugs(session, world.acme.id, [old, "sarah-2", "nobody"])
        assert found == {old: link, "sarah-2": link}
        led = links.targets(session, [old, "sarah-2", "nobody"])
        assert {slug: (target.link_id, target.slug) for slug, target in led.items()} == {
            old: (link.id, "sarah-2"),
            "sarah-2": (link.id, "sarah-2"),
        }
        assert links.targets(session, [old], of_program=world.acme.program).keys() == {old}
        assert links.targets(session, [old], of_program=world.neighbour.program) == {}
        assert links.taken_slugs(session, [old, "sarah-2", "nobody"]) == {old, "sarah-2"}


def test_a_link_may_take_back_a_slug_it_had_and_no_other_link_may(store: Store, world: World) -> None:
    with store.writing() as session:
        old = link_of(session, world.acme).slug
        rename(session, world.acme, "sarah-2")
        other = new_link(world.acme, "another")
        session.add(other)
        session.flush()
        assert links.claim_slug(session, other, "another", at(2))
        assert not links.claim_slug(session, other, old, at(2))
        rename(session, world.acme, old)


def test_a_slug_of_another_organization_leads_nowhere(store: Store, world: World) -> None:
    with store.reading() as session:
        slug = link_of(session, world.neighbour).slug
        assert links.by_slugs(session, world.acme.id, [slug]) == {}
        assert links.by_slugs(session, world.neighbour.id, [slug]) != {}
        assert links.of_affiliates(session, world.acme.id, [world.neighbour.affiliate]) == {}
        assert links.get(session, world.acme.id, link_of(session, world.neighbour).id) is None


@pytest.mark.parametrize("nothing", [[], ["nobody"]])
def test_who_asks_for_nothing_known_gets_nothing(store: Store, world: World, nothing: list[str]) -> None:
    with store.reading() as session:
        assert links.by_slugs(session, world.acme.id, nothing) == {}
        assert links.of_affiliates(session, world.acme.id, nothing) == {}
        assert clicks.by_ids(session, world.acme.id, nothing) == {}
        assert clicks.of_visitors(session, world.acme.id, nothing, at(0)) == {}


def test_clicks_are_found_by_id_within_their_organization(store: Store, world: World) -> None:
    with store.writing() as session:
        mine, theirs = click(session, world.acme, "v1", 0), click(session, world.neighbour, "v1", 0)
        assert set(clicks.by_ids(session, world.acme.id, [mine, theirs])) == {mine}


def test_a_visitors_clicks_come_oldest_first_without_bots_and_without_the_old(store: Store, world: World) -> None:
    with store.writing() as session:
        late, early = click(session, world.acme, "v1", 9), click(session, world.acme, "v1", 5)
        click(session, world.acme, "v1", 4.9)
        click(session, world.acme, "v1", 6, device="Bot")
        click(session, world.neighbour, "v1", 6)
        other = click(session, world.acme, "v2", 7)
        found = clicks.of_visitors(session, world.acme.id, ["v1", "v2", "v3"], since=at(5))
        assert {visitor: [row.id for row in rows] for visitor, rows in found.items()} == {
            "v1": [early, late],
            "v2": [other],
        }
