"""Run the load large, on SQLite and on PostgreSQL: `make load`.

python -m tests.load [--events 100000] [--store SQLite]
"""

from __future__ import annotations

import argparse
import gc
import sys
import tempfile
from pathlib import Path

import anyio

from tests.load.lives import Life, Shop
from tests.load.play import Run, lives_of, play
from tests.support.databases import create_database, postgres_server

STORES = ("SQLite", "PostgreSQL")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.load")
    parser.add_argument("--events", type=int, default=100_000, help="different events to deliver")
    parser.add_argument("--store", choices=STORES, help="only on this")
    parser.add_argument("--seed", type=int, default=1, help="another order")
    wanted = parser.parse_args()
    shop = Shop()
    print(f"telling the stories of {wanted.events:,} events ...", file=sys.stderr, flush=True)
    lives = lives_of(shop, wanted.events)
    gc.freeze()
    faulty = False
    for store in STORES:
        if wanted.store in (None, store):
            run = _run(store, shop, lives, wanted.seed)
            print(_line(store, run), flush=True)
            for fault in run.faults[:20]:
                faulty = True
                print(f"  WRONG: {fault}")
    return int(faulty)


def _run(store: str, shop: Shop, lives: list[Life], seed: int) -> Run:
    with tempfile.TemporaryDirectory(prefix="rekomi-load-") as name:
        folder = Path(name)
        if store == "SQLite":
            return anyio.run(play, shop, lives, f"sqlite:///{folder / 'load.db'}", folder, seed)
        with postgres_server() as server:
            return anyio.run(play, shop, lives, create_database(server), folder, seed)


def _line(store: str, run: Run) -> str:
    return (
        f"{store}: {run.events:,} events in {run.deliveries:,} deliveries, {run.stripe_requests:,} requests to Stripe; "
        f"taken in at {run.deliveries / run.took_in:,.0f}/s, worked off at {run.events / run.worked_off:,.0f}/s "
        f"({run.worked_off:,.1f} s in all); {len(run.books.sales):,} conversions, everything as it must be: "
        f"{not run.faults}"
    )


if __name__ == "__main__":
    sys.exit(main())
