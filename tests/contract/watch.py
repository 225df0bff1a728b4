"""Everything that goes to Stripe and comes from the sandbox in this process, held against the description."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Generator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from threading import Lock
from typing import Any
from unittest.mock import patch
from urllib.parse import unquote

import httpx

import rekomi_mcp.sandbox.app as sandbox_app
from rekomi_mcp.sandbox.api import Answer, ApiRequest
from rekomi_mcp.sandbox.shapes import PRIVATE
from rekomi_mcp.sandbox.state import State
from rekomi_mcp.sandbox.work import Work
from tests.contract.checks import Fault, JsonObject
from tests.contract.document import Document, stripe_document

_CLIENT = "Stripe/v1"
"""How the stripe package introduces itself."""


class Watch:
    """What was seen, and what was wrong with it.

    Attributes:
        seen: how many of what.
        faults: what Stripe does not document, since they were last taken.
        undocumented: requests of the stripe package that Stripe would refuse; a test may make them on purpose.
    """

    def __init__(self, document: Document) -> None:
        self._document = document
        self._lock = Lock()  # the sandbox answers in threads
        self.seen: Counter[str] = Counter()
        self.faults: list[Fault] = []
        self.undocumented: list[Fault] = []

    def asked(self, verb: str, segments: Sequence[str], form: str, headers: Mapping[str, str]) -> None:
        """A request was made. Only the stripe package has to make good ones: a test may write a bad one by hand."""
        if _is_client(headers):
            found = self._document.request(verb, segments, form) + self._document.headers(verb, headers)
            self._note("requests", undocumented=found)

    def answered(
        self, verb: str, segments: Sequence[str], form: str, headers: Mapping[str, str], status: int, body: Any
    ) -> None:
        """The sandbox answered a request: what it accepts has to be documented, whoever sent it."""
        faults, undocumented = self._document.answer(verb, segments, status, body), list[Fault]()
        asked = self._document.request(verb, segments, form)
        if status < 400:
            faults += [f"accepted by the sandbox: {fault}" for fault in asked]
        elif _is_client(headers):  # perhaps from another process, where nobody watches
            undocumented = asked
        self._note("answers", faults, undocumented)

    def stored(self, item: JsonObject) -> None:
        """The sandbox has made or changed an object."""
        shown = {name: value for name, value in item.items() if name != PRIVATE}
        kind = "events" if shown.get("object") == "event" else "objects"
        self._note(kind, [f"the sandbox's {fault}" for fault in self._document.object(shown)])

    def _note(self, kind: str, faults: Sequence[Fault] = (), undocumented: Sequence[Fault] = ()) -> None:
        with self._lock:
            self.seen[kind] += 1
            self.faults += faults
            self.undocumented += undocumented

    def take_record(self, line: str) -> None:
        """What a process of its own has recorded (`tests/contract/inside/`)."""
        match json.loads(line):
            case [verb, segments, form, headers, status, body]:
                self.asked(verb, segments, form, headers)
                self.answered(verb, segments, form, headers, status, body)
            case item:
                self.stored(item)

    def take(self) -> tuple[list[Fault], list[Fault]]:
        """The faults and the undocumented requests since the last time, each once."""
        with self._lock:
            taken = list(dict.fromkeys(self.faults)), list(dict.fromkeys(self.undocumented))
            self.faults.clear()
            self.undocumented.clear()
        return taken


def _is_client(headers: Mapping[str, str]) -> bool:
    return headers.get("user-agent", "").startswith(_CLIENT)


@contextmanager
def watching(watch: Watch) -> Generator[None]:
    """Show the watch everything that this process does."""
    send, answer, add, save = httpx.AsyncClient.send, sandbox_app.answer_api, Work.add, Work.save

    async def watched_send(self: httpx.AsyncClient, request: httpx.Request, **options: Any) -> httpx.Response:
        if _is_client(request.headers):
            path, _, query = request.url.raw_path.decode().partition("?")
            form = request.content.decode() if request.method == "POST" else query
            watch.asked(request.method, [unquote(part) for part in path.split("/") if part], form, request.headers)
        return await send(self, request, **options)

    def watched_answer(state: State, request: ApiRequest) -> Answer:
        given = answer(state, request)
        watch.answered(request.method, request.segments, request.form, request.headers, given.status, given.body)
        return given

    def watched_add(self: Work, item: JsonObject) -> None:
        add(self, item)
        watch.stored(item)

    def watched_save(self: Work, item: JsonObject) -> None:
        save(self, item)
        watch.stored(item)

    with ExitStack() as patches:
        patches.enter_context(patch.object(httpx.AsyncClient, "send", watched_send))
        patches.enter_context(patch.object(sandbox_app, "answer_api", watched_answer))
        patches.enter_context(patch.object(Work, "add", watched_add))
        patches.enter_context(patch.object(Work, "save", watched_save))
        yield


WATCH = Watch(stripe_document())
"""The one of this process."""
