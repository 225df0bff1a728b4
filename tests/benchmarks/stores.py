"""The stores that are measured: SQLite and PostgreSQL, each with few sales and with many."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import anyio

from rekomi_mcp.settings import Settings
from tests.benchmarks.big_store import NO_LIMIT, Brand, build
from tests.support.databases import create_database, postgres_server

FEW, FEW_AFFILIATES = 1_000, 100


@dataclass(frozen=True, slots=True)
class Filled:
    """A store with sales in it."""

    name: str
    """`SQLite` or `PostgreSQL`."""
    settings: Settings
    brand: Brand

    @property
    def is_sqlite(self) -> bool:
        return self.settings.store_url.startswith("sqlite")


class Makers:
    """Makes stores; everything of them is gone when the block ends."""

    def __init__(self, folder: Path, server: str | None) -> None:
        self._folder, self._server, self._made = folder, server, 0

    def make(self, sales: int, affiliates: int) -> Filled:
        self._made += 1
        folder = self._folder / str(self._made)
        folder.mkdir()
        url = create_database(self._server) if self._server else None
        settings = Settings(data_dir=folder, database_url=url, rate_limit_per_minute=NO_LIMIT)
        brand = anyio.run(build, settings, sales, affiliates)
        return Filled("PostgreSQL" if url else "SQLite", settings, brand)

    def few(self) -> Filled:
        return self.make(FEW, FEW_AFFILIATES)


@contextmanager
def makers(postgres: bool) -> Generator[Makers]:
    folder = Path(tempfile.mkdtemp(prefix="rekomi-bench-"))
    try:
        if not postgres:
            yield Makers(folder, None)
            return
        with postgres_server() as server:
            yield Makers(folder, server)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
