"""What was measured: ours beside its floor, their ratio and the ratio we want."""

from __future__ import annotations

import gc
import json
import statistics
import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the table.

    `ours` and `floor` are in `unit`. `ratio` is how much more ours costs (or, for a rate, how much of the floor's rate it
    reaches). `wanted` is the bound it should keep, as text.
    """

    what: str
    store: str
    ours: float
    floor: float | None
    unit: str
    ratio: float | None
    wanted: str
    kept: bool | None
    """None when there is nothing to keep."""


def cost(what: str, store: str, ours: float, floor: float, unit: str, at_most: float) -> Figure:
    """Ours may cost so many times the floor."""
    ratio = ours / floor
    return Figure(what, store, ours, floor, unit, ratio, f"<= {at_most:g}x", ratio <= at_most)


def rate(what: str, store: str, ours: float, floor: float, unit: str, at_least: float) -> Figure:
    """Ours must reach this share of the floor's rate."""
    ratio = ours / floor
    return Figure(what, store, ours, floor, unit, ratio, f">= {at_least:g}x", ratio >= at_least)


def reading(what: str, store: str, ours: float, unit: str, wanted: str = "", kept: bool | None = None) -> Figure:
    """A figure without a floor."""
    return Figure(what, store, ours, None, unit, None, wanted, kept)


async def medians(
    ours: Callable[[], Awaitable[object]], floor: Callable[[], Awaitable[object]], rounds: int
) -> tuple[float, float]:
    """Median milliseconds of both, taken turn by turn so that what disturbs one disturbs the other."""
    for _ in range(max(3, rounds // 10)):
        await ours()
        await floor()
    gc.collect()
    gc.freeze()  # as `serve` does with what it has loaded
    taken: tuple[list[float], list[float]] = ([], [])
    for _ in range(rounds):
        for times, work in zip(taken, (ours, floor), strict=True):
            begun = time.perf_counter()
            await work()
            times.append(time.perf_counter() - begun)
    return statistics.median(taken[0]) * 1000, statistics.median(taken[1]) * 1000


def table(figures: list[Figure]) -> str:
    rows = [("what", "store", "ours", "floor", "unit", "ratio", "wanted", "")]
    for f in figures:
        verdict = {None: "", True: "kept", False: "MISSED"}[f.kept]
        floor = "" if f.floor is None else f"{f.floor:,.2f}"
        ratio = "" if f.ratio is None else f"{f.ratio:.2f}x"
        rows.append((f.what, f.store, f"{f.ours:,.2f}", floor, f.unit, ratio, f.wanted, verdict))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    right = {2, 3, 5}
    lines = [
        "  ".join(c.rjust(w) if i in right else c.ljust(w) for i, (c, w) in enumerate(zip(row, widths, strict=True)))
        for row in rows
    ]
    return "\n".join(line.rstrip() for line in lines)


def save(figures: list[Figure], path: Path) -> None:
    path.write_text(json.dumps([asdict(figure) for figure in figures], indent=1) + "\n")
