"""The brand of the browser's story: two affiliates, a site on loopback, and a token to look with."""

from __future__ import annotations

import threading
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx

from rekomi_mcp.app import App
from rekomi_mcp.domain.access import System
from rekomi_mcp.settings import Settings
from tests.support.world import operate

TERMS = {"name": "Creators", "defaultCommissionType": "Percentage", "defaultCommissionValue": 20}
PAGE = """<!doctype html>
<html><head><title>Shop</title>
{snippet}
</head><body>
<a id="pay" href="https://buy.stripe.com/test_abc?prefilled_email=a%40b.example">Buy</a>
<a id="own" href="https://buy.stripe.com/test_abc?client_reference_id=mine">Buy as myself</a>
<a id="other" href="https://elsewhere.example/">Elsewhere</a>
<stripe-buy-button id="button" buy-button-id="buy_btn_1"></stripe-buy-button>
</body></html>
"""


async def populate(folder: Path) -> tuple[str, str]:
    """Fill an empty data folder; answers the program's id and an owner's token."""
    app = App(Settings(data_dir=folder))
    async with app.running():
        organization = await operate(app, "create_organization", {"name": "Acme"})
        owner = System(organization["id"])
        program = await operate(app, "create_program", TERMS, owner)
        for email, name in (("sarah@example.com", "Sarah Lee"), ("tom@example.com", "Tom Ray")):
            await operate(app, "create_affiliate", {"email": email, "fullName": name}, owner)
        wanted = {"organization": "acme", "kind": "LIVE", "name": "browser"}
        return program["id"], (await operate(app, "create_token", wanted))["token"]


@dataclass(slots=True)
class Brand:
    """The brand as its owner's script sees it, and its site."""

    url: str
    """Of the server."""
    token: str
    program: str
    port: int
    """Of the site."""
    snippet: str = ""

    @property
    def site(self) -> str:
        return f"http://localhost:{self.port}/"

    def ask(self, method: str, path: str, **body: Any) -> dict[str, Any]:
        """One request of the HTTP API."""
        how: dict[str, Any] = {"params" if method == "GET" else "json": body}
        headers = {"authorization": f"Bearer {self.token}"}
        answer = httpx.request(method, f"{self.url}/api/v1/{path}", headers=headers, timeout=20, **how)
        assert answer.is_success, answer.text
        return answer.json()

    def change_program(self, **changes: Any) -> None:
        self.ask("PATCH", f"programs/{self.program}", **changes)


class _Page(BaseHTTPRequestHandler):
    def __init__(self, brand: Brand, *args: Any) -> None:
        self._brand = brand
        super().__init__(*args)

    def do_GET(self) -> None:
        body = PAGE.format(snippet=self._brand.snippet).encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Nobody reads it."""


@contextmanager
def site_of(url: str, token: str, program: str) -> Generator[Brand]:
    """The brand with its site, which is served until the block ends."""
    brand = Brand(url, token, program, 0)
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Page, brand))  # pyright: ignore[reportArgumentType]
    brand.port = server.server_port
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield brand
    finally:
        server.shutdown()
        server.server_close()
