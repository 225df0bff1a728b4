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
    kept = "".join(" " if _hides(c) else c for c in normal)
    return " ".join(kept.split()) if any(_is_visible(c) for c in kept) else ""


def hides_something(text: str) -> bool:
    """Whether it holds characters that are not there to be read: line breaks, controls, bidirectional marks."""
    return any(map(_hides, text))


def _hides(character: str) -> bool:
    return unicodedata.category(character)[0] == "C" and character not in _JOINERS


def _is_visible(character: str) -> bool:
    if character.isspace() or character in _JOINERS or character in _BLANKS:
        return False
    return not unicodedata.name(character, "").startswith(("VARIATION SELECTOR", "MONGOLIAN FREE VARIATION"))
