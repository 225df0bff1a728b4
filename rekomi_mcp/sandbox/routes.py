"""A route: method, path, declared parameters and handler, so that one table describes the whole surface."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from rekomi_mcp.sandbox.params import NO_PARAMETERS, Fields
from rekomi_mcp.sandbox.shapes import JsonObject
from rekomi_mcp.sandbox.work import Work


@dataclass(frozen=True)
class Route:
    """One operation.

    Attributes:
        path: Stripe's path, with the names Stripe gives its ids: `/v1/coupons/{coupon}`.
        handler: called with the unit of work, the ids in the path, and the parameters by name.
    """

    method: str
    path: str
    handler: Callable[..., JsonObject]
    params: Fields = NO_PARAMETERS

    def ids_in(self, segments: list[str]) -> list[str] | None:
        """The ids a request's path has where this route's path has names; None when they are different paths."""
        own = self.path.strip("/").split("/")
        if len(own) != len(segments):
            return None
        pairs = list(zip(own, segments, strict=True))
        if all(name.startswith("{") or name == segment for name, segment in pairs):
            return [segment for name, segment in pairs if name.startswith("{")]
        return None


def find_route(routes: Iterable[Route], method: str, segments: list[str]) -> tuple[Route, list[str]] | None:
    """The route of a request and the ids in its path."""
    for route in routes:
        if route.method == method and (ids := route.ids_in(segments)) is not None:
            return route, ids
    return None


def retrieving(path: str, type: str) -> Route:
    """GET of one object by id."""
    param = path[path.rindex("{") + 1 : -1]

    def retrieve(work: Work, id: str, params: JsonObject) -> JsonObject:
        return work.get(type, id, param, in_path=True)

    return Route("GET", path, retrieve)
