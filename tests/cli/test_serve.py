"""`serve http` where it cannot listen: said in one line, before anything claims to be served."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.servers import listening, port_of


def serve(data_dir: Path, **settings: str) -> subprocess.CompletedProcess[str]:
    environ = {name: value for name, value in os.environ.items() if not name.startswith("REKOMI_")}
    return subprocess.run(
        [sys.executable, "-m", "rekomi_mcp", "serve", "http"],
        env=environ | {"REKOMI_DATA_DIR": str(data_dir)} | settings,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_a_port_that_is_taken_is_named_with_the_setting(data_dir: Path, host: str) -> None:
    with listening() as listener:
        port = port_of(listener)
        ran = serve(data_dir, REKOMI_HOST=host, REKOMI_PORT=str(port))
    created, said = ran.stderr.splitlines()
    assert created.startswith("Created the organization")
    assert said.startswith(f"rekomi-mcp: Port {port} of {host} is taken by another program.")
    assert "REKOMI_PORT" in said
    assert ran.returncode == 2


def test_an_address_that_is_not_this_machines_is_named_with_the_settings(data_dir: Path) -> None:
    ran = serve(data_dir, REKOMI_HOST="192.0.2.1", REKOMI_PORT="9")
    assert "cannot listen on 192.0.2.1, port 9. Set REKOMI_HOST" in ran.stderr
    assert "serves on" not in ran.stderr
    assert ran.returncode == 2
