"""Which query parameters name an affiliate: those that every platform uses, and a brand's own before them."""

import re
from collections.abc import Sequence
from typing import Final

from rekomi_mcp.domain.errors import AttributionParamsTooLong, InvalidAttributionParam, TooManyAttributionParams

DEFAULTS: Final = tuple(
    """via ref fpr aff rfsn a_aid awc sscid cjevent irclickid partner_key affid affiliate_id affcode idev mbsy""".split()
)
MAX_CUSTOM_ENTRIES: Final = 10
MAX_TOTAL_CHARS: Final = 256
MIN_PARAM_LENGTH: Final = 2
MAX_PARAM_LENGTH: Final = 32
_PARAM: Final = re.compile(rf"[a-z0-9_-]{{{MIN_PARAM_LENGTH},{MAX_PARAM_LENGTH}}}")


def parse(text: str) -> list[str]:
    """A brand's own parameters from `my_aff,brand_ref`, each once.

    Raises:
        AttributionParamsTooLong: more than 256 characters.
        TooManyAttributionParams: more than ten.
        InvalidAttributionParam: naming the entries that are none.
    """
    if len(text) > MAX_TOTAL_CHARS:
        raise AttributionParamsTooLong(
            f"The list is longer than {MAX_TOTAL_CHARS} characters. Leave some out.", field="custom"
        )
    entries = list(dict.fromkeys(entry for part in text.split(",") if (entry := part.strip())))
    if len(entries) > MAX_CUSTOM_ENTRIES:
        raise TooManyAttributionParams(
            f"There are {len(entries)} entries; at most {MAX_CUSTOM_ENTRIES} may be given.", field="custom"
        )
    invalid = [entry for entry in entries if not _PARAM.fullmatch(entry)]
    if invalid:
        raise InvalidAttributionParam(
            f"Each entry has {MIN_PARAM_LENGTH} to {MAX_PARAM_LENGTH} of a-z, 0-9, _ and -, for example my_aff,brand_ref.",
            field="custom",
            invalid=invalid,
        )
    return entries


def kept(text: str | None) -> list[str]:
    """The brand's own parameters as they are stored, without any that could not be one."""
    return [entry for entry in (text or "").split(",") if _PARAM.fullmatch(entry)][:MAX_CUSTOM_ENTRIES]


def effective(own: Sequence[str]) -> list[str]:
    """The order in which an address is searched: the brand's own first, each name once."""
    return list(dict.fromkeys([*own, *DEFAULTS]))
