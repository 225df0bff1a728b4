"""What must hold in a visitor's browser. Each check is given a browser that nobody has used yet."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from tests.outside.browser.brand import Brand

Page = Any
"""A page of Playwright's, which only this part of the tests needs to have installed."""
KNOWN = "() => window.Rekomi && Rekomi.reference()"
LOADED = "() => window.Rekomi && Rekomi.ready.then(() => true)"
PAY, OWN, BUTTON = "#pay", "#own", "#button"


def cookie(page: Page) -> dict[str, Any] | None:
    """What the script remembers on the brand's site, with the cookie's own properties."""
    for found in page.context.cookies():
        if found["name"] == "rk_ref":
            return {**json.loads(unquote(found["value"])), "cookie": found}
    return None


def reference_in(page: Page, selector: str) -> str | None:
    address = page.get_attribute(selector, "href") or ""
    return parse_qs(urlsplit(address).query).get("client_reference_id", [None])[0]


def visit(page: Page, address: str, until: str = LOADED) -> None:
    page.goto(address)
    page.wait_for_function(until)


def a_link_is_followed_to_the_site_and_remembered_there(page: Page, brand: Brand) -> None:
    visit(page, f"{brand.url}/r/sarah-lee?utm_source=yt&sub_id=video%207", KNOWN)
    page.wait_for_function("() => !location.search.includes('rk_click')")
    assert page.url == f"{brand.site}?via=sarah-lee&utm_source=yt&sub_id=video%207", page.url
    kept = cookie(page)
    assert kept is not None
    assert (kept["slug"], kept["clickId"]) == ("sarah-lee", page.evaluate("Rekomi.reference()"))
    assert page.evaluate("Rekomi.slug()") == "sarah-lee"
    assert kept["cookie"]["sameSite"] == "Lax"
    own = [c for c in page.context.cookies() if c["name"] == "rk_visitor"]
    assert [(c["httpOnly"], c["path"], c["value"]) for c in own] == [(True, "/r/", kept["visitorId"])]
    counted = brand.ask("GET", "clicks", groupBy="subId")
    assert [(item["key"], item["clicks"]) for item in counted["items"]] == [("video 7", 1)], counted


def what_goes_to_stripe_carries_the_click(page: Page, brand: Brand) -> None:
    visit(page, f"{brand.url}/r/sarah-lee", KNOWN)
    click = page.evaluate("Rekomi.reference()")
    page.wait_for_selector(f"{PAY}[data-rekomi]")
    assert reference_in(page, PAY) == click
    assert "prefilled_email=a%40b.example" in page.get_attribute(PAY, "href")
    assert reference_in(page, OWN) == "mine"
    assert page.get_attribute("#other", "href") == "https://elsewhere.example/"
    assert page.get_attribute(BUTTON, "client-reference-id") == click
    page.evaluate(
        "document.body.insertAdjacentHTML('beforeend', '<a id=late href=\"https://buy.stripe.com/x\">Buy</a>')"
    )
    page.wait_for_selector("#late[data-rekomi]")
    assert reference_in(page, "#late") == click
    visit(page, f"{brand.site}another/page", KNOWN)
    page.wait_for_selector(f"{PAY}[data-rekomi]")
    assert reference_in(page, PAY) == click


def a_signup_on_the_page_is_a_lead_of_the_affiliate(page: Page, brand: Brand) -> None:
    visit(page, f"{brand.url}/r/tom-ray", KNOWN)
    visit(page, f"{brand.site}signup", KNOWN)
    assert page.evaluate("Rekomi.convert({email: 'kim@example.com', name: 'Kim Doe'})") is True
    assert page.evaluate("Rekomi.identify('lee@example.com')") is True
    for none in ("kim", "@", "kim@", "@example.com", "kim@example"):
        assert page.evaluate("none => Rekomi.convert({email: none})", none) is False, none
    leads = {lead["email"]: lead for lead in brand.ask("GET", "leads")["items"]}
    kim, lee = leads["kim@example.com"], leads["lee@example.com"]
    assert (kim["affiliateName"], kim["name"], kim["source"]) == ("Tom Ray", "Kim Doe", "Browser")
    assert lee["affiliateName"] == "Tom Ray"


