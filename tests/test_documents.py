"""The documents say what the code does: generated parts are fresh, and nothing is left out."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from rekomi_mcp.domain.errors import Refusal
from rekomi_mcp.settings import FILE_VARIABLE, PREFIX, Settings
from rekomi_mcp.tools import CATALOGUE
from rekomi_mcp.tools.prompts import PROMPTS
from rekomi_mcp.tools.resources import RESOURCES
from tests.documents import GENERATED, ROOT, commands, refusals, rendered


@pytest.mark.parametrize("document", GENERATED)
def test_the_generated_parts_are_fresh(document: str) -> None:
    assert (ROOT / document).read_text(encoding="utf-8") == rendered(document), "run `make docs`"


@pytest.fixture(scope="module")
def references() -> str:
    """The documents that list what there is."""
    return "".join((ROOT / document).read_text(encoding="utf-8") for document in GENERATED)


def sources() -> Iterator[Path]:
    """The server's own files; the sandbox utters Stripe's errors, not ours."""
    for folder in ("rekomi_mcp", "tools", "storage"):
        yield from (path for path in (ROOT / folder).rglob("*.py") if "sandbox" not in path.parts)


def uttered_codes() -> set[str]:
    """Every error code that stands in the source: of a refusal, or of an answer that is written by hand."""
    found: set[str] = set()
    for path in sources():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Dict):
                pairs = zip(node.keys, node.values, strict=True)
                named = [value for key, value in pairs if isinstance(key, ast.Constant) and key.value == "error"]
                found |= {str(value.value) for value in named if isinstance(value, ast.Constant)}
    pending = Refusal.__subclasses__()
    while pending:
        refusal = pending.pop()
        pending += refusal.__subclasses__()
        found.add(refusal.code)
    return found


def test_every_operation_is_documented(references: str) -> None:
    assert [operation.name for operation in CATALOGUE if f"| `{operation.name}` |" not in references] == []


def test_every_resource_and_prompt_is_documented(references: str) -> None:
    names = [*(resource.uri for resource in RESOURCES), *(prompt.name for prompt in PROMPTS)]
    assert [name for name in names if f"| `{name}` |" not in references] == []


def test_every_setting_is_documented(references: str) -> None:
    names = [f"{PREFIX}{name.upper()}" for name in Settings.model_fields]
    assert [name for name in (*names, FILE_VARIABLE) if f"| `{name}` |" not in references] == []
    assert [name for name, field in Settings.model_fields.items() if not field.description] == []


def test_every_setting_that_the_source_names_exists() -> None:
    named = {name for path in sources() for name in re.findall(r"REKOMI_[A-Z_]+", path.read_text(encoding="utf-8"))}
    known = {f"{PREFIX}{name.upper()}" for name in Settings.model_fields}
    assert named <= known | {PREFIX, FILE_VARIABLE, "REKOMI_NAME"}


def test_every_error_code_is_documented(references: str) -> None:
    codes = uttered_codes()
    assert {"http_error", "internal_error", "validation_failed", "stripe_timeout"} <= codes
    assert [code for code in sorted(codes) if f"| `{code}` |" not in references] == []


def test_every_command_is_documented_with_its_arguments(references: str) -> None:
    assert {"rekomi-mcp org list", "rekomi-mcp token revoke ID"} <= {usage for usage, _ in commands()}
    assert [usage for usage, meaning in commands() if f"| `{usage}` | {meaning} |" not in references] == []


def test_every_refusal_says_what_it_means() -> None:
    assert [refusal.__name__ for refusal in refusals() if not refusal.__dict__.get("__doc__")] == []


def test_no_document_mentions_a_setting_that_does_not_exist() -> None:
    known = {f"{PREFIX}{name.upper()}" for name in Settings.model_fields} | {"REKOMI_SETTINGS_FILE", "REKOMI_NAME"}
    for document in [ROOT / "README.md", ROOT / "ARCHITECTURE.md", *sorted((ROOT / "docs").rglob("*.md"))]:
        mentioned = set(re.findall(r"REKOMI_[A-Z_]+", document.read_text(encoding="utf-8")))
        assert mentioned <= known, document.name


def test_every_link_between_the_documents_leads_somewhere() -> None:
    for document in [ROOT / "README.md", ROOT / "ARCHITECTURE.md", *sorted((ROOT / "docs").rglob("*.md"))]:
        for target in re.findall(r"\]\((?!https?://|#)([^)#]+)", document.read_text(encoding="utf-8")):
            assert (document.parent / target).exists(), f"{document.name} links to {target}"
