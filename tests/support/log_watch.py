"""Listens to every log line of the whole suite: none may hold a secret or a full e-mail address.

In the tests' own processes the loggers are set as `REKOMI_LOG_LEVEL=DEBUG` sets them, the most that the server can be
asked to say. The stderr of servers in processes of their own is looked at with `leaks` by the tests that start them.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Generator

import pytest

from rekomi_mcp import logs

SECRETS = {
    "a token or a Stripe key": re.compile(r"(?:rk_mcp|[rs]k_live|[rs]k_test)_(?!sandbox\b)[A-Za-z0-9_-]{4,}"),
    "a signing secret": re.compile(r"(?:whsec|rks)_[A-Za-z0-9]{4,}"),
    "an Authorization header": re.compile(r"(?i)\bauthorization\b.{0,8}(?:bearer|basic)\s+[\w.~+/=-]{4,}"),
    "a bearer token": re.compile(r"(?i)\bbearer\s+[\w.~+/=-]{12,}"),
    "a signature": re.compile(r"(?i)\b(?:v1|sig)=[0-9a-f]{8,}"),
    "a full e-mail address": re.compile(r"[\w.+-]{2,64}@[\w-]{1,63}\.[\w.-]{2,}"),
    "a password of a database": re.compile(r"\w://[^\s/:@…]+:[^\s/@…]+@"),
}


def leaks(text: str) -> list[str]:
    """What kinds of secret a text holds."""
    return [kind for kind, pattern in SECRETS.items() if pattern.search(text)]


class LogWatch(logging.Handler):
    """Keeps what must not have been said.

    A line as the server would write it holds no secret; and what our own code hands to a logger holds none even before
    the formatter has looked it over.
    """

    def __init__(self) -> None:
        super().__init__()
        self.setFormatter(logs.RedactingFormatter())
        self.found: list[str] = []
        self.lines = 0

    def emit(self, record: logging.LogRecord) -> None:
        self.lines += 1
        texts = [self.format(record)]
        if record.name.startswith(logs.OURS):
            texts.append(record.getMessage())
        for text in texts:
            self.found += [f"{record.name} said {kind}: {text}" for kind in leaks(text)]


WATCH = LogWatch()


def pytest_configure() -> None:
    logging.getLogger().addHandler(WATCH)
    logs.choose_levels("DEBUG")


def pytest_unconfigure() -> None:
    logging.getLogger().removeHandler(WATCH)


@pytest.fixture(autouse=True)
def watched_log() -> Generator[LogWatch]:
    """Fails the test during which a secret was logged."""
    logs.choose_levels("DEBUG")  # a command that an earlier test ran may have chosen others
    yield WATCH
    found, WATCH.found = WATCH.found, []
    assert not found, "\n".join(found)


def pytest_sessionfinish() -> None:
    """What was said between the tests, or after the last of them, fails the session."""
    assert not WATCH.found, "\n".join(WATCH.found)
