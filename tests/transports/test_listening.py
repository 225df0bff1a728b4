"""What `serve http` listens on."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest

from rekomi_mcp.serving import listen
from rekomi_mcp.settings import Settings


def test_a_name_with_addresses_of_a_family_that_is_switched_off_is_listened_on_by_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def found(*_: Any, **__: Any) -> list[Any]:
        return [
            (socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("::1", 0, 0, 0)),
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 0)),
        ]

    real = socket.socket

    class WithoutIpv6(real):
        def __init__(self, family: int = -1, *more: Any, **named: Any) -> None:
            if family == socket.AF_INET6:
                raise OSError(97, "Address family not supported by protocol")
            super().__init__(family, *more, **named)

    monkeypatch.setattr(socket, "getaddrinfo", found)
    monkeypatch.setattr(socket, "socket", WithoutIpv6)
    [listener] = listen(Settings(data_dir=tmp_path, host="localhost", port=8321))
    with listener:
        assert (listener.family, listener.proto) == (socket.AF_INET, socket.IPPROTO_TCP)
