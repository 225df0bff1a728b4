"""What an assistant can read by its address: the guide, and the answers of some reads."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from urllib.parse import unquote

from rekomi_mcp.operation import AnyOperation, Catalogue
from rekomi_mcp.tools.affiliates import GET_AFFILIATE
from rekomi_mcp.tools.attribution import EXPLAIN_ATTRIBUTION
from rekomi_mcp.tools.conversions import GET_CONVERSION
from rekomi_mcp.tools.guide import GUIDE_TEXT
from rekomi_mcp.tools.organization import GET_ORGANIZATION
from rekomi_mcp.tools.programs import GET_PROGRAM, LIST_PROGRAMS
from rekomi_mcp.tools.suggestions import AFFILIATE_IDS, CONVERSION_IDS, PROGRAM_IDS, Suggestions

MAX_URI_LENGTH = 512
_PARAMETER = re.compile(r"{(\w+)}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """Something with an address: a text that is the same for everybody, or what a read answers.

    An address with braces is a template, and what stands in the braces are arguments of the read, by their wire names.
    """

    uri: str
    name: str
    title: str
    description: str
    operation: AnyOperation | None = None
    text: str | None = None
    """Markdown."""
    suggestions: Mapping[str, Suggestions] = field(default_factory=dict[str, Suggestions])
    """By parameter."""

    def __post_init__(self) -> None:
        assert (self.operation is None) is not (self.text is None), f"{self.uri}: either a read or a text"
        assert self.operation is None or self.operation.reads, f"{self.uri}: reading must change nothing"
        assert set(self.suggestions) <= set(self.parameters), self.uri

    @property
    def parameters(self) -> list[str]:
        return _PARAMETER.findall(self.uri)

    def offered(self, catalogue: Catalogue) -> bool:
        """Whether there is something to read behind it."""
        return self.operation is None or catalogue.exposes(self.operation)

    def arguments(self, uri: str) -> dict[str, str] | None:
        """The arguments in an address, or None when it is not of this resource."""
        if len(uri) > MAX_URI_LENGTH:  # before any look at its characters
            return None
        found = _pattern(self.uri).fullmatch(uri)
        return None if found is None else {name: unquote(value) for name, value in found.groupdict().items()}


@cache
def _pattern(template: str) -> re.Pattern[str]:
    # The parts are by turns literal text and the name of a parameter.
    parts = _PARAMETER.split(template)
    return re.compile("".join(f"(?P<{p}>[^/?#]+)" if n % 2 else re.escape(p) for n, p in enumerate(parts)))


RESOURCES = (
    Resource(
        uri="rekomi://guide",
        name="guide",
        title="How it works",
        description="The words, the money, the statuses and the rules of this server on two pages.",
        text=GUIDE_TEXT,
    ),
    Resource(
        uri="rekomi://organization",
        name="organization",
        title="Organization",
        description="The organization's profile: name, brand, plan, hold period and home currency.",
        operation=GET_ORGANIZATION,
    ),
    Resource(
        uri="rekomi://programs",
        name="programs",
        title="Programs",
        description="The newest programs with their commission terms; for the others call list_programs.",
        operation=LIST_PROGRAMS,
    ),
    Resource(
        uri="rekomi://programs/{programId}",
        name="program",
        title="Program",
        description="One program's terms.",
        operation=GET_PROGRAM,
        suggestions={"programId": PROGRAM_IDS},
    ),
    Resource(
        uri="rekomi://affiliates/{affiliateId}",
        name="affiliate",
        title="Affiliate",
        description="One affiliate with links, tags and custom commission.",
        operation=GET_AFFILIATE,
        suggestions={"affiliateId": AFFILIATE_IDS},
    ),
    Resource(
        uri="rekomi://conversions/{conversionId}",
        name="conversion",
        title="Conversion",
        description="One credited sale with everything that happened to it.",
        operation=GET_CONVERSION,
        suggestions={"conversionId": CONVERSION_IDS},
    ),
    Resource(
        uri="rekomi://conversions/{conversionId}/explanation",
        name="explanation",
        title="Why a sale was credited",
        description="Every claim on one credited sale, the rule, the evidence and the terms.",
        operation=EXPLAIN_ATTRIBUTION,
        suggestions={"conversionId": CONVERSION_IDS},
    ),
)
