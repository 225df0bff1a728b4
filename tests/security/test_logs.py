"""No secret and no full e-mail address in a log line: the listener that watches the whole suite, and what it listens to."""

from __future__ import annotations

import io
import json
import logging
import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import closing
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
from sqlalchemy import text
from sqlalchemy.exc import StatementError

from rekomi_mcp import logs
from rekomi_mcp.app import App
from rekomi_mcp.domain.access import System
from rekomi_mcp.settings import Settings
from rekomi_mcp.storage.tables import AffiliateRow
from tests.support.log_watch import LogWatch, leaks
from tests.support.servers import closed_port
from tests.support.world import World, operate

pytestmark = pytest.mark.anyio

ROOT = Path(__file__).parent.parent.parent
RANDOM = "Yb3kq0Zr5v2sXw8tN1mP4aL7cD9eF6gH"
SECRETS = {
    "a token for scripts": f"rk_live_{RANDOM}",
    "a token for assistants": f"rk_mcp_{RANDOM}",
    "a Stripe key": f"sk_live_{RANDOM}",
    "a Stripe test key": f"sk_test_{RANDOM}",
    "a restricted key": f"rk_test_{RANDOM}",
    "a signing secret": f"whsec_{RANDOM}",
    "a header": f"Authorization: Bearer {RANDOM}",
    "headers as a list": f"[(b'authorization', b'Bearer {RANDOM}')]",
    "a password": "Authorization: Basic cmVrb21pOnBhc3N3b3Jk",
    "a signature": f"Stripe-Signature: t=1790000000,v1={'0123456789abcdef' * 4}",
    "an address": "sarah.lee+x@mail.example.co.uk",
    "an address in a row": "Key (program_id, email_key)=(01a1, sarah@example.com) already exists.",
    "the URL of a database": "postgresql://rekomi:hunter22@db.example.com:5432/rekomi",
}
every_secret = pytest.mark.parametrize("secret", SECRETS.values(), ids=[name.replace(" ", "-") for name in SECRETS])


@every_secret
def test_a_secret_is_noticed_and_does_not_outlive_the_formatter(secret: str) -> None:
    assert leaks(f"it said {secret} and went on")
    assert not leaks(logs.redacted(f"it said {secret} and went on"))
    assert "hunter22" not in logs.redacted(secret)


@pytest.mark.parametrize(
    "harmless",
    [
        "a Stripe API on http://127.0.0.1:4242, key sk_test_sandbox",
        "Create one with `rekomi-mcp token create`: rk_live_… or rk_mcp_…",
        "01a1fdf0-4e00-77cc-8a0d-a15be38cf54a of promo_1ABCdefGHIjkl failed at 2026-03-01 12:00:00,123",
        "GET /api/v1/affiliates/{affiliateId} failed",
    ],
)
def test_what_is_no_secret_stays_readable(harmless: str) -> None:
    assert not leaks(harmless)
    assert logs.redacted(harmless) == harmless


@pytest.fixture
def said() -> Generator[io.StringIO]:
    """What the server would have written to stderr."""
    stream, logger = io.StringIO(), logging.getLogger("rekomi_mcp.test")
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logs.RedactingFormatter())
    logger.addHandler(handler)
    propagates, logger.propagate = logger.propagate, False
    yield stream
    logger.removeHandler(handler)
    logger.propagate = propagates


@every_secret
def test_a_secret_in_an_error_is_not_in_its_traceback(said: io.StringIO, secret: str) -> None:
    logger = logging.getLogger("rekomi_mcp.test")
    try:
        try:
            raise ValueError(secret)
        except ValueError as error:
            raise RuntimeError(f"while at {secret}") from error
    except RuntimeError:
        logger.exception("a turn failed: %s", secret)
    assert said.getvalue().count("Traceback") == 2
    assert not leaks(said.getvalue())


def test_a_line_that_a_caller_made_up_is_one_line_and_obeyed_by_no_terminal(said: io.StringIO) -> None:
    forged = "x\n2026-03-01 12:00:00,000 ERROR rekomi_mcp: all money is gone\x1b[2J\x9b31m\u202e\r"
    logging.getLogger("rekomi_mcp.test").warning("no such path: %s", forged)
    written = said.getvalue()
    assert written.count("\n") == 1
    assert written.rstrip("\n").isprintable()


