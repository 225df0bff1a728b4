"""Where suggestions for an argument come from while a person types it: the items of a list, read like any other read."""

from __future__ import annotations

from dataclasses import dataclass

from rekomi_mcp.operation import AnyOperation
from rekomi_mcp.tools.affiliate_codes import LIST_AFFILIATE_CODES
from rekomi_mcp.tools.affiliates import LIST_AFFILIATES
from rekomi_mcp.tools.conversions import LIST_CONVERSIONS
from rekomi_mcp.tools.programs import LIST_PROGRAMS


@dataclass(frozen=True, slots=True, kw_only=True)
class Suggestions:
    """What to offer for an argument."""

    source: AnyOperation
    """The list whose items hold the values."""
    fields: tuple[str, ...]
    """Fields of an item by their wire names; the first that is not empty is the value."""
    search: str | None = None
    """The list's argument that finds what was typed. Without one, only what begins with it is found, among the newest."""


AFFILIATES = Suggestions(source=LIST_AFFILIATES, fields=("fullName", "email"), search="q")
AFFILIATE_IDS = Suggestions(source=LIST_AFFILIATES, fields=("id",), search="q")
"""A name finds the id as well."""
PROGRAM_IDS = Suggestions(source=LIST_PROGRAMS, fields=("id",))
CODES = Suggestions(source=LIST_AFFILIATE_CODES, fields=("code",))
SALES = Suggestions(source=LIST_CONVERSIONS, fields=("externalEventId",))
CONVERSION_IDS = Suggestions(source=LIST_CONVERSIONS, fields=("id",))
