"""The command line: what the operator types, what is answered, and with which exit status."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import inspect, text
from sqlmodel import select

from rekomi_mcp import __version__
from rekomi_mcp.cli import main
from rekomi_mcp.storage.engine import Store
from rekomi_mcp.storage.migrate import HEAD
from rekomi_mcp.storage.tables import ApiTokenRow, AuditLineRow
from rekomi_mcp.tools import CATALOGUE

TEST_KEY = "sk_test_not_used"


@dataclass(frozen=True, slots=True)
class Ran:
    status: int
    out: str
    err: str

    @property
    def answer(self) -> dict[str, Any]:
        return json.loads(self.out)


Cli = Callable[..., Ran]


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


def everything_stored(database: Path) -> str:
    store = Store(f"sqlite:///{database}")
    with store.reading() as session:
        connection = session.connection()
        tables = inspect(connection).get_table_names()
        found = [repr(row) for name in tables for row in connection.execute(text(f"SELECT * FROM {name}"))]
    store.close()
    return "\n".join(found)


def tamper(database: Path) -> None:
    """Change the audit log's first line behind the server's back."""
    store = Store(f"sqlite:///{database}")
    with store.writing() as session:
        session.exec(select(AuditLineRow)).first().action = "forged"  # pyright: ignore[reportOptionalMemberAccess]
    store.close()


def a_token(cli: Cli, *options: str) -> tuple[str, str]:
    """A new token's text and id."""
    made = cli("token", "create", *options)
    assert made.status == 0, made.err
    secret, described = made.out.splitlines()
    found = re.search(r"id (\S+) revokes it", described)
    assert found is not None
    return secret, found[1]


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


def test_organizations_are_created_and_listed(cli: Cli) -> None:
    assert "There is no organization yet" in cli("org", "list").out
    assert "slug acme, plan Pro" in cli("org", "create", "Acme").out
    second = cli("org", "create", "Second Brand", "--slug", "second", "--plan", "Growth", "--status", "Trialing")
    assert "org link-stripe second" in second.out
    acme, other = cli("org", "list").out.splitlines()
    assert acme.split() == "acme Acme Pro (Active) Stripe: self".split()
    assert other.split() == "second Second Brand Growth (Trialing) Stripe: not linked".split()


def test_a_slug_that_is_taken_is_refused(brand: Cli) -> None:
    ran = brand("org", "create", "Acme")
    assert ran.status == 1
    assert ran.out == ""
    assert "--slug" in ran.err and "slug_already_taken" in ran.err


def test_a_plan_a_profile_and_a_trial_are_changed(brand: Cli) -> None:
    assert "Starter (Active)" in brand("org", "set-plan", "acme", "Starter").out
    assert (
        "Growth (Trialing)"
        in brand("org", "set-plan", "acme", "Growth", "--status", "Trialing", "--trial-days", "3").out
    )
    changed = brand(
        "org", "set", "acme", "--name", "Acme & Co", "--timezone", "Europe/Berlin", "--payout-grace-days", "7"
    )
    assert "Acme & Co, Growth (Trialing), hold 7 days, USD, Europe/Berlin" in changed.out


def test_a_time_zone_that_is_none_is_refused(brand: Cli) -> None:
    for zone in ("Mars/Olympus", "Europe", "../secrets", ""):
        ran = brand("org", "set", "acme", "--timezone", zone)
        assert ran.status == 1, zone
        assert "time zone" in ran.err


def test_a_stripe_account_belongs_to_one_organization(brand: Cli) -> None:
    brand("org", "create", "Second")
    assert "Stripe: acct_12345678" in brand("org", "link-stripe", "second", "acct_12345678").out
    taken = brand("org", "link-stripe", "second", "self")
    assert taken.status == 1
    assert "belongs to acme" in taken.err
    assert "Stripe: not linked" in brand("org", "link-stripe", "acme", "none").out
    assert "Stripe: self" in brand("org", "link-stripe", "second", "self").out
    none = brand("org", "link-stripe", "second", "12345678")
    assert none.status == 1
    assert "must be an account's id (acct_…), self or none" in none.err


