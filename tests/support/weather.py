"""A Stripe that can be slow, broken or unfriendly, with the sandbox behind it."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field

from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send


@dataclass(slots=True)
class Weather:
    """What stands between the server and the sandbox. Fair, until a test says otherwise."""

    sandbox: ASGIApp
    delay_seconds: float = 0.0
    """How late the sandbox hears of a request; it does hear of it."""
    status: int | None = None
    """What is answered instead of the sandbox's answer."""
    message: str = "The test says no."
    acts: bool = False
    """With a status: whether the sandbox does what was asked all the same."""
    refused_text: str | None = None
    """A code that this Stripe does not take."""
    requests: list[str] = field(default_factory=list[str])
    """Method and path of everything that was asked."""

    def clears_up(self) -> None:
        self.delay_seconds, self.status, self.acts = 0.0, None, False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = await _body(receive)
        self.requests.append(f"{scope['method']} {scope['path']}")
        # Read before the delay and handed on after it: the client may have hung up by then.
        await asyncio.sleep(self.delay_seconds)
        refuses = self.refused_text is not None and f"code={self.refused_text}&".encode() in body + b"&"
        status = 400 if refuses else self.status
        if status is None or self.acts:
            await self.sandbox(scope, _replay(body), send if status is None else _discard)
        if status is not None:
            await _error(status, self.message)(scope, receive, send)


@dataclass(slots=True)
class Sky:
    """One address for the weather of many tests: to stop a server takes a fifth of a second."""

    address: str = ""
    weather: Weather | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        assert scope["type"] == "http", "no lifespan here"
        assert self.weather is not None
        await self.weather(scope, receive, send)


def _error(status: int, message: str) -> Response:
    kind = {400: "invalid_request_error", 401: "invalid_request_error", 403: "invalid_request_error"}
    error = {"type": kind.get(status, "api_error"), "message": message}
    return Response(json.dumps({"error": error}), status, media_type="application/json")


async def _body(receive: Receive) -> bytes:
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    return body


def _replay(body: bytes) -> Receive:
    async def receive() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    return receive


async def _discard(message: Message) -> None:
    """An answer that is lost on its way."""