def who_came_by_themselves_is_nobodys(page: Page, brand: Brand) -> None:
    visit(page, f"{brand.site}?ref=producthunt&via=")
    assert page.evaluate("[Rekomi.reference(), Rekomi.slug()]") == [None, None]
    assert page.evaluate("Rekomi.convert({email: 'nobody@example.com'})") is False
    assert (cookie(page), reference_in(page, PAY)) == (None, None)
    leads = brand.ask("GET", "leads")["items"]
    assert "nobody@example.com" not in {lead["email"] for lead in leads}


def a_parameter_of_the_brands_own_names_an_affiliate(page: Page, brand: Brand) -> None:
    brand.ask("PATCH", "settings/attribution-params", custom="my_aff")
    try:
        visit(page, f"{brand.site}?via=sarah-lee&my_aff=Tom-Ray", KNOWN)
        assert page.evaluate("Rekomi.slug()") == "tom-ray"
    finally:
        brand.ask("PATCH", "settings/attribution-params", custom=None)


def by_last_touch_the_newest_affiliate_counts(page: Page, brand: Brand) -> None:
    brand.change_program(attributionModel="LastTouch")
    visit(page, f"{brand.site}?via=sarah-lee", KNOWN)
    first = cookie(page)
    visit(page, f"{brand.site}?ref=tom-ray")
    second = cookie(page)
    assert first is not None
    assert second is not None
    assert (first["slug"], second["slug"]) == ("sarah-lee", "tom-ray")
    assert first["visitorId"] == second["visitorId"]


def by_first_touch_the_first_affiliate_stays(page: Page, brand: Brand) -> None:
    brand.change_program(attributionModel="FirstTouch", cookieWindowDays=7)
    try:
        visit(page, f"{brand.site}?via=sarah-lee", KNOWN)
        first = cookie(page)
        visit(page, f"{brand.site}?via=tom-ray")
        assert first is not None
        assert cookie(page) == first
        days = (first["cookie"]["expires"] * 1000 - first["at"]) / 86_400_000
        assert 6.9 < days < 7.1, days
        page.context.clear_cookies(name="rk_ref")
        visit(page, f"{brand.site}?via=tom-ray", KNOWN)
        assert page.evaluate("Rekomi.slug()") == "tom-ray"
    finally:
        brand.change_program(attributionModel="LastTouch", cookieWindowDays=60)


def a_page_that_is_loaded_again_is_no_new_visit(page: Page, brand: Brand) -> None:
    visit(page, f"{brand.site}?via=sarah-lee&sub_id=again", KNOWN)
    click = page.evaluate("Rekomi.reference()")
    for _ in range(2):
        page.reload()
        page.wait_for_function(KNOWN)
    assert page.evaluate("Rekomi.reference()") == click
    counted = {item["key"]: item["clicks"] for item in brand.ask("GET", "clicks", groupBy="subId")["items"]}
    assert counted["again"] == 1, counted


def a_page_that_is_prepared_ahead_is_no_visit_until_it_is_seen(page: Page, brand: Brand) -> None:
    page.add_init_script("Object.defineProperty(document, 'prerendering', {value: true, configurable: true})")
    page.goto(f"{brand.site}?via=sarah-lee&sub_id=ahead")
    page.wait_for_function("() => window.Rekomi")
    page.wait_for_timeout(300)
    assert (page.evaluate("Rekomi.slug()"), cookie(page)) == (None, None)
    page.evaluate("document.dispatchEvent(new Event('prerenderingchange'))")
    page.wait_for_function(LOADED)
    assert page.evaluate("Rekomi.slug()") == "sarah-lee"
    counted = {item["key"]: item["clicks"] for item in brand.ask("GET", "clicks", groupBy="subId")["items"]}
    assert counted["ahead"] == 1, counted


