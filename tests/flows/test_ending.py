"""An app that has ended leaves nothing of itself behind in its process."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from anyio import to_thread

from rekomi_mcp.app import App
from rekomi_mcp.settings import Settings

pytestmark = pytest.mark.anyio


def open_files(folder: Path) -> list[str]:
    """The files in a folder that this process holds open."""
    targets = (link.resolve() for link in Path("/proc/self/fd").iterdir())
    return sorted(str(target) for target in targets if target.is_relative_to(folder))


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux lists a process's open files")
async def test_an_app_that_has_ended_holds_no_file_open(tmp_path: Path) -> None:
    app = App(Settings(data_dir=tmp_path))
    async with app.running():
        await app.sandbox.endpoint()
        await to_thread.run_sync(app.open_store)
        app.clock()
        assert open_files(tmp_path) != []
    assert open_files(tmp_path) == []
