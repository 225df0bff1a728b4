"""Tests that leave the description, each in another way, and two that do not. `test_watch.py` runs them: most must fail."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest
import stripe
from stripe import StripeClient

from rekomi_mcp.sandbox import SANDBOX_KEY
from rekomi_mcp.sandbox.server import running_sandbox
from rekomi_mcp.sandbox.state import State
from tests.contract.processes import watched

pytestmark = pytest.mark.anyio

COLOURFUL: Any = {"percent_off": 20, "colour": "red"}
STORE = """
import sys
from pathlib import Path
from rekomi_mcp.sandbox.state import State
with State(Path(sys.argv[1])).write() as work:
    work.add({"object": "coupon", "id": "C20"})
"""


@pytest.fixture
async def client(tmp_path: Path) -> AsyncGenerator[StripeClient]:
    http = stripe.HTTPXClient(timeout=5, verify_ssl_certs=False)
    async with running_sandbox(tmp_path / "sandbox.db") as running:
        yield StripeClient(SANDBOX_KEY, base_addresses={"api": running.url}, http_client=http)
    await http.close_async()


async def test_nothing_is_wrong(client: StripeClient) -> None:
    await client.v1.coupons.create_async({"percent_off": 20})


async def test_a_wrong_request(client: StripeClient) -> None:
    with pytest.raises(stripe.InvalidRequestError):
        await client.v1.coupons.create_async(COLOURFUL)


async def test_a_wrong_request_that_nobody_answers() -> None:
    http = stripe.HTTPXClient(timeout=1, verify_ssl_certs=False)
    nobody = StripeClient(SANDBOX_KEY, base_addresses={"api": "http://127.0.0.1:9"}, http_client=http)
    wrong: Any = {"status": "lost"}
    with pytest.raises(stripe.APIConnectionError):
        await nobody.v1.invoices.list_async(wrong)
    await http.close_async()


@pytest.mark.undocumented("colour: not documented")
async def test_an_announced_request(client: StripeClient) -> None:
    with pytest.raises(stripe.InvalidRequestError):
        await client.v1.coupons.create_async(COLOURFUL)


@pytest.mark.undocumented("colour: not documented")
async def test_an_announcement_in_vain(client: StripeClient) -> None:
    await client.v1.coupons.create_async({"percent_off": 20})


async def test_a_wrong_answer(client: StripeClient, monkeypatch: pytest.MonkeyPatch) -> None:
    def coloured(work: object, item: dict[str, Any]) -> dict[str, Any]:
        return item | {"colour": "red"}

    monkeypatch.setattr("rekomi_mcp.sandbox.api.view", coloured)
    await client.v1.balance.retrieve_async()


async def test_a_request_that_should_have_been_refused(client: StripeClient, monkeypatch: pytest.MonkeyPatch) -> None:
    def unread(self: object, raw: dict[str, Any], param: str = "") -> dict[str, Any]:
        return {}

    monkeypatch.setattr("rekomi_mcp.sandbox.params.Fields.read", unread)
    await client.v1.balance.retrieve_async(COLOURFUL)


def test_a_wrong_object(tmp_path: Path) -> None:
    with State(tmp_path / "sandbox.db").write() as work:
        work.add({"object": "coupon", "id": "C20"})


def test_a_wrong_object_in_another_process(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-c", STORE, str(tmp_path / "sandbox.db")], env=watched(), check=True)
