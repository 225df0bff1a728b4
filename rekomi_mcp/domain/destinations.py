"""Where affiliates' links lead: which addresses they may lead to, and what is told there of who sent the visitor."""

import re
from collections.abc import Iterable
from typing import Final

SLUG_PARAMETER: Final = "via"
CLICK_PARAMETER: Final = "rk_click"
_ADDRESS: Final = re.compile(
    r"(?P<scheme>https?)://(?P<host>[A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?(?:[/?#][^\\]*)?"
)
"""Without a name and password before the host, which only mislead a reader about where it leads."""
_THIS_MACHINE: Final = frozenset({"localhost", "127.0.0.1", "[::1]"})


def may_lead_to(address: str) -> bool:
    """Whether visitors may be sent there: over https, and without it only to this machine."""
    found = _ADDRESS.fullmatch(address)
    return found is not None and (found["scheme"] == "https" or found["host"].lower() in _THIS_MACHINE)


def with_parameters(address: str, encoded: Iterable[tuple[str, str]]) -> str:
    """The address with these query parameters, in place of its own of the same names. Values are percent-encoded."""
    wanted = dict(encoded)
    rest, hash_sign, fragment = address.partition("#")
    base, _, query = rest.partition("?")
    kept = [part for part in query.split("&") if part and part.partition("=")[0] not in wanted]
    pairs = [f"{name}={value}" for name, value in wanted.items()]
    return f"{base}?{'&'.join([*kept, *pairs])}{hash_sign}{fragment}"
