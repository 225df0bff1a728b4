"""The installed stripe package as text: its modules, their classes, and what their names mean.

Read and not imported: half of the annotations name classes that are imported for type checkers only.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path


@dataclass(frozen=True)
class Class:
    """A class, with the module that its annotations are read in."""

    module: Module
    node: ast.ClassDef

    @property
    def bases(self) -> list[str]:
        return [ast.unparse(base) for base in self.node.bases]

    @property
    def object_name(self) -> str | None:
        """What `object` is in the JSON of a resource; None for what is only a part of one."""
        for statement in self.node.body:
            if isinstance(statement, ast.AnnAssign) and ast.unparse(statement.target) == "OBJECT_NAME":
                return str(ast.literal_eval(statement.value)) if statement.value else None
        return None

    def fields(self) -> Iterator[tuple[str, ast.expr]]:
        """The annotated fields, which are those of the JSON."""
        for statement in self.node.body:
            if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
                name = statement.target.id
                if not name.startswith("_") and name != "OBJECT_NAME":
                    yield name, statement.annotation

    def named(self, name: str) -> Class:
        """The class that a name in this class's annotations means.

        Raises:
            KeyError: there is none.
        """
        for statement in self.node.body:
            if isinstance(statement, ast.ClassDef) and statement.name == name:
                return Class(self.module, statement)
        return self.module.named(name)


@dataclass(frozen=True)
class Module:
    """A module of the package."""

    name: str
    tree: ast.Module

    def __hash__(self) -> int:
        return hash(self.name)

    def named(self, name: str) -> Class:
        """The class of this name, made here or imported.

        Raises:
            KeyError: there is none.
        """
        for statement in self.tree.body:
            if isinstance(statement, ast.ClassDef) and statement.name == name:
                return Class(self, statement)
        for statement in ast.walk(self.tree):
            if isinstance(statement, ast.ImportFrom):
                for alias in statement.names:
                    if name == (alias.asname or alias.name):
                        return module(str(statement.module)).named(alias.name)
        raise KeyError(f"{name} in {self.name}")


@cache
def module(name: str) -> Module:
    spec = find_spec(name)
    assert spec is not None and spec.origin is not None, name
    return Module(name, ast.parse(Path(spec.origin).read_text(encoding="utf-8")))


def services() -> Iterator[Module]:
    """The modules that hold the requests of Stripe's first API."""
    [root] = find_spec("stripe").submodule_search_locations or []  # pyright: ignore[reportOptionalMemberAccess]
    for path in sorted(Path(root).rglob("*_service.py")):
        parts = path.relative_to(root).with_suffix("").parts
        if parts[0] != "v2":
            yield module(".".join(("stripe", *parts)))