def test_the_longest_of_lines_is_cut_and_costs_little(said: io.StringIO) -> None:
    began = time.process_time()
    for hostile in ("a" * 1_000_000, "a." * 500_000 + "@", "a@" * 500_000, "rk_live_" * 200_000, "://" * 300_000):
        logging.getLogger("rekomi_mcp.test").warning("%s", hostile)
    assert time.process_time() - began < 20, "what looks at each pair of characters takes hours"
    assert max(len(line) for line in said.getvalue().splitlines()) < 2 * logs.MAX_CHARACTERS


@pytest.mark.parametrize("level", ["DEBUG", "INFO", "WARNING", "ERROR"])
def test_the_level_is_for_our_own_words_and_others_are_heard_only_when_they_warn(level: str) -> None:
    logs.choose_levels(level)
    assert logging.getLogger("rekomi_mcp.pipeline").isEnabledFor(getattr(logging, level))
    for name in ("httpx", "httpcore.http11", "mcp.server", "stripe", "sqlalchemy.engine", "psycopg", "uvicorn.error"):
        assert not logging.getLogger(name).isEnabledFor(logging.INFO), name
        assert logging.getLogger(name).isEnabledFor(logging.ERROR), name


async def test_an_error_of_the_database_names_no_parameters(app: App, world: World) -> None:
    """The row that offended it is in the message of one database; what was bound to the statement is in that of none."""
    with pytest.raises(StatementError) as failure, app.open_store().writing() as session:
        row = session.get_one(AffiliateRow, world.acme.affiliate).model_dump(exclude={"id"})
        session.add(AffiliateRow(**row))
        session.flush()
    assert "sarah@example.com" not in str(failure.value.statement)
    assert "hide_parameters" in str(failure.value)
    assert not leaks(logs.redacted(str(failure.value)))
    with pytest.raises(StatementError) as failure, app.open_store().reading() as session:
        session.connection().execute(text("SELECT nothing FROM nowhere WHERE a = :a"), {"a": "sarah@example.com"})
    assert "sarah@example.com" not in str(failure.value)


CASE = """
import logging
import pytest
from rekomi_mcp import logs

def test_says_something():
    {action}
"""
OUTCOMES = {
    "logging.getLogger('rekomi_mcp.x').debug('for %s', 'sarah@example.com')": 1,
    "logging.getLogger('rekomi_mcp.x').info('token %s', 'rk_live_" + RANDOM + "')": 1,
    "logging.getLogger('rekomi_mcp.x').debug('for %s', 'sarah')": 0,
    "logging.getLogger('httpx').debug('Authorization: Bearer " + RANDOM + "')": 0,
}


@pytest.mark.parametrize(("action", "status"), OUTCOMES.items(), ids=["address", "token", "harmless", "not heard"])
def test_a_test_during_which_a_secret_is_logged_fails(tmp_path: Path, action: str, status: int) -> None:
    (tmp_path / "test_case.py").write_text(CASE.format(action=action))
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    ran = run_pytest(tmp_path)
    assert ran.returncode == status, ran.stdout
    if status:
        assert "rekomi_mcp.x said" in ran.stdout


def test_a_secret_logged_after_the_last_test_fails_the_session(tmp_path: Path) -> None:
    late = "@pytest.fixture(scope='session', autouse=True)\ndef late():\n    yield\n    " + next(iter(OUTCOMES))
    (tmp_path / "test_case.py").write_text(CASE.format(action="pass") + late)
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    ran = run_pytest(tmp_path)
    assert ran.returncode != 0
    assert "rekomi_mcp.x said" in ran.stdout + ran.stderr
    assert "failed" not in ran.stdout, "the test itself is not to blame"


def run_pytest(folder: Path) -> subprocess.CompletedProcess[str]:
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "-p",
        "tests.support.log_watch",
        str(folder),
    ]
    environ = os.environ | {"PYTHONPATH": str(ROOT), "PYTEST_ADDOPTS": "", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    environ = {name: value for name, value in environ.items() if not name.startswith("PYTEST_XDIST")}
    return subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True, timeout=60, check=False)


