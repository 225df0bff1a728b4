"""The sandbox as an ASGI application: the Stripe API, the control API, and the work in the background."""

import json
import logging
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import unquote, urlsplit

import anyio
import anyio.to_thread
import httpx
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from rekomi_mcp.sandbox.api import Answer, ApiRequest, answer_api
from rekomi_mcp.sandbox.control import answer_control
from rekomi_mcp.sandbox.due import catch_up, something_is_due
from rekomi_mcp.sandbox.errors import NotLocal
from rekomi_mcp.sandbox.state import State
from rekomi_mcp.sandbox.webhook_endpoints import is_loopback
from rekomi_mcp.sandbox.webhooks import deliver_batch, new_client, something_to_deliver

log = logging.getLogger(__name__)

_LOOK_AROUND_SECONDS = 0.5
"""How often the background work looks for what other processes, or time alone, have brought."""
_THREADS = 8
_METHODS = ["GET", "POST", "DELETE"]


def build_sandbox(state_path: Path, *, deliver: bool = True) -> Starlette:
    """The sandbox on a state file.

    Args:
        deliver: while the application runs, deliver webhooks and bill what falls due.
    """
    sandbox = _Sandbox(State(state_path), deliver=deliver)
    return Starlette(
        routes=[Route("/{path:path}", sandbox.answer, methods=_METHODS)],
        lifespan=sandbox.lifespan,
    )


class _Sandbox:
    def __init__(self, state: State, *, deliver: bool) -> None:
        self._state = state
        self._deliver = deliver
        # Threads of our own: an application that embeds the sandbox must not wait for its own threads.
        self._threads = anyio.CapacityLimiter(_THREADS)
        self._something_changed = anyio.Event()

    @asynccontextmanager
    async def lifespan(self, app: Starlette) -> AsyncGenerator[None]:
        try:
            async with anyio.create_task_group() as group:
                if self._deliver:
                    group.start_soon(self._work_in_background)
                yield
                group.cancel_scope.cancel()
        finally:
            self._state.close()

    async def answer(self, request: Request) -> Response:
        """Answer any request. SQLite blocks, so that happens in a thread."""
        if not _is_local(request):
            refusal = NotLocal("The sandbox answers to programs on this machine only.")
            return _response(Answer(refusal.status, refusal.body()))
        body = (await request.body()).decode(errors="replace")
        raw_path: bytes = request.scope.get("raw_path") or request.url.path.encode()
        path = raw_path.split(b"?")[0].decode("ascii", errors="replace")
        # A person who opens the bare address sees the summary.
        segments = [unquote(segment) for segment in path.split("/") if segment] or ["sandbox"]
        is_control = segments[:1] == ["sandbox"]
        call = ApiRequest(
            method=request.method,
            segments=segments,
            form=body if is_control or request.method == "POST" else request.url.query,
            headers=request.headers,
        )
        handle = answer_control if is_control else answer_api
        answer = await anyio.to_thread.run_sync(handle, self._state, call, limiter=self._threads)
        if request.method != "GET":
            self._something_changed.set()
        return _response(answer)

    async def _work_in_background(self) -> None:
        async with new_client() as client:
            while True:
                try:
                    await self._work_once(client)
                except Exception:
                    # For example a state file that another process keeps locked: the next round tries again.
                    log.exception("the sandbox's background work failed")
                with anyio.move_on_after(_LOOK_AROUND_SECONDS):
                    await self._something_changed.wait()
                self._something_changed = anyio.Event()

    async def _work_once(self, client: httpx.AsyncClient) -> None:
        if await anyio.to_thread.run_sync(something_is_due, self._state):
            await anyio.to_thread.run_sync(catch_up, self._state)
        while await anyio.to_thread.run_sync(something_to_deliver, self._state):
            await deliver_batch(self._state, client)


def _is_local(request: Request) -> bool:
    """Whether a request comes from a program here: not from another machine, not from a web page in a browser."""
    origin = request.headers.get("origin")
    return (
        request.client is not None
        and is_loopback(request.client.host)
        and is_loopback(request.url.hostname)
        and (origin is None or is_loopback(urlsplit(origin).hostname))
    )


def _response(answer: Answer) -> Response:
    text = json.dumps(answer.body, indent=2, ensure_ascii=False)
    return Response(text, answer.status, answer.headers, media_type="application/json")
