"""What is left of a caller's rate limit."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Quota:
    limit: int
    """Calls a window."""
    remaining: int
    resets_in_seconds: int