def the_sites_of_one_domain_know_the_same_visitor(page: Page, brand: Brand) -> None:
    visit(page, f"http://www.shop.localhost:{brand.port}/?via=sarah-lee", KNOWN)
    click = page.evaluate("Rekomi.reference()")
    visit(page, f"http://app.shop.localhost:{brand.port}/", KNOWN)
    assert page.evaluate("Rekomi.reference()") == click


def without_cookies_the_page_still_knows(page: Page, brand: Brand) -> None:
    page.add_init_script(
        "Object.defineProperty(Document.prototype, 'cookie', {get() { throw new Error('refused'); }, "
        "set() { throw new Error('refused'); }})"
    )
    visit(page, f"{brand.url}/r/sarah-lee", KNOWN)
    page.wait_for_selector(f"{PAY}[data-rekomi]")
    assert reference_in(page, PAY) == page.evaluate("Rekomi.reference()")


def the_script_twice_on_a_page_is_once(page: Page, brand: Brand) -> None:
    visit(page, f"{brand.site}?via=sarah-lee", KNOWN)
    click = page.evaluate("Rekomi.reference()")
    page.add_script_tag(url=f"{brand.url}/api/v1/r/loader.js")
    assert page.evaluate("Rekomi.reference()") == click


def odd_calls_do_not_throw(page: Page, brand: Brand) -> None:
    visit(page, f"{brand.site}?via=%E0%A4%A&rk_click=%&ref={'x' * 500}")
    page.evaluate("document.cookie = 'rk_ref=nonsense; path=/'")
    visit(page, brand.site)
    for odd in ("undefined", "null", "7", "[]", "{}", "{email: null}", "{email: {}}", "''"):
        assert page.evaluate(f"Promise.resolve(Rekomi.convert({odd})).then(x => x === false || x === null)"), odd


RUNNING = (
    a_link_is_followed_to_the_site_and_remembered_there,
    what_goes_to_stripe_carries_the_click,
    a_signup_on_the_page_is_a_lead_of_the_affiliate,
    who_came_by_themselves_is_nobodys,
    a_parameter_of_the_brands_own_names_an_affiliate,
    by_last_touch_the_newest_affiliate_counts,
    by_first_touch_the_first_affiliate_stays,
    a_page_that_is_loaded_again_is_no_new_visit,
    a_page_that_is_prepared_ahead_is_no_visit_until_it_is_seen,
    the_sites_of_one_domain_know_the_same_visitor,
    without_cookies_the_page_still_knows,
    the_script_twice_on_a_page_is_once,
    odd_calls_do_not_throw,
)


def come_by_a_link(page: Page, brand: Brand) -> None:
    """While the server runs: a visitor who has come by a link, and whose browser keeps the script."""
    visit(page, f"{brand.url}/r/sarah-lee", KNOWN)


def without_the_server_a_visitor_is_still_known(page: Page, brand: Brand) -> None:
    click = cookie(page)
    assert click is not None
    visit(page, f"{brand.site}?via=tom-ray", KNOWN)
    assert page.evaluate("Rekomi.reference()") == click["clickId"]
    assert page.evaluate("Rekomi.convert({email: 'late@example.com'})") is False
    assert reference_in(page, PAY) == click["clickId"]
    page.context.clear_cookies()
    visit(page, f"{brand.site}?via=tom-ray&rk_click=0190-of-the-redirect", KNOWN)
    assert page.evaluate("[Rekomi.slug(), Rekomi.reference()]") == ["tom-ray", "0190-of-the-redirect"]
    assert cookie(page) is None


def without_the_script_the_page_works(page: Page, brand: Brand) -> None:
    page.goto(f"{brand.site}?via=tom-ray")
    page.wait_for_load_state()
    assert page.title() == "Shop"
    assert page.evaluate("typeof window.Rekomi") == "undefined"