def test_a_server_that_says_all_it_can_says_no_secret(tmp_path: Path) -> None:
    """A process of its own at DEBUG, through a bad quarter of an hour: good calls, forged ones, and a broken database."""
    port = closed_port()
    settings = Settings(data_dir=tmp_path, port=port)
    given: dict[str, str] = {}

    async def prepare() -> None:
        app = App(settings)
        async with app.running():
            organization = await operate(app, "create_organization", {"name": "Acme"})
            for kind in ("LIVE", "MCP"):
                wanted = {"organization": "acme", "kind": kind, "name": "test"}
                given[kind] = (await operate(app, "create_token", wanted))["token"]
            terms = {"name": "Creators", "defaultCommissionType": "Percentage", "defaultCommissionValue": 20}
            await operate(app, "create_program", terms, System(organization["id"]))

    anyio.run(prepare)
    environ = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "REKOMI_DATA_DIR": str(tmp_path)}
    environ |= {"REKOMI_PORT": str(port), "REKOMI_LOG_LEVEL": "DEBUG"}
    with (tmp_path / "stderr.txt").open("w") as errors:
        server = subprocess.Popen(
            [sys.executable, "-m", "rekomi_mcp", "serve", "http"], env=environ, cwd=tmp_path, stderr=errors
        )
        try:
            codes = play(f"http://127.0.0.1:{port}", given, tmp_path)
        finally:
            server.terminate()
            server.wait(20)
    written = (tmp_path / "stderr.txt").read_text()
    assert codes == {
        "made": 201,
        "again": 409,
        "forged": 401,
        "unsigned": 400,
        "mcp": 200,
        "renamed": 421,
        "broken": 500,
    }
    assert "failed" in written
    assert "Traceback" in written
    assert not leaks(written), [line for line in written.splitlines() if leaks(line)]
    for token in given.values():
        assert token not in written


def play(address: str, tokens: dict[str, str], folder: Path) -> dict[str, int]:
    """What happened, by name, as statuses."""
    codes: dict[str, int] = {}
    headers = {"authorization": f"Bearer {tokens['LIVE']}", "idempotency-key": "sarah@example.com"}
    sarah = {"email": "sarah@example.com", "fullName": "Sarah Lee"}
    with httpx.Client(base_url=address, timeout=10) as client:
        for _ in range(200):
            try:
                client.get("/healthz")
                break
            except httpx.TransportError:
                time.sleep(0.1)
        codes["made"] = client.post("/api/v1/affiliates", json=sarah, headers=headers).status_code
        other = headers | {"idempotency-key": "tom@example.com"}
        codes["again"] = client.post("/api/v1/affiliates", json=sarah, headers=other).status_code
        forged = {"authorization": f"Bearer rk_live_{RANDOM}"}
        codes["forged"] = client.get("/api/v1/whoami", headers=forged).status_code
        signed = {"stripe-signature": f"t={int(time.time())},v1={'ab' * 32}"}
        codes["unsigned"] = client.post("/webhooks/stripe", json=sarah, headers=signed).status_code
        message: dict[str, Any] = {"jsonrpc": "2.0", "id": 1, "method": "tools/call"}
        message["params"] = {"name": "list_affiliates", "arguments": {"q": "sarah@example.com", "status": sarah}}
        mcp = {"authorization": f"Bearer {tokens['MCP']}", "accept": "application/json, text/event-stream"}
        codes["mcp"] = client.post("/mcp", json=message, headers=mcp).status_code
        client.post("/mcp", content=json.dumps(message)[:-3], headers=mcp | {"content-type": "application/json"})
        codes["renamed"] = client.get("/api/v1/whoami", headers=headers | {"host": "sarah@example.com"}).status_code
        for table in ("lead", "affiliate_link", "affiliate"):
            break_database(folder, table)
        path = "/api/v1/affiliates/sarah@example.com"
        codes["broken"] = client.get(path, headers=headers).status_code
    httpx.post(f"{address}/api/v1/affiliates", json=sarah, headers=headers | {"idempotency-key": "again"}, timeout=10)
    return codes


def break_database(folder: Path, table: str) -> None:
    with closing(sqlite3.connect(folder / "rekomi-sandbox.db", timeout=15)) as connection:
        connection.execute(f"ALTER TABLE {table} RENAME TO {table}_gone")
        connection.commit()


def test_the_watch_listens(watched_log: LogWatch) -> None:
    lines = watched_log.lines
    logging.getLogger("rekomi_mcp.pipeline").debug("nothing much")
    assert watched_log.lines == lines + 1
