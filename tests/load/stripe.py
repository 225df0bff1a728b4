"""Stripe at a loopback address: it answers what it knows at the end of every customer's story, and takes no orders."""

from __future__ import annotations

import re
from collections.abc import Iterable

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import Receive, Scope, Send

from tests.cases.api import CaseApi
from tests.cases.case import Case

_IDS = re.compile(r"[a-z]+(?:_[A-Za-z0-9]+)+")


class StripeAtTheEnd:
    """Finds the story that a request is about by the ids in it; the shop answers all others."""

    def __init__(self, shop: Case, customers: Iterable[Case]) -> None:
        self._shop = shop
        shared = {each["id"] for rows in shop.api_state.values() for each in rows}
        self._of_id = {
            each["id"]: case
            for case in customers
            for rows in case.api_state.values()
            for each in rows
            if each["id"] not in shared
        }
        self.requests = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope)
        self.requests += 1
        path, query = request.url.path, request.url.query
        case = next((self._of_id[each] for each in _IDS.findall(f"{path}?{query}") if each in self._of_id), self._shop)
        status, body = CaseApi(case).answer(request.method, path, query)
        await JSONResponse(body, status, {"request-id": "req_load"})(scope, receive, send)