@pytest.mark.parametrize(
    "argv",
    [
        ["org", "set-plan", "nobody", "Pro"],
        ["org", "set", "nobody", "--name", "X"],
        ["org", "link-stripe", "nobody", "none"],
        ["org", "verify-audit", "nobody"],
        ["token", "create", "mcp", "--organization", "nobody"],
        ["token", "list", "--organization", "nobody"],
        ["token", "revoke", "nothing"],
    ],
    ids=" ".join,
)
def test_an_organization_or_token_that_does_not_exist_is_refused(brand: Cli, argv: list[str]) -> None:
    ran = brand(*argv)
    assert ran.status == 1
    assert ran.out == ""
    assert "rekomi-mcp: " in ran.err and "not_found" in ran.err


@pytest.mark.parametrize(("kind", "prefix"), [("mcp", "rk_mcp_"), ("live", "rk_live_")])
def test_a_token_is_printed_once_and_kept_nowhere(brand: Cli, database: Path, kind: str, prefix: str) -> None:
    secret, token_id = a_token(brand, kind, "--name", "my assistant")
    assert secret.startswith(prefix)
    random_part = secret.removeprefix(prefix)
    listed = brand("token", "list").out
    assert token_id in listed and "my assistant" in listed and f"{prefix}{random_part[:4]}…" in listed
    assert random_part[:8] not in listed
    assert random_part[:8] not in everything_stored(database)


def test_a_signing_secret_is_printed_once_and_ends_when_it_is_revoked(brand: Cli, database: Path) -> None:
    made = brand("secret", "create", "--name", "web shop")
    assert made.status == 0, made.err
    secret, described = made.out.splitlines()
    found = re.search(r"id (\S+) revokes it", described)
    assert secret.startswith("rks_") and found is not None
    listed = brand("secret", "list").out
    assert found[1] in listed and "web shop" in listed and f"{secret[:8]}…" in listed
    assert secret not in listed + everything_stored(database)
    revoked = brand("secret", "revoke", found[1])
    assert revoked.out.startswith("Revoked rks_")
    assert "revoked" in brand("secret", "list").out
    assert brand("secret", "revoke", found[1]).status == 1
    assert brand("secret", "list", "--organization", "nobody").status == 1


def test_a_token_is_as_narrow_as_it_was_asked_for(brand: Cli) -> None:
    a_token(brand, "mcp", "--read-only", "--role", "Viewer", "--expires-in-days", "7")
    [row] = brand("token", "list").out.splitlines()
    assert row.split()[2:5] == ["read", "Viewer", "expires"]
    assert "never" not in row
    assert "read_write as Owner. " in brand("token", "create", "live").out


def test_a_revoked_token_stays_revoked(brand: Cli, database: Path) -> None:
    secret, token_id = a_token(brand, "mcp")
    revoked = brand("token", "revoke", token_id)
    assert revoked.status == 0
    assert secret not in revoked.out
    assert "revoked" in brand("token", "list").out
    again = brand("token", "revoke", token_id)
    assert again.status == 1
    assert "status_conflict" in again.err
    store = Store(f"sqlite:///{database}")
    with store.reading() as session:
        assert session.get_one(ApiTokenRow, token_id).revoked_at is not None
    store.close()


def test_an_eleventh_assistant_is_refused_until_one_leaves(brand: Cli) -> None:
    ids = [a_token(brand, "mcp")[1] for _ in range(10)]
    refused = brand("token", "create", "mcp")
    assert refused.status == 1
    assert "token_limit_reached" in refused.err
    brand("token", "revoke", ids[0])
    assert brand("token", "create", "mcp").status == 0


def test_with_several_organizations_one_must_be_named(brand: Cli) -> None:
    brand("org", "create", "Second")
    for command in (["token", "create", "mcp"], ["token", "list"]):
        ran = brand(*command)
        assert ran.status == 1
        assert "--organization" in ran.err
    assert brand("token", "create", "mcp", "--organization", "second").status == 0
    assert brand("call", "get_organization").status == 1
    assert brand("call", "get_organization", "--organization", "second").answer["slug"] == "second"


def test_verify_audit_recomputes_every_chain_and_finds_what_was_forged(brand: Cli, database: Path) -> None:
    brand("org", "create", "Second")
    whole = brand("org", "verify-audit")
    assert (whole.status, whole.out) == (0, "acme: 1 lines, every hash holds\nsecond: 1 lines, every hash holds\n")
    tamper(database)
    broken = brand("org", "verify-audit")
    assert broken.status == 1
    assert broken.out.splitlines() == ["acme: 0 lines, BROKEN at line 1", "second: 1 lines, every hash holds"]
    assert brand("org", "verify-audit", "second").status == 0
    assert brand("org", "verify-audit", "acme").status == 1


