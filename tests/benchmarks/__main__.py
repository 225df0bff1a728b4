"""Measure, print the table, and keep it as JSON.

python -m tests.benchmarks [--sales 1000000] [--only tools] [--store SQLite] [--json FILE]
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tests.benchmarks.figures import Figure, save, table
from tests.benchmarks.runs import RUNS, measure_store

STORES = ("SQLite", "PostgreSQL")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks")
    parser.add_argument("--sales", type=int, default=1_000_000, help="sales in the large store")
    parser.add_argument("--affiliates", type=int, default=10_000, help="affiliates in the large store")
    parser.add_argument("--only", choices=sorted(RUNS), help="measure only this")
    parser.add_argument("--store", choices=STORES, help="measure only on this")
    parser.add_argument("--json", type=Path, default=Path("build/bench.json"), help="where to keep the figures")
    wanted = parser.parse_args()
    figures: list[Figure] = []
    for store in STORES:
        if wanted.store in (None, store):
            figures += measure_store(store, wanted.sales, wanted.affiliates, wanted.only)
    print(table(figures))
    wanted.json.parent.mkdir(parents=True, exist_ok=True)
    save(figures, wanted.json)
    print(f"\nAlso in {wanted.json}.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
