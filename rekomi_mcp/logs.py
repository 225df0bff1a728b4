"""What the server writes to stderr: its own words at the chosen level, the warnings of others, and nobody's secrets.

The server's code logs neither bodies nor headers. Errors are another matter: a database names the row that offended it,
and a traceback ends in such words. So each line is looked over once more before it is written.
"""

from __future__ import annotations

import logging
import re
import sys
from typing import Final, TextIO

OURS: Final = "rekomi_mcp"
MAX_CHARACTERS: Final = 50_000
"""Of one entry, traceback and all."""

_SECRETS: Final = (
    # Tokens of ours, Stripe's keys and signing secrets: the prefix says which kind it was.
    (re.compile(r"((?:rk_mcp|[rs]k_live|[rs]k_test|rks)_|whsec_)[A-Za-z0-9_-]{8,}"), r"\1…"),
    (re.compile(r"(?i)\b(bearer|basic)\s+[\w.~+/=-]{4,}"), r"\1 …"),
    (re.compile(r"\b((?:v[01]|sig)=)[0-9A-Fa-f]{16,}"), r"\1…"),
    (re.compile(r"(\w://)[^\s/@]{1,500}@"), r"\1…@"),
    # An e-mail address keeps its first character and its host, which is enough to find it again.
    (re.compile(r"([\w.!#$%&'*+/=?^`{|}~-])[\w.!#$%&'*+/=?^`{|}~-]{0,63}@((?:[\w-]{1,63}\.)+[\w-]{2,63})"), r"\1…@\2"),
)
_CONTROL: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")


def redacted(text: str) -> str:
    """The text without secrets, full e-mail addresses and characters that a terminal would obey."""
    for pattern, instead in _SECRETS:
        text = pattern.sub(instead, text)
    return _CONTROL.sub(lambda found: repr(found[0])[1:-1], text)


class RedactingFormatter(logging.Formatter):
    """One entry: when, how grave, who, what; and the traceback, if there is one."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:
        # One line: what a caller made up must not look like an entry of its own.
        record.message = record.message.rstrip().replace("\n", "\\n")
        return super().formatMessage(record)

    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record)
        return redacted(text if len(text) <= MAX_CHARACTERS else f"{text[:MAX_CHARACTERS]}… (cut)")


def configure(level: str, stream: TextIO | None = None) -> None:
    """Log to stderr from this level on; other packages' details, which may hold bodies and headers, at no level."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(RedactingFormatter())
    choose_levels(level)
    logging.getLogger().addHandler(handler)


def choose_levels(level: str) -> None:
    """Our own loggers from this level on, all others from WARNING on."""
    logging.getLogger(OURS).setLevel(level)
    logging.getLogger().setLevel(max(logging.WARNING, logging.getLevelNamesMapping()[level]))
    # A broken request is answered to whoever sent it; these would log it too, one line each, with what was in it.
    for name in ("mcp", "stripe", "uvicorn"):
        logging.getLogger(name).setLevel(logging.ERROR)