def test_operations_lists_every_exposed_operation_with_its_gates(cli: Cli) -> None:
    header, *rows = cli("operations").out.splitlines()
    assert header.startswith("OPERATION")
    assert [row.split()[0] for row in rows] == [operation.name for operation in CATALOGUE.exposed()]
    for operation, row in zip(CATALOGUE.exposed(), rows, strict=True):
        assert operation.route is not None
        assert {operation.route.path, operation.scope.value, operation.role.name} <= set(row.split())
        assert row.split()[-1] == (operation.audit or "-")


def test_operations_prints_the_readmes_table(cli: Cli) -> None:
    _, _, *rows = cli("operations", "--markdown").out.splitlines()
    assert [row.split("`")[1] for row in rows] == [operation.name for operation in CATALOGUE.exposed()]
    assert {row.count("|") for row in rows} == {7}


def test_call_prints_the_answer_as_json(brand: Cli) -> None:
    terms = {"name": "Créators", "defaultCommissionType": "Percentage", "defaultCommissionValue": 20}
    made = brand("call", "create_program", json.dumps(terms))
    assert made.status == 0
    assert made.answer["name"] == "Créators"
    assert "Créators" in made.out
    listed = brand("call", "list_programs", '{"take": 1}').answer
    assert [item["id"] for item in listed["items"]] == [made.answer["id"]]


def test_call_with_a_key_twice_does_it_once(brand: Cli) -> None:
    argv = ["call", "create_affiliate", '{"email": "kim@example.com"}', "--idempotency-key", "friday"]
    brand("call", "create_program", '{"name":"P","defaultCommissionType":"Fixed","defaultCommissionValue":"5"}')
    first, second = brand(*argv), brand(*argv)
    assert (first.status, second.status) == (0, 0)
    assert first.answer == second.answer
    assert len(brand("call", "list_affiliates").answer["items"]) == 1


@pytest.mark.parametrize(
    ("argv", "error"),
    [
        (["get_program", '{"programId": "nothing"}'], "not_found"),
        (["list_programs", '{"tkae": 5}'], "validation_failed"),
        (["list_programs", '{"take": "many"}'], "validation_failed"),
        (["create_program", '{"name": "P"}'], "validation_failed"),
        (["list_programs", "{}", "--organization", "nobody"], "unauthorized"),
    ],
    ids=["unknown id", "misspelt argument", "wrong type", "missing argument", "unknown organization"],
)
def test_call_prints_a_refusal_as_json_and_fails(brand: Cli, argv: list[str], error: str) -> None:
    ran = brand("call", *argv)
    assert ran.status == 1
    assert ran.answer["error"] == error
    assert ran.answer["message"]


@pytest.mark.parametrize("value", ["1E+999999", "-1E+999999", "1E-999999"])
@pytest.mark.parametrize("kind", ["Percentage", "Fixed"])
def test_a_rate_beyond_all_reason_is_refused(brand: Cli, kind: str, value: str) -> None:
    terms = {"name": "P", "defaultCommissionType": kind, "defaultCommissionValue": value}
    ran = brand("call", "create_program", json.dumps(terms))
    assert ran.status == 1
    assert (ran.answer["error"], ran.answer["field"]) == ("validation_failed", "defaultCommissionValue")


@pytest.mark.parametrize("given", ["{", "take=5", "[1]", '"text"', "null", "5"])
def test_call_refuses_what_is_not_a_json_object(brand: Cli, given: str) -> None:
    ran = brand("call", "list_programs", given)
    assert (ran.status, ran.out) == (1, "")
    assert "JSON" in ran.err and "validation_failed" in ran.err


@pytest.mark.parametrize("name", ["nonsense", "create_token", "ingest_stripe_events"])
def test_call_runs_only_what_is_exposed(brand: Cli, name: str) -> None:
    ran = brand("call", name)
    assert (ran.status, ran.out) == (1, "")
    assert "rekomi-mcp operations" in ran.err and "not_found" in ran.err


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
