"""Which measurements there are, and the stores each of them needs."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import anyio

from tests.benchmarks import explain, ingest, kinds, memory, payouts, start, tool_calls, webhook
from tests.benchmarks.figures import Figure
from tests.benchmarks.stores import FEW, Filled, Makers, makers


@dataclass
class Bench:
    """One database's stores, filled when they are first needed."""

    makers: Makers
    sales: int
    affiliates: int

    @cached_property
    def few(self) -> Filled:
        return self.makers.few()

    @cached_property
    def many(self) -> Filled:
        _say(f"filling a store with {self.sales:,} sales")
        return self.makers.make(self.sales, self.affiliates)


def _tools(bench: Bench) -> list[Figure]:
    few = anyio.run(tool_calls.measure, bench.few, False)
    return few + anyio.run(tool_calls.measure, bench.many, True)


def _ingest(bench: Bench) -> list[Figure]:
    # As many affiliates in both: what is asked is what the number of sales costs.
    return anyio.run(ingest.measure, bench.makers.make(FEW, bench.affiliates), bench.many)


def _payouts(bench: Bench) -> list[Figure]:
    return anyio.run(payouts.measure, bench.many)


def _kinds(bench: Bench) -> list[Figure]:
    return anyio.run(kinds.measure, bench.makers.few())


def _explain(bench: Bench) -> list[Figure]:
    return anyio.run(explain.measure, bench.many)


def _webhook(bench: Bench) -> list[Figure]:
    return anyio.run(webhook.measure, bench.makers.few())


def _memory(bench: Bench) -> list[Figure]:
    return anyio.run(memory.measure, bench.few)


def _start(bench: Bench) -> list[Figure]:
    return anyio.run(start.measure, bench.few)


RUNS: dict[str, Callable[[Bench], list[Figure]]] = {
    "tools": _tools,
    "payouts": _payouts,
    "explain": _explain,
    "ingest": _ingest,
    "kinds": _kinds,
    "webhook": _webhook,
    "memory": _memory,
    "start": _start,
}


def measure_store(store: str, sales: int, affiliates: int, only: str | None) -> list[Figure]:
    """Every figure of one kind of database."""
    figures: list[Figure] = []
    with makers(postgres=store == "PostgreSQL") as made:
        bench = Bench(made, sales, affiliates)
        for name, run in RUNS.items():
            if only in (None, name):
                _say(f"{store}: {name}")
                figures += run(bench)
    return figures


def _say(what: str) -> None:
    print(f"{what} ...", file=sys.stderr, flush=True)
