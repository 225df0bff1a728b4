"""A seller's server: it signs its calls, or forgets to."""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlencode

import httpx

from rekomi_mcp.app import App
from tests.support.world import operate

SALE, LEAD, POSTBACK = "/api/tracking/s2s", "/api/tracking/lead", "/postback"


def mac(secret: str, signed: bytes) -> str:
    return hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()


def now() -> int:
    return int(time.time())


async def new_secret(app: App, organization: str = "acme") -> dict[str, Any]:
    return await operate(app, "create_signing_secret", {"organization": organization, "name": "test"})


@dataclass(frozen=True, slots=True)
class Seller:
    client: httpx.AsyncClient
    token: str
    secret: str
    organization: str = "acme"
    headers: dict[str, str] = field(default_factory=dict[str, str])

    async def post(
        self, path: str, content: dict[str, Any] | bytes, *, at: int | None = None, **headers: str
    ) -> httpx.Response:
        """A signed POST; `at` is when it was signed. Headers are written with underscores, and an empty one is left out."""
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        unix = at if at is not None else now()
        sent = {
            "authorization": f"Bearer {self.token}",
            "x-rekomi-signature": f"t={unix},sig={mac(self.secret, b'%d.' % unix + body)}",
            "content-type": "application/json",
            **{name.replace("_", "-"): value for name, value in headers.items()},
        }
        return await self.client.post(path, content=body, headers={k: v for k, v in sent.items() if v})

    def signed(self, parameters: dict[str, Any], at: int | None = None) -> dict[str, str]:
        """The parameters of a postback with its proof."""
        given = {name: str(value) for name, value in parameters.items()}
        given = {"org": self.organization, "t": str(at if at is not None else now()), **given}
        query = urlencode(sorted(given.items()), quote_via=quote, safe="")
        return {**given, "sig": mac(self.secret, query.encode())}

    async def get(self, parameters: dict[str, Any], at: int | None = None) -> httpx.Response:
        """A signed postback in an address."""
        return await self.client.get(POSTBACK, params=self.signed(parameters, at))
