"""What a visit tells of where it came from, taken from headers that anybody may write."""

import re
from typing import Final

from rekomi_mcp.domain.text import clean

DESKTOP: Final = "Desktop"
MOBILE: Final = "Mobile"
TABLET: Final = "Tablet"
BOT: Final = "Bot"
MAX_LABEL: Final = 100
LABELS: Final = ("utm_source", "utm_medium", "utm_campaign", "utm_term", "utm_content", "sub_id")
"""What affiliates write into their links to tell them apart, passed on to the brand's site."""
_BOT: Final = re.compile(
    r"""(?<!cu)bot(?![a-z])|crawl|spider|slurp|preview|scan|monitor|fetch|facebookexternal|facebookcatalog|meta-external
    |whatsapp/|skypeuri|embedly|quora\ link|pinterest/|vkshare|outbrain|w3c_validator|lighthouse|headless|phantomjs
    |curl|wget|python|httpx|aiohttp|libwww|okhttp|java/|go-http|node-fetch|axios|ruby|perl|php/|postman|insomnia""",
    re.VERBOSE,
)
"""Programs that follow links; not Cubot, which makes telephones."""
_TABLET: Final = re.compile(r"ipad|tablet|playbook|kindle|silk/|android(?!.*mobile)")
_MOBILE: Final = re.compile(r"mobi|iphone|ipod|android|windows phone|opera mini")
_HOST: Final = re.compile(r"https?://(?:[^/?#@]*@)?([a-z0-9.-]{1,253})(?::[0-9]+)?(?:[/?#]|$)")
_COUNTRY: Final = re.compile(r"[A-Z]{2}")
_NO_COUNTRY: Final = frozenset({"XX", "ZZ"})
"""What proxies say when they do not know."""
_VISITOR: Final = re.compile(r"[A-Za-z0-9_-]{16,64}")


def device_of(user_agent: str) -> str:
    """`Desktop`, `Mobile`, `Tablet` or, for programs and for who does not say, `Bot`."""
    agent = user_agent[:500].lower()
    if not agent.strip() or _BOT.search(agent):
        return BOT
    if _TABLET.search(agent):
        return TABLET
    return MOBILE if _MOBILE.search(agent) else DESKTOP


def host_of(address: str) -> str | None:
    """The host of a page's address; the rest of it is nobody's business."""
    found = _HOST.match(address[:2000].lower())
    return found[1].strip(".") or None if found else None


def country_of(text: str) -> str | None:
    """Two capital letters, or None."""
    code = text.strip().upper()
    return code if _COUNTRY.fullmatch(code) and code not in _NO_COUNTRY else None


def label_of(text: str) -> str | None:
    """A label as it may be kept: one line, not too long."""
    return clean(text[: 4 * MAX_LABEL])[:MAX_LABEL].strip() or None


def is_visitor_id(text: str) -> bool:
    """Whether it has the shape of a visitor's id. They are random, so its holder was given it."""
    return _VISITOR.fullmatch(text) is not None
