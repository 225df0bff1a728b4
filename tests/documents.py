"""The generated parts of the documents: `python -m tests.documents` writes them, a test checks that they are fresh."""

from __future__ import annotations

import argparse
import inspect
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import UnionType
from typing import Any, Literal, cast, get_args, get_origin

from pydantic import SecretStr

from rekomi_mcp.cli.call import markdown_table
from rekomi_mcp.cli.parser import build_parser
from rekomi_mcp.domain import errors
from rekomi_mcp.domain.errors import Refusal
from rekomi_mcp.gateways.stripe_inbox import HANDLED_EVENTS
from rekomi_mcp.settings import PREFIX, Settings
from rekomi_mcp.tools import CATALOGUE
from rekomi_mcp.tools.prompts import PROMPTS, Argument
from rekomi_mcp.tools.resources import RESOURCES

ROOT = Path(__file__).parent.parent


def settings_table() -> str:
    rows = ["| setting | meaning | default |", "|---|---|---|"]
    for name, field in Settings.model_fields.items():
        default = "unset" if field.default is None else f"`{field.default}`"
        rows.append(f"| `{PREFIX}{name.upper()}` | {field.description}{_choices(field.annotation)} | {default} |")
    rows.append(
        "| `REKOMI_SETTINGS_FILE` | File of `REKOMI_NAME=value` lines; the environment goes before it. | unset |"
    )
    return "\n".join(rows)


def _choices(annotation: Any) -> str:
    if get_origin(annotation) is UnionType or annotation is SecretStr:
        return ""
    return f" One of {', '.join(get_args(annotation))}." if get_origin(annotation) is Literal else ""


def refusals() -> list[type[Refusal]]:
    """Every class of refusal, by status and code."""
    classes = [c for _, c in inspect.getmembers(errors, inspect.isclass) if issubclass(c, Refusal) and c is not Refusal]
    return sorted(classes, key=lambda c: (c.status, c.code))


def errors_table() -> str:
    rows = ["| status | error | meaning |", "|---|---|---|"]
    rows += [f"| {c.status} | `{c.code}` | {_meaning(c)} |" for c in refusals()]
    rows.append("| 4xx | `http_error` | The request is not one that HTTP allows; the message says why. |")
    rows.append("| 500 | `internal_error` | The server failed; nothing was changed, and its log says why. |")
    return "\n".join(rows)


def commands() -> Iterator[tuple[str, str]]:
    """Every command with its arguments, and what it does."""
    waiting = [build_parser("")]
    while waiting:
        parser = waiting.pop(0)
        actions = [action for action in parser._actions if action.dest != "help"]  # pyright: ignore[reportPrivateUsage]
        groups = [cast(dict[str, argparse.ArgumentParser], a.choices) for a in actions if isinstance(a.choices, dict)]
        for group in groups:
            waiting += group.values()
        if not groups:
            # Not argparse's own line, which differs between versions of Python.
            arguments = sorted(map(_argument, actions), key=lambda argument: argument.startswith("[--"))
            yield " ".join([parser.prog, *arguments]), parser.description or ""


def _argument(action: argparse.Action) -> str:
    value = "/".join(map(str, action.choices)) if action.choices else str(action.metavar or action.dest.upper())
    if not action.option_strings:
        return value if action.required else f"[{value}]"
    return f"[{action.option_strings[0]}]" if action.nargs == 0 else f"[{action.option_strings[0]} {value}]"


def commands_table() -> str:
    rows = ["| command | what it does |", "|---|---|"]
    rows += [f"| `{usage}` | {meaning} |" for usage, meaning in commands()]
    return "\n".join(rows)


def own_operations_table() -> str:
    rows = ["| operation | what it does |", "|---|---|"]
    rows += [f"| `{operation.name}` | {operation.summary} |" for operation in CATALOGUE if not operation.exposed]
    return "\n".join(rows)


def resources_table() -> str:
    rows = ["| resource | what it is | answers like |", "|---|---|---|"]
    for resource in RESOURCES:
        source = f"`{resource.operation.name}`" if resource.operation else "a text"
        rows.append(f"| `{resource.uri}` | {resource.description} | {source} |")
    return "\n".join(rows)


def prompts_table() -> str:
    rows = ["| prompt | what it is for | arguments |", "|---|---|---|"]
    rows += [f"| `{p.name}` | {p.description} | {', '.join(map(_filled_in, p.arguments))} |" for p in PROMPTS]
    return "\n".join(rows)


def fields_table(operation: str) -> str:
    """What an operation takes."""
    found = CATALOGUE.get(operation)
    assert found is not None
    rows = ["| field | needed | meaning |", "|---|---|---|"]
    for name, field in found.input.model_fields.items():
        rows.append(f"| `{field.alias or name}` | {'yes' if field.is_required() else ''} | {field.description} |")
    return "\n".join(rows)


def events_block() -> str:
    return "\n".join(["```", *HANDLED_EVENTS, "```"])


def _filled_in(argument: Argument) -> str:
    return argument.name if argument.required else f"[{argument.name}]"


def _meaning(refusal: type[Refusal]) -> str:
    return inspect.cleandoc(refusal.__dict__.get("__doc__") or "").replace("\n", " ")


GENERATED: dict[str, dict[str, Callable[[], str]]] = {
    "README.md": {
        "tools": markdown_table,
        "resources": resources_table,
        "prompts": prompts_table,
        "settings": settings_table,
        "events": events_block,
    },
    "docs/commands.md": {"commands": commands_table, "own operations": own_operations_table},
    "docs/errors.md": {"errors": errors_table},
    "docs/tracking.md": {
        "sale fields": partial(fields_table, "record_sale"),
        "lead fields": partial(fields_table, "record_lead"),
        "refund fields": partial(fields_table, "record_refund"),
    },
}


def rendered(document: str) -> str:
    """The document with its generated parts made anew."""
    text = (ROOT / document).read_text(encoding="utf-8")
    for name, make in GENERATED[document].items():
        before, found, rest = text.partition(f"<!-- generated: {name} -->\n")
        _, also_found, after = rest.partition(f"<!-- end: {name} -->")
        assert found and also_found, f"{document} has no place for {name}"
        text = f"{before}{found}{make()}\n{also_found}{after}"
    return text


def main() -> None:
    for document in GENERATED:
        (ROOT / document).write_text(rendered(document), encoding="utf-8")


if __name__ == "__main__":
    main()
