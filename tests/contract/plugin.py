"""The pytest plugin that lets a test fail when it, or the sandbox under it, leaves Stripe's description.

A test that sends Stripe something undocumented, to see it refused, says so: `@pytest.mark.undocumented("where: what")`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator
from contextlib import ExitStack
from typing import Any

import pytest

from tests.contract.processes import take_records
from tests.contract.watch import WATCH, watching

MARK = "undocumented"
_SEEN = pytest.StashKey[Counter[str]]()


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", f"{MARK}(*texts): sends Stripe what it does not document, to see it refused")
    config.stash[_SEEN] = Counter()
    watch = ExitStack()
    watch.enter_context(watching(WATCH))
    config.add_cleanup(watch.close)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, Any, Any]:
    result = yield
    faults, undocumented = _taken()
    announced = [text for mark in item.iter_markers(MARK) for text in mark.args]
    faults += [fault for fault in undocumented if not any(text in fault for text in announced)]
    faults += [
        f"announced but not sent: {text}" for text in announced if not any(text in fault for fault in undocumented)
    ]
    _fail_on(faults)
    return result


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item) -> Generator[None, Any, Any]:
    result = yield
    faults, undocumented = _taken()
    _fail_on(faults + undocumented)
    return result


def _taken() -> tuple[list[str], list[str]]:
    take_records(WATCH)
    return WATCH.take()


def _fail_on(faults: list[str]) -> None:
    if faults:
        pytest.fail("Stripe documents it otherwise:\n  " + "\n  ".join(faults), pytrace=False)


def pytest_sessionfinish(session: pytest.Session) -> None:
    output: dict[str, Any] | None = getattr(session.config, "workeroutput", None)
    if output is None:
        session.config.stash[_SEEN].update(WATCH.seen)
    else:
        output["contract"] = dict(WATCH.seen)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """A process of pytest-xdist has ended: what it saw is counted here."""
    node.config.stash[_SEEN].update(getattr(node, "workeroutput", {}).get("contract", {}))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    seen = config.stash[_SEEN]
    if seen:
        counted = ", ".join(f"{seen[kind]} {kind}" for kind in ("requests", "answers", "objects", "events"))
        terminalreporter.write_line(f"held against Stripe's description: {counted}")
