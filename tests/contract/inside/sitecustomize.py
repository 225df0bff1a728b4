"""Python runs this in a process that a test starts with `watched()`: it writes down what the sandbox in there does.

Nothing is imported for it before the process itself imports it, because when that happens is tested too.
"""

import json
import os
import sys
from collections.abc import Callable, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any

RECORD = "CONTRACT_RECORD"
_record = os.open(os.environ[RECORD], os.O_WRONLY | os.O_APPEND | os.O_CREAT)


def _write(seen: object) -> None:
    os.write(_record, (json.dumps(seen) + "\n").encode())


def _watch_answers(app: Any) -> None:
    answer: Callable[[Any, Any], Any] = app.answer_api

    def watched(state: Any, request: Any) -> Any:
        given = answer(state, request)
        asked = [request.method, request.segments, request.form, dict(request.headers)]
        _write([*asked, given.status, given.body])
        return given

    app.answer_api = watched


def _watch_objects(work: Any) -> None:
    def watched(store: Callable[[Any, Any], None]) -> Callable[[Any, Any], None]:
        def stores(self: Any, item: Any) -> None:
            store(self, item)
            _write(item)

        return stores

    work.Work.add, work.Work.save = watched(work.Work.add), watched(work.Work.save)


_WATCHED = {"rekomi_mcp.sandbox.app": _watch_answers, "rekomi_mcp.sandbox.work": _watch_objects}


class _Loader(Loader):
    """The real loader, and the watch over what it has loaded."""

    def __init__(self, loader: Loader) -> None:
        self._loader = loader

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        self._loader.exec_module(module)
        _WATCHED[module.__name__](module)


class _Finder(MetaPathFinder):
    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        spec = PathFinder.find_spec(fullname, path) if fullname in _WATCHED else None
        if spec is not None and spec.loader is not None:
            spec.loader = _Loader(spec.loader)
        return spec


sys.meta_path.insert(0, _Finder())
