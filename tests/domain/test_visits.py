"""What headers tell of a visit, and where links may lead."""

from __future__ import annotations

import pytest

from rekomi_mcp.domain.destinations import may_lead_to, with_parameters
from rekomi_mcp.domain.visits import country_of, device_of, host_of, is_visitor_id, label_of

CHROME = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36"


@pytest.mark.parametrize(
    ("agent", "device"),
    [
        (CHROME, "Desktop"),
        ("Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) Version/18.0 Safari/605.1.15", "Desktop"),
        ("Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) Mobile/15E148 Safari/604.1", "Mobile"),
        ("Mozilla/5.0 (iPhone; CPU iPhone OS 18_0) Mobile/15E148 [FBAN/FBIOS;FBAV/480.0]", "Mobile"),
        ("Mozilla/5.0 (Linux; Android 15; Pixel 9) Chrome/140.0.0.0 Mobile Safari/537.36", "Mobile"),
        ("Mozilla/5.0 (Linux; Android 14; CUBOT KINGKONG) Chrome/140.0.0.0 Mobile Safari/537.36", "Mobile"),
        ("Mozilla/5.0 (Linux; Android 15; SM-X710) Chrome/140.0.0.0 Safari/537.36", "Tablet"),
        ("Mozilla/5.0 (iPad; CPU OS 18_0 like Mac OS X) Mobile/15E148", "Tablet"),
        ("Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)", "Bot"),
        ("Mozilla/5.0 (compatible; bingbot/2.0)", "Bot"),
        ("facebookexternalhit/1.1", "Bot"),
        ("Slackbot-LinkExpanding 1.0 (+https://api.slack.com/robots)", "Bot"),
        ("Mozilla/5.0 (compatible; Discordbot/2.0; +https://discordapp.com)", "Bot"),
        ("WhatsApp/2.23.20.0", "Bot"),
        ("TelegramBot (like TwitterBot)", "Bot"),
        (CHROME.replace("Chrome", "HeadlessChrome"), "Bot"),
        ("curl/8.5.0", "Bot"),
        ("python-httpx/0.28", "Bot"),
        ("", "Bot"),
        ("  ", "Bot"),
        ("x" * 100_000, "Desktop"),
    ],
)
def test_a_device_is_told_by_its_user_agent(agent: str, device: str) -> None:
    assert device_of(agent) == device


@pytest.mark.parametrize(
    ("referrer", "host"),
    [
        ("https://www.YouTube.com/watch?v=1", "www.youtube.com"),
        ("http://blog.example:8080/post", "blog.example"),
        ("https://blog.example", "blog.example"),
        ("https://name:word@blog.example/x", "blog.example"),
        ("https://blog.example.", "blog.example"),
        ("android-app://com.reddit.frontpage/", None),
        ("about:blank", None),
        ("https://", None),
        ("https:///x", None),
        ("https://b\u043bog.example/", None),
        ("blog.example", None),
        ("", None),
    ],
)
def test_of_a_referrer_only_the_host_is_kept(referrer: str, host: str | None) -> None:
    assert host_of(referrer) == host


@pytest.mark.parametrize(
    ("text", "code"), [("DE", "DE"), (" de ", "DE"), ("XX", None), ("T1", None), ("DEU", None), ("", None)]
)
def test_a_country_is_two_letters(text: str, code: str | None) -> None:
    assert country_of(text) == code


@pytest.mark.parametrize(("text", "label"), [("spring", "spring"), (" a\n\x00b ", "a b"), ("", None), ("\u202e", None)])
def test_a_label_is_a_clean_line(text: str, label: str | None) -> None:
    assert label_of(text) == label
    assert len(label_of("x" * 10_000) or "") == 100


def test_a_visitors_id_is_long_enough_not_to_be_guessed() -> None:
    assert is_visitor_id("0123456789abcdef")
    assert not any(map(is_visitor_id, ("", "short", "x" * 65, "0123456789abcde ", "0123456789abcdef\n")))


@pytest.mark.parametrize(
    ("address", "may"),
    [
        ("https://shop.example", True),
        ("https://shop.example:8443/a?b=c#d", True),
        ("https://shop.example?b=c", True),
        ("http://localhost:3000/", True),
        ("http://127.0.0.1/", True),
        ("http://[::1]:80/", True),
        ("http://shop.example", False),
        ("http://127.0.0.1.evil.example", False),
        ("https://a@shop.example", False),
        ("https://shop.example/\\evil.example", False),
        ("https://shop.example\n.evil.example", False),
        ("https:shop.example", False),
        ("HTTPS://shop.example", False),
        ("ftp://shop.example", False),
    ],
)
def test_links_lead_to_https_or_to_this_machine(address: str, may: bool) -> None:
    assert may_lead_to(address) is may


@pytest.mark.parametrize(
    ("address", "result"),
    [
        ("https://shop.example", "https://shop.example?via=sarah&utm_source=x"),
        ("https://shop.example/?a=1&via=tom#top", "https://shop.example/?a=1&via=sarah&utm_source=x#top"),
        ("https://shop.example/?", "https://shop.example/?via=sarah&utm_source=x"),
    ],
)
def test_parameters_are_added_to_those_an_address_has(address: str, result: str) -> None:
    assert with_parameters(address, [("via", "sarah"), ("utm_source", "x")]) == result
