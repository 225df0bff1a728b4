"""HTTP connections that nobody can hold for ever: who sends or reads too slowly is cut off."""

from __future__ import annotations

import asyncio

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

MAX_CONNECTIONS = 512
"""Beyond these a request is answered 503, and beyond twice as many a connection is not taken."""
MAX_HEADER_BYTES = 32 * 1024
SHUTDOWN_SECONDS = 10


class ImpatientProtocol(H11Protocol):
    """uvicorn's HTTP/1.1, with a time limit on what it waits for and has none for."""

    request_seconds = 20.0
    """To send a whole request, counted from the connection or the answer before."""
    answer_seconds = 30.0
    """To make room for more of an answer, or to take the rest of the last one."""

    _sending: asyncio.TimerHandle | None = None
    _reading: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > 2 * MAX_CONNECTIONS:
            transport.abort()
        else:
            self._watch()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._watch()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.transport.is_closing():
            self._expect_reading()
        else:
            self._watch()

    def timeout_keep_alive_handler(self) -> None:
        super().timeout_keep_alive_handler()
        self._expect_reading()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._expect_reading()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._reading = _stop(self._reading)

    def connection_lost(self, exc: Exception | None) -> None:
        self._sending, self._reading = _stop(self._sending), _stop(self._reading)
        super().connection_lost(exc)

    def _watch(self) -> None:
        """Run the clock while a request is awaited, from its first line to the end of its body."""
        if self.conn.their_state not in (h11.IDLE, h11.SEND_BODY):
            self._sending = _stop(self._sending)
        elif self._sending is None:
            self._sending = self.loop.call_later(self.request_seconds, self.transport.abort)

    def _expect_reading(self) -> None:
        if self._reading is None:
            self._reading = self.loop.call_later(self.answer_seconds, self.transport.abort)


def _stop(timer: asyncio.TimerHandle | None) -> None:
    if timer is not None:
        timer.cancel()
