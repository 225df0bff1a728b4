"""The state file: shared by processes, intact after any of them dies, and the clock in it."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import anyio
import httpx
import pytest
import stripe
from stripe import StripeClient

from rekomi_mcp.sandbox import SANDBOX_KEY
from rekomi_mcp.sandbox.clock import SandboxClock
from rekomi_mcp.sandbox.due import catch_up, something_is_due
from rekomi_mcp.sandbox.errors import ApiError, Busy
from rekomi_mcp.sandbox.server import running_sandbox
from rekomi_mcp.sandbox.simulate import Simulation
from rekomi_mcp.sandbox.state import State
from tests.contract.processes import watched

pytestmark = pytest.mark.anyio

KEY = {"authorization": f"Bearer {SANDBOX_KEY}"}
SERVE = "import pathlib, sys; from rekomi_mcp.sandbox.server import serve_sandbox as s; s(pathlib.Path(sys.argv[1]), 0, lambda url: print(url, flush=True))"


def start_process(state_path: Path) -> tuple["subprocess.Popen[str]", str]:
    """A sandbox in a process of its own, and its URL."""
    process = subprocess.Popen(
        [sys.executable, "-c", SERVE, str(state_path)],
        env=os.environ | watched(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    return process, process.stdout.readline().strip()


async def test_a_restarted_sandbox_continues_where_it_was(state_path: Path) -> None:
    http = stripe.HTTPXClient(verify_ssl_certs=False)
    async with running_sandbox(state_path) as first:
        client = StripeClient(SANDBOX_KEY, base_addresses={"api": first.url}, http_client=http)
        made = await client.v1.coupons.create_async({"percent_off": 20}, {"idempotency_key": "k"})
    async with running_sandbox(state_path) as second:
        client = StripeClient(SANDBOX_KEY, base_addresses={"api": second.url}, http_client=http)
        assert (await client.v1.coupons.retrieve_async(made.id)).to_dict() == made.to_dict()
        again = await client.v1.coupons.create_async({"percent_off": 20}, {"idempotency_key": "k"})
        assert again.id == made.id
    await http.close_async()


async def test_two_sandboxes_on_one_file_are_one_account(state_path: Path) -> None:
    async with (
        running_sandbox(state_path) as one,
        running_sandbox(state_path) as other,
        httpx.AsyncClient(base_url=one.url, headers=KEY) as first,
        httpx.AsyncClient(base_url=other.url, headers=KEY) as second,
    ):

        async def create(client: httpx.AsyncClient, number: int) -> None:
            form = {"percent_off": "20", "id": f"C{number}"}
            answer = await client.post("/v1/coupons", data=form, headers={"idempotency-key": f"k{number}"})
            assert answer.status_code == 200

        async with anyio.create_task_group() as group:
            for number in range(15):
                group.start_soon(create, first, number)
                group.start_soon(create, second, number)
        listed = (await second.get("/v1/coupons?limit=100")).json()["data"]
        assert sorted(coupon["id"] for coupon in listed) == sorted(f"C{number}" for number in range(15))
        events = (await first.get("/v1/events?limit=100")).json()["data"]
        assert len(events) == 15


def test_a_killed_process_leaves_every_sale_whole(state_path: Path) -> None:
    process, url = start_process(state_path)
    answered: list[str] = []

    def buy() -> None:
        with httpx.Client(base_url=url) as client:
            while True:
                try:
                    answer = client.post("/sandbox/checkout", json={"amount": 1000, "interval": "month"})
                except httpx.HTTPError:
                    return
                answered.append(answer.json()["session"])

    customers = [threading.Thread(target=buy) for _ in range(3)]
    for customer in customers:
        customer.start()
    deadline = time.monotonic() + 20
    while len(answered) < 40 and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    for customer in customers:
        customer.join()
    assert len(answered) >= 40

    with sqlite3.connect(state_path) as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    db.close()
    state = State(state_path)
    with state.read() as work:
        sessions = list(work.where("checkout.session", {}))
        assert set(answered) <= {session["id"] for session in sessions}
        for session in sessions:
            invoice = work.get("invoice", session["invoice"], "invoice")
            assert (session["status"], invoice["status"]) == ("complete", "paid")
        paid = [event["data"]["object"]["id"] for event in work.where("event", {"type": "invoice.paid"})]
        assert sorted(paid) == sorted(session["invoice"] for session in sessions)
    assert Simulation(state).renew(sessions[0]["subscription"])["invoice_status"] == "paid"
    state.close()


def test_an_interrupt_ends_it_quietly(state_path: Path) -> None:
    process, url = start_process(state_path)
    assert httpx.get(f"{url}/sandbox").status_code == 200
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate(timeout=10)
    assert (process.returncode, output, errors) == (0, "", "")


def test_processes_that_start_at_once_agree_on_the_file(state_path: Path) -> None:
    failures: list[Exception] = []

    def open_and_sell() -> None:
        state = State(state_path)
        try:
            Simulation(state).checkout(amount=1000)
        except (ApiError, sqlite3.Error) as failure:
            failures.append(failure)
        finally:
            state.close()

    threads = [threading.Thread(target=open_and_sell) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    state = State(state_path)
    assert Simulation(state).summary()["counts"]["checkout.session"] == 6
    state.close()


def test_a_file_of_another_version_is_not_touched(state_path: Path) -> None:
    with sqlite3.connect(state_path) as db:
        db.execute("PRAGMA user_version = 99")
    db.close()
    state = State(state_path)
    with pytest.raises(RuntimeError, match="delete it to start anew"):
        Simulation(state).summary()


def test_a_file_that_stays_locked_is_reported_as_busy(state_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rekomi_mcp.sandbox.state._BUSY_TIMEOUT_SECONDS", 0.05)
    state = State(state_path)
    people = Simulation(state)
    people.checkout(amount=1000)
    other = sqlite3.connect(state_path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(Busy):
        people.checkout(amount=1000)
    other.execute("ROLLBACK")
    other.close()
    people.checkout(amount=1000)
    state.close()


async def test_time_moves_forward_only_and_by_reasonable_steps(people: Simulation) -> None:
    before = people.clock()
    assert before["offset_seconds"] == 0
    assert people.advance(days=2)["offset_seconds"] == pytest.approx(2 * 24 * 3600, abs=1)
    for wrong in ({"seconds": -1}, {"to": before["now"]}, {"days": 3000}, {}, {"days": 1, "seconds": 1}):
        with pytest.raises(ApiError):
            people.advance(**wrong)


async def test_the_clock_is_set_over_http(http: httpx.AsyncClient) -> None:
    start = (await http.get("/sandbox/clock")).json()["now"]
    for body in ({"advance_seconds": 90}, {"advance_days": 1}, {"advance_to": start + 200_000}):
        answer = await http.post("/sandbox/clock", json=body)
        assert answer.status_code == 200
    assert (await http.get("/sandbox/clock")).json()["now"] == pytest.approx(start + 200_000, abs=2)


def test_the_clock_for_neighbours_follows_the_file(state_path: Path) -> None:
    clock = SandboxClock(state_path)
    assert abs(clock() - datetime.now(UTC)) < timedelta(seconds=1)  # no file yet
    sqlite3.connect(state_path).close()
    assert abs(clock() - datetime.now(UTC)) < timedelta(seconds=1)  # a file without tables
    state = State(state_path)
    people = Simulation(state)
    people.advance(days=30)
    assert abs(clock() - datetime.now(UTC) - timedelta(days=30)) < timedelta(seconds=2)
    people.reset()
    assert abs(clock() - datetime.now(UTC)) < timedelta(seconds=1)
    clock.close()
    clock.close()
    state.close()


def test_what_fell_due_while_nothing_ran_is_caught_up_with(state_path: Path) -> None:
    state = State(state_path)
    people = Simulation(state)
    sale = people.checkout(amount=1000, interval="day")
    with state.write() as work:
        # As if the sandbox had been off for three days: the clock went on and nobody billed.
        work.turn_clock(work.clock + 3 * 24 * 3600 + 60)
    assert something_is_due(state)
    catch_up(state)
    assert not something_is_due(state)
    with state.read() as work:
        invoices = list(work.where("invoice", {}))
        assert len(invoices) == 4
        renewals = list(work.where("event", {"type": "invoice.paid"}))[:3]
        # Dated as they fell due, told now: a poller has long looked at the days before.
        assert [invoices[index]["created"] - invoices[index + 1]["created"] for index in range(3)] == [86400] * 3
        assert all(abs(event["created"] - work.clock) <= 2 for event in renewals)
    assert sale["invoice"] == invoices[3]["id"]
    state.close()


async def test_the_running_sandbox_bills_by_itself(state_path: Path) -> None:
    state = State(state_path)
    people = Simulation(state)
    people.checkout(amount=1000, interval="day")
    with state.write() as work:
        work.turn_clock(work.clock + 24 * 3600)
    async with running_sandbox(state_path):
        with anyio.fail_after(5):
            while people.summary()["counts"]["invoice"] < 2:
                await anyio.sleep(0.05)
    state.close()


async def test_other_machines_and_web_pages_are_refused(http: httpx.AsyncClient) -> None:
    for headers in ({"host": "attacker.example"}, {"origin": "https://attacker.example"}):
        for path in ("/sandbox", "/v1/coupons"):
            answer = await http.get(path, headers={**KEY, **headers})
            assert answer.status_code == 403
    answer = await http.get("/sandbox", headers={"origin": "http://localhost:3000", "host": "localhost"})
    assert answer.status_code == 200


async def test_the_summary_says_what_it_is(http: httpx.AsyncClient, people: Simulation) -> None:
    people.checkout(amount=1000)
    summary = (await http.get("/sandbox")).json()
    assert summary["mode"] == "sandbox"
    assert summary["counts"]["charge"] == 1
    assert summary["last_events"][0]["type"] == "checkout.session.completed"
    assert json.dumps(summary)


async def test_an_exception_in_the_block_leaves_the_server_stopped(state_path: Path) -> None:
    urls: list[str] = []
    with pytest.raises(ZeroDivisionError):
        async with running_sandbox(state_path) as sandbox:
            urls.append(sandbox.url)
            raise ZeroDivisionError
    async with httpx.AsyncClient() as client:
        with pytest.raises(httpx.ConnectError):
            await client.get(urls[0])
