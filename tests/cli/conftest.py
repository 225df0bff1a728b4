"""A command line on a data folder of its own."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from rekomi_mcp.cli import main
from tests.support.commands import Cli, Ran


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def cli(data_dir: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cli:
    """Run one command in this process, on a data folder of its own."""
    for name in [name for name in os.environ if name.startswith("REKOMI_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("REKOMI_DATA_DIR", str(data_dir))

    def run(*argv: str) -> Ran:
        capsys.readouterr()
        try:
            status = main(argv)
        except SystemExit as leaving:  # argparse leaves this way
            status = leaving.code if isinstance(leaving.code, int) else 1
        captured = capsys.readouterr()
        return Ran(status, captured.out, captured.err)

    return run


@pytest.fixture
def brand(cli: Cli) -> Cli:
    """The same, with one organization called Acme."""
    assert cli("init", "--name", "Acme").status == 0
    return cli


@pytest.fixture
def database(data_dir: Path) -> Path:
    return data_dir / "rekomi-sandbox.db"
