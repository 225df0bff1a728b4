"""Preparing a server: init, migrate, doctor and settings; what is answered, and with which exit status."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from rekomi_mcp import __version__
from rekomi_mcp.storage.engine import Store
from rekomi_mcp.storage.migrate import HEAD
from tests.support.commands import Cli, everything_stored, tamper

TEST_KEY = "sk_test_not_used"


def test_the_version_is_the_packages(cli: Cli) -> None:
    ran = cli("--version")
    assert (ran.status, ran.out.strip()) == (0, __version__)


@pytest.mark.parametrize("argv", [[], ["nonsense"], ["org"], ["org", "set-plan", "acme", "Platinum"]], ids=str)
def test_a_command_that_is_none_is_wrong_usage(cli: Cli, argv: list[str]) -> None:
    ran = cli(*argv)
    assert ran.status == 2
    assert "usage: rekomi-mcp" in ran.err


def test_init_creates_the_database_and_the_first_organization(cli: Cli, data_dir: Path, database: Path) -> None:
    ran = cli("init", "--name", "Acme", "--home-currency", "EUR", "--payout-grace-days", "14")
    assert ran.status == 0
    assert "Created Acme (slug acme, plan Pro)" in ran.out
    assert str(database) in ran.out
    assert "Next:" in ran.out
    assert database.is_file()
    assert cli("call", "get_organization").answer["homeCurrency"] == "EUR"
    assert cli("call", "get_organization").answer["payoutGraceDays"] == 14


def test_init_again_leaves_everything_as_it_is(brand: Cli) -> None:
    ran = brand("init", "--name", "Another")
    assert ran.status == 0
    assert "nothing to do" in ran.out
    listed = brand("org", "list").out.splitlines()
    assert [line.split()[0] for line in listed] == ["acme"]


def test_doctor_names_the_next_step_until_nothing_is_missing(cli: Cli, database: Path) -> None:
    before = cli("doctor")
    assert before.status == 1
    assert f"MISSING  Database: {database} does not exist yet" in before.out
    assert before.out.splitlines()[-1].endswith("Run `rekomi-mcp init`.")

    Store(f"sqlite:///{database}").close()
    database.touch()
    unmigrated = cli("doctor")
    assert unmigrated.status == 1
    assert unmigrated.out.splitlines()[-1].endswith("Run `rekomi-mcp migrate`.")

    cli("migrate")
    empty = cli("doctor")
    assert empty.status == 1
    assert "ok       Database" in empty.out
    assert empty.out.splitlines()[-1].endswith("Run `rekomi-mcp init`.")

    cli("init")
    after = cli("doctor")
    assert (after.status, after.out.splitlines()[-1]) == (0, "Nothing is missing.")
    assert all(line.startswith("ok ") for line in after.out.splitlines()[:-1])
    assert "no real money" in after.out


def test_doctor_finds_a_forged_audit_log(brand: Cli, database: Path) -> None:
    tamper(database)
    ran = brand("doctor")
    assert ran.status == 1
    assert "MISSING  Audit log: the hash chain of acme is broken" in ran.out


def test_doctor_does_not_show_the_databases_password(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REKOMI_DATABASE_URL", "postgresql://owner:hidden@127.0.0.1:1/rekomi")
    ran = cli("doctor")
    assert ran.status == 1
    assert "MISSING  Database: postgresql://owner:***@127.0.0.1:1/rekomi" in ran.out
    assert "hidden" not in ran.out + ran.err


def test_migrate_says_whether_there_was_anything_to_do(cli: Cli) -> None:
    assert cli("migrate").out == f"The schema was brought to revision {HEAD}.\n"
    assert cli("migrate").out == f"The schema is at revision {HEAD}.\n"


@pytest.mark.parametrize("argv", [["org", "list"], ["init"], ["call", "whoami"], ["org", "verify-audit"]], ids=" ".join)
def test_a_database_of_another_mode_is_refused(
    brand: Cli, database: Path, monkeypatch: pytest.MonkeyPatch, argv: list[str]
) -> None:
    before = everything_stored(database)
    monkeypatch.setenv("REKOMI_DATABASE_URL", f"sqlite:///{database}")
    assert brand("org", "list").status == 0
    monkeypatch.setenv("REKOMI_STRIPE_SECRET_KEY", TEST_KEY)
    ran = brand(*argv)
    assert (ran.status, ran.out) == (2, "")
    assert "holds sandbox data" in ran.err and "REKOMI_DATABASE_URL" in ran.err
    assert everything_stored(database) == before


def test_another_key_opens_another_file(brand: Cli, data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REKOMI_STRIPE_SECRET_KEY", TEST_KEY)
    assert "There is no organization yet" in brand("org", "list").out
    assert {path.name for path in data_dir.glob("*.db")} == {"rekomi-sandbox.db", "rekomi-test.db"}


def test_an_unknown_setting_stops_every_command(cli: Cli, data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REKOMI_DATABSE_URL", "sqlite:///x.db")
    for argv in (["init"], ["operations"], ["doctor"]):
        ran = cli(*argv)
        assert (ran.status, ran.out) == (2, "")
        assert "Did you mean REKOMI_DATABASE_URL?" in ran.err
    assert not data_dir.exists()


def test_settings_may_come_from_a_file(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("REKOMI_DATA_DIR")
    file = tmp_path / "rekomi.env"
    file.write_text(f"REKOMI_DATA_DIR={tmp_path / 'elsewhere'}\n")
    assert cli("--settings", str(file), "init").status == 0
    assert (tmp_path / "elsewhere" / "rekomi-sandbox.db").is_file()


@pytest.mark.parametrize("url", ["rekomi.db", "mysql://localhost/rekomi", "sqlite://"])
@pytest.mark.parametrize("command", [["org", "list"], ["migrate"]], ids=" ".join)
def test_an_address_that_holds_no_store_is_a_wrong_setting(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, command: list[str], url: str
) -> None:
    monkeypatch.setenv("REKOMI_DATABASE_URL", url)
    ran = cli(*command)
    assert (ran.status, ran.out) == (2, "")
    assert "REKOMI_DATABASE_URL" in ran.err


@pytest.mark.parametrize("url", ["rekomi.db", "mysql://localhost/rekomi"])
def test_doctor_explains_an_address_that_holds_no_store(cli: Cli, monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("REKOMI_DATABASE_URL", url)
    ran = cli("doctor")
    assert ran.status == 1
    assert ran.out.startswith("MISSING  Database: ")


def test_a_process_exits_with_the_commands_status_and_complains_on_stderr(data_dir: Path) -> None:
    environ = {name: value for name, value in os.environ.items() if not name.startswith("REKOMI_")}
    ran = subprocess.run(
        [sys.executable, "-m", "rekomi_mcp", "call", "list_programs"],
        env=environ | {"REKOMI_DATA_DIR": str(data_dir)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ran.returncode == 1
    assert json.loads(ran.stdout)["error"] == "unauthorized"
    assert "rekomi-mcp init" in json.loads(ran.stdout)["message"]
    assert "Traceback" not in ran.stderr
