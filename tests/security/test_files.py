"""What lies on the disk: files that only their owner reads, whoever makes the folder, and no secret in them."""

from __future__ import annotations

import os
import stat
from collections.abc import Generator
from pathlib import Path

import pytest

from rekomi_mcp.app import App
from rekomi_mcp.sandbox.state import State
from rekomi_mcp.settings import Settings
from rekomi_mcp.storage.engine import Store
from tests.support.world import populate

pytestmark = pytest.mark.anyio


@pytest.fixture(autouse=True)
def open_handed() -> Generator[None]:
    """Everybody may read what is made without saying otherwise, as on most machines."""
    before = os.umask(0o022)
    yield
    os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


async def test_the_folder_and_every_file_in_it_are_their_owners_alone(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    app = App(Settings(data_dir=folder))
    async with app.running():
        world = await populate(app)
        state = State(app.settings.sandbox_path)
        with state.write():
            found = {path.name: mode(path) for path in folder.iterdir()}
        state.close()
        assert {"rekomi-sandbox.db", "rekomi-sandbox.db-wal", "sandbox.db"} <= set(found)
        assert set(found.values()) == {0o600}
        assert mode(folder) == 0o700
        kept = b"".join(path.read_bytes() for path in folder.iterdir())
    for secret in (world.acme.live_token, world.acme.mcp_token):
        assert secret.encode() not in kept


async def test_files_in_a_folder_that_others_may_enter_are_private_all_the_same(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    store = Store(f"sqlite:///{tmp_path / 'a.db'}")
    with store.writing():
        pass
    state = State(tmp_path / "b.db")
    with state.write():
        assert {path.name for path in tmp_path.iterdir()} >= {"a.db", "b.db", "b.db-wal"}
        assert {mode(path) for path in tmp_path.iterdir()} == {0o600}
    state.close()
    store.close()


async def test_the_sandbox_makes_a_private_folder_when_it_is_first(tmp_path: Path) -> None:
    state = State(tmp_path / "data" / "sandbox.db")
    with state.read():
        pass
    state.close()
    assert mode(tmp_path / "data") == 0o700


async def test_permissions_that_somebody_gave_are_left_as_they_are(tmp_path: Path) -> None:
    """A group may have been let in to make copies."""
    path = tmp_path / "a.db"
    path.touch()
    path.chmod(0o640)
    Store(f"sqlite:///{path}").close()
    assert mode(path) == 0o640


@pytest.mark.parametrize("url", ["sqlite:////proc/nowhere/a.db", "sqlite:////dev/null/a.db", "sqlite:///file:a.db"])
async def test_a_place_where_no_file_can_be_is_a_wrong_setting(url: str) -> None:
    with pytest.raises(ValueError):
        Store(url)
