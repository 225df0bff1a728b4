"""The shape of the source: imports point one way, one package runs operations, and files stay small enough to read."""

from __future__ import annotations

import ast
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
LAYERS: tuple[tuple[str, ...], ...] = (
    ("rekomi_mcp.domain",),
    ("rekomi_mcp.operation",),
    ("rekomi_mcp.storage",),
    ("rekomi_mcp.gateways",),
    ("rekomi_mcp.tools",),
    ("rekomi_mcp.pipeline",),
    ("rekomi_mcp.settings", "rekomi_mcp.logs"),
    ("rekomi_mcp.transports", "rekomi_mcp.workers", "rekomi_mcp.sandbox"),
    ("rekomi_mcp.app",),
    ("rekomi_mcp.serving",),
    ("rekomi_mcp.demo",),
    ("rekomi_mcp.cli",),
    ("rekomi_mcp.__main__",),
)
"""Lowest first. Parts that share a layer do not import each other."""
ONLY_HERE = {
    "stripe": ("rekomi_mcp.gateways.stripe",),
    "mcp": ("rekomi_mcp.transports", "rekomi_mcp.serving", "rekomi_mcp.demo"),
    "alembic": ("rekomi_mcp.storage",),
    "cryptography": ("rekomi_mcp.gateways.vault",),
    "sqlmodel": ("rekomi_mcp.storage", "rekomi_mcp.operation", "rekomi_mcp.pipeline"),
}
"""Packages that only these parts of ours may know. (The operation and the pipeline name the session they hand on; the
demo is a client.)"""
PURE = {"__future__", "base64", "binascii", "collections", "dataclasses", "datetime", "decimal", "enum", "fractions",
        "json", "re", "typing", "unicodedata"}  # fmt: skip
"""What pure rules need of the standard library: nothing that reads, writes, waits or draws lots."""
RUNNING = {"handler", "prepare", "confirm", "abandon", "ask", "answer"}
"""The parts of an operation that only the pipeline may touch."""
STANDS_ALONE = "rekomi_mcp.sandbox"
"""Plays Stripe: it knows nothing of operations, and what it calls a handler is its own."""
MIGRATIONS = "rekomi_mcp.storage.migrations.versions"
"""History: written once, one statement a table, and never changed."""
MAX_FUNCTION_LINES = 70
MAX_FILE_LINES = 450


@cache
def modules() -> dict[str, Path]:
    """Every module by its import name; tools/ and storage/ are packages of rekomi_mcp."""
    found: dict[str, Path] = {}
    for folder in ("rekomi_mcp", "tools", "storage"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            dotted = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
            found[dotted if folder == "rekomi_mcp" else f"rekomi_mcp.{dotted}"] = path
    return found


@cache
def tree(module: str) -> ast.Module:
    return ast.parse(modules()[module].read_text(encoding="utf-8"))


@cache
def imports(module: str) -> frozenset[str]:
    """What a module imports anywhere: at its top, for its types, or inside a function."""
    names: set[str] = set()
    for node in ast.walk(tree(module)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}: write the whole name, not a relative import"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return frozenset(names)


def within(name: str, parts: tuple[str, ...]) -> bool:
    return any(name == part or name.startswith(f"{part}.") for part in parts)


def place(name: str) -> tuple[int, str] | None:
    """A name's layer, and the part of that layer it belongs to."""
    found = ((number, part) for number, layer in enumerate(LAYERS) for part in layer if within(name, (part,)))
    return next(found, None)


def source_modules() -> list[str]:
    return [module for module in modules() if module != "rekomi_mcp"]


every_module = pytest.mark.parametrize("module", source_modules())


@every_module
def test_a_module_imports_only_its_own_part_and_the_layers_below(module: str) -> None:
    here = place(module)
    assert here is not None, f"{module} belongs to no layer"
    for name in imports(module):
        there = place(name)
        if there is None:
            assert name == "rekomi_mcp.__version__" or not within(name, ("rekomi_mcp",)), name
        elif there[0] == here[0]:
            assert there[1] == here[1], f"{module} reaches across to {name}"
        else:
            assert there[0] < here[0], f"{module} reaches up to {name}"


def importers(names: tuple[str, ...]) -> set[str]:
    """The modules that import any of these, or something inside them."""
    return {module for module in source_modules() if any(within(name, names) for name in imports(module))}


def test_nothing_is_imported_by_a_name_that_is_not_ours_alone() -> None:
    assert importers(("tools", "storage", "tests")) == set()


@pytest.mark.parametrize("package", ONLY_HERE)
def test_a_package_that_one_part_wraps_is_imported_only_there(package: str) -> None:
    found = importers((package,))
    assert found, f"nothing imports {package}: take it off the list"
    assert {module for module in found if not within(module, ONLY_HERE[package])} == set()


@pytest.mark.parametrize("module", [m for m in source_modules() if within(m, ("rekomi_mcp.domain",))])
def test_the_rules_of_the_domain_are_pure(module: str) -> None:
    outside = {name.partition(".")[0] for name in imports(module)} - {"rekomi_mcp"}
    assert outside <= PURE
    read = {node.attr for node in ast.walk(tree(module)) if isinstance(node, ast.Attribute)}
    assert not read & {"now", "utcnow", "today"}


def touches(module: str) -> set[str]:
    """The parts of an operation that a module reads, and `Context` when it makes one."""
    found: set[str] = set()
    for node in ast.walk(tree(module)):
        if isinstance(node, ast.Attribute):
            if node.attr in RUNNING or (node.attr == "call" and ast.unparse(node.value).endswith(("steps", "inquiry"))):
                found.add(node.attr)
        elif isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] == "Context":
            found.add("Context")
    return found


