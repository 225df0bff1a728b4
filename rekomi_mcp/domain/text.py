"""Clean text that people outside the organization may have written, before it is stored or shown."""

import unicodedata

_JOINERS = {"\u200c", "\u200d"}
"""Invisible, but some scripts and emoji are misspelt without them."""
_BLANKS = {"\u034f", "\u115f", "\u1160", "\u2800", "\u3164", "\uffa0"}
"""Letters and marks that are drawn as nothing."""


def clean(text: str) -> str:
    """One line of visible text: no control or bidirectional characters, no runs of white space.

    Text without a single visible character becomes empty.
    """
    normal = unicodedata.normalize("NFC", text)
    kept = "".join(c if c in _JOINERS or unicodedata.category(c)[0] != "C" else " " for c in normal)
    return " ".join(kept.split()) if any(_is_visible(c) for c in kept) else ""


def _is_visible(character: str) -> bool:
    if character.isspace() or character in _JOINERS or character in _BLANKS:
        return False
    return not unicodedata.name(character, "").startswith(("VARIATION SELECTOR", "MONGOLIAN FREE VARIATION"))
