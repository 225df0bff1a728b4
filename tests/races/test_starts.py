"""Servers that start at the same moment on a database that is still empty."""

from __future__ import annotations

from collections import Counter
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy import delete

import rekomi_mcp.storage as storage
from rekomi_mcp.app import App
from rekomi_mcp.settings import Settings, SettingsError
from rekomi_mcp.storage.tables import DeploymentRow
from tests.support.databases import create_database
from tests.support.deaths import Job, Nursery
from tests.support.interruptions import interruptions
from tests.support.stage import Stage, all_rows
from tests.support.stripe_side import KEY

SERVERS = 4


@pytest.fixture
def empty_database(database: str, request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if database == "sqlite":
        return f"sqlite:///{tmp_path / 'new' / 'store.db'}"
    server: str = request.getfixturevalue("postgres")
    return create_database(server)


async def start(settings: Settings, app: App) -> str:
    """Open the store of another server; answers what came of it."""
    server = App(settings)
    try:
        server.open_store().close()
    except SettingsError:
        return "refused"
    return "open"


def started(nursery: Nursery, folder: Path, servers: list[Settings]) -> list[str]:
    """What becomes of servers that start at once."""
    somewhere = Settings(
        data_dir=folder, stripe_api_base="http://127.0.0.1:9", stripe_secret_key=servers[0].stripe_secret_key
    )
    lives = nursery.live_together([Job(somewhere, partial(start, settings)) for settings in servers])
    assert [life.error for life in lives] == [None] * len(servers)
    return [life.value for life in lives]


def server_on(url: str, folder: Path, key: str) -> Settings:
    return Settings.model_validate({"database_url": url, "data_dir": folder, "stripe_secret_key": key})


def test_servers_that_start_at_once_on_an_empty_database_all_open_it(
    nursery: Nursery, empty_database: str, tmp_path: Path
) -> None:
    assert started(nursery, tmp_path, [server_on(empty_database, tmp_path, KEY)] * SERVERS) == ["open"] * SERVERS
    assert [row.mode for row in all_rows(empty_database, DeploymentRow)] == ["sandbox"]


def test_of_servers_for_different_money_that_start_at_once_only_one_kind_gets_the_database(
    nursery: Nursery, empty_database: str, tmp_path: Path
) -> None:
    servers = [server_on(empty_database, tmp_path, key) for key in (KEY, "sk_test_real") * (SERVERS // 2)]
    answers = started(nursery, tmp_path, servers)
    [kind] = [row.mode for row in all_rows(empty_database, DeploymentRow)]
    assert Counter(answers) == {"open": SERVERS // 2, "refused": SERVERS // 2}
    assert {server.mode for server, answer in zip(servers, answers, strict=True) if answer == "open"} == {kind}


def test_a_database_without_a_kind_takes_the_kind_of_one_of_two_servers(
    stage: Stage, subtests: pytest.Subtests
) -> None:
    """The server that made it died before it said what it is for."""
    for run in interruptions(stage, partial(claim, "sandbox"), partial(claim, "test"), prologue=partial(forget, stage)):
        with subtests.test(run.boundary):
            assert run.first == run.second
            assert [row.mode for row in stage.rows(DeploymentRow)] == [run.first]


def forget(stage: Stage) -> None:
    with stage.writing() as session:
        session.exec(delete(DeploymentRow))


async def claim(mode: str, app: App) -> str:
    with app.open_store().writing() as session:
        return storage.organizations.claim_mode(session, mode)
