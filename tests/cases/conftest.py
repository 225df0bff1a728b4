"""One server for all the cases of a file, and its database as it was before the first."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncGenerator, Generator

import pytest

from tests.cases.case import Case
from tests.cases.play import Play
from tests.cases.server import CaseServer, case_server


@pytest.fixture(scope="module")
async def running(
    anyio_backend: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncGenerator[tuple[CaseServer, sqlite3.Connection]]:
    async with case_server(tmp_path_factory.mktemp("cases")) as server:
        empty = server.keep()
        yield server, empty
        empty.close()


@pytest.fixture
def server(running: tuple[CaseServer, sqlite3.Connection]) -> Generator[CaseServer]:
    """The server, as if it had just been set up."""
    server, empty = running
    server.bring_back(empty)
    yield server


async def seeded(server: CaseServer, case: Case) -> Play:
    """The case, ready for its first delivery."""
    play = Play(server, case)
    await play.seed()
    return play
