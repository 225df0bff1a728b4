"""Keep out what a page in somebody's browser sends here.

No cookie of the server's opens anything, so a page has no credentials to borrow. This keeps it from talking to the server
at all: a page whose name was pointed at our address (DNS rebinding) sends its own name as Host, and a page of another
site says which in Origin. Programs send an address of ours, and no Origin.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from rekomi_mcp.domain.errors import ForeignOrigin, Refusal, WrongHost
from rekomi_mcp.settings import LOOPBACK, Settings
from rekomi_mcp.transports.http import refused

_HOST = re.compile(r"[A-Za-z0-9.:\[\]_-]{1,300}")
_ANY_ADDRESS = frozenset({"0.0.0.0", "::"})


@dataclass(frozen=True, slots=True)
class OwnNames:
    """What the server is called."""

    hosts: frozenset[str]
    """Names that a request may have come by; an IP address always may, for nobody can point it elsewhere."""
    origins: frozenset[str]
    """Hosts whose pages may call, on any port: this machine's."""
    public_origin: str | None
    """The origin of the public address."""

    @staticmethod
    def of(settings: Settings) -> OwnNames:
        local = settings.host in LOOPBACK | _ANY_ADDRESS
        names = LOOPBACK if local else frozenset({settings.host.lower()})
        public = urlsplit(settings.public_url) if settings.public_url is not None else None
        return OwnNames(
            hosts=names | {public.hostname} if public and public.hostname else names,
            origins=names,
            public_origin=f"{public.scheme}://{public.netloc}".lower() if public else None,
        )

    def refusal(self, host: str | None, origin: str | None) -> Refusal | None:
        """Why a request with these headers is none of ours, or None when it is."""
        name = _host_name(f"//{host}") if host and _HOST.fullmatch(host) else None
        if name is None or not (name in self.hosts or _is_address(name)):
            return WrongHost(
                "This server does not go by that name. Use its own address, or set REKOMI_PUBLIC_URL to the one it has."
            )
        if origin is None or origin.lower() == self.public_origin:
            return None
        if origin.lower().startswith(("http://", "https://")) and _host_name(origin) in self.origins:
            return None
        return ForeignOrigin("Pages of other sites may not call this server. Call it from a program instead.")


class BrowserGuard:
    """Refuses requests by their Host and Origin, before anything else looks at them."""

    def __init__(
        self,
        app: ASGIApp,
        names: OwnNames,
        exempt: frozenset[str],
        is_for_pages: Callable[[str], bool] = lambda _: False,
    ) -> None:
        """
        Args:
            exempt: paths open to any name: they are asked for by machines that know only an address, and tell nothing.
            is_for_pages: whether a path is there for the pages of brands, which send an origin of their own.
        """
        self._app = app
        self._names = names
        self._exempt = exempt
        self._is_for_pages = is_for_pages

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] not in self._exempt:
            headers = Headers(scope=scope)
            origin = None if self._is_for_pages(scope["path"]) else headers.get("origin")
            refusal = self._names.refusal(headers.get("host"), origin)
            if refusal is not None:
                await refused(refusal)(scope, receive, send)
                return
        await self._app(scope, receive, send)


def _host_name(address: str) -> str | None:
    try:
        return urlsplit(address).hostname
    except ValueError:  # a bracket that is not closed
        return None


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True