def test_only_the_pipeline_runs_operations_and_makes_their_context() -> None:
    found = {module: touches(module) for module in source_modules() if not within(module, (STANDS_ALONE,))}
    pipeline = {module: names for module, names in found.items() if within(module, ("rekomi_mcp.pipeline",))}
    assert set[str]().union(*pipeline.values()) == RUNNING | {"call", "Context"}
    elsewhere = {module: names for module, names in found.items() if names and module not in pipeline}
    # The declaration itself checks that it was given a handler or something else.
    assert elsewhere == {"rekomi_mcp.operation": {"handler"}}


def test_the_sandbox_knows_the_rules_of_money_and_no_operation() -> None:
    names = {name for module in modules() if within(module, (STANDS_ALONE,)) for name in imports(module)}
    ours = {name for name in names if within(name, ("rekomi_mcp",))}
    assert {name for name in ours if not within(name, (STANDS_ALONE, "rekomi_mcp.domain"))} == set()


def test_every_module_opens_by_saying_what_it_is_for() -> None:
    assert [module for module in modules() if not (ast.get_docstring(tree(module)) or "").strip()] == []


def test_no_function_is_longer_than_a_screen() -> None:
    long = [
        f"{module}.{node.name}: {node.end_lineno - node.lineno + 1} lines"
        for module in modules()
        if not within(module, (MIGRATIONS,))
        for node in ast.walk(tree(module))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.end_lineno is not None
        and node.end_lineno - node.lineno >= MAX_FUNCTION_LINES
    ]
    assert long == []


def test_no_file_is_too_long_to_read() -> None:
    lengths = {module: len(path.read_text(encoding="utf-8").splitlines()) for module, path in modules().items()}
    long = {m: lines for m, lines in lengths.items() if lines > MAX_FILE_LINES and not within(m, (MIGRATIONS,))}
    assert long == {}


@pytest.mark.parametrize("module", ["rekomi_mcp.tools", "rekomi_mcp.transports.mcp"])
def test_a_server_that_is_only_asked_for_its_tools_loads_no_database_and_no_stripe(module: str) -> None:
    code = f"import sys, {module}; print(*sorted({{name.partition('.')[0] for name in sys.modules}}))"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert "rekomi_mcp" in ran.stdout.split()
    assert not {"sqlalchemy", "sqlmodel", "stripe", "alembic", "psycopg"} & set(ran.stdout.split())


def test_every_layer_that_is_named_exists() -> None:
    assert [part for layer in LAYERS for part in layer if part not in modules()] == []
