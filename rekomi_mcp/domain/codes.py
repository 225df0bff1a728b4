"""The text of an affiliate code: what is allowed, and what to offer when none is given or one is taken."""

import re
import unicodedata
from collections.abc import Iterator, Sequence
from typing import Final

CODE_PATTERN: Final = r"^[A-Z0-9_-]{3,32}$"
_SUFFIX_ALPHABET: Final = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"
"""Without I, O, 0 and 1, which listeners of a podcast cannot tell apart."""


def normalise(text: str) -> str:
    """Codes are compared and stored in upper case."""
    return text.strip().upper()


def is_valid(code: str) -> bool:
    return re.fullmatch(CODE_PATTERN, code) is not None


def dashed(code: str) -> str:
    """The same code in characters that Stripe is sure to accept."""
    return code.replace("_", "-")


def base_code(full_name: str, email: str, discount: str) -> str:
    """The code an owner would pick: first name and discount, `SARAH20`.

    Args:
        full_name: of the affiliate; may be empty or in any script.
        email: used when the name has no Latin letters.
        discount: the digits of the discount, "20" for 20 % off.
    """
    name = _latin(full_name.split(" ")[0]) if full_name else ""
    stem = (name or _latin(email.partition("@")[0]) or "CODE")[: 24 - len(discount)]
    return (stem + discount).ljust(3, "0")


def candidates(base: str, random_indexes: Sequence[int]) -> Iterator[str]:
    """The base itself, then the base with ever longer random suffixes.

    Args:
        random_indexes: uniformly random non-negative integers, from the caller, so that this stays pure.
    """
    yield base
    letters = "".join(_SUFFIX_ALPHABET[i % len(_SUFFIX_ALPHABET)] for i in random_indexes)
    for start, length in ((0, 2), (2, 3), (5, 4), (9, 6)):
        if start + length <= len(letters):
            yield f"{base}-{letters[start : start + length]}"


def _latin(text: str) -> str:
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    return re.sub(r"[^A-Z0-9]", "", plain.upper())
