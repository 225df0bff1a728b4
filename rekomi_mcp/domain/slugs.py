"""Slugs of programs and of affiliate links."""

import re
import unicodedata
from typing import Final

SLUG_PATTERN: Final = r"^[a-z0-9](?:[a-z0-9-]{1,62}[a-z0-9])$"
RESERVED: Final = frozenset(
    """about account admin affiliate affiliates api app apply assets audit auth billing blog brand brands campaign
    campaigns checkout code codes contact coupon coupons dashboard default-link demo docs download embed favicon health
    healthz help home invite invites join legal link links login logout lead leads mail mcp me metrics new null oauth
    openapi organization organizations payout payouts ping postback press pricing privacy program programs public r
    recruit refund rekomi root s2s sandbox search security settings signin signup sitemap static status stripe support
    system team terms test token tokens tracking undefined user users webhook webhooks well-known www""".split()
)
"""Words that stand for a page or a route, or that would mislead a customer in a link."""


def is_valid(slug: str) -> bool:
    return re.fullmatch(SLUG_PATTERN, slug) is not None


def slugify(text: str) -> str:
    """The nearest valid slug, `sarah-lee` for "Sarah Lée"; empty when no Latin letter or digit is left of it."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    slug = re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:48].strip("-")
    return slug if len(slug) >= 3 else (f"{slug}-link" if slug else "")
