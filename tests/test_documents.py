"""The documents say what the code does: generated parts are fresh, and nothing is left out."""

from __future__ import annotations

import re

import pytest

from rekomi_mcp.settings import PREFIX, Settings
from rekomi_mcp.tools import CATALOGUE
from tests.documents import GENERATED, ROOT, refusals, rendered


@pytest.mark.parametrize("document", GENERATED)
def test_the_generated_parts_are_fresh(document: str) -> None:
    assert (ROOT / document).read_text(encoding="utf-8") == rendered(document), "run `make docs`"


def test_every_operation_setting_and_error_code_is_documented() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8") + (ROOT / "docs/errors.md").read_text(encoding="utf-8")
    wanted = {operation.name for operation in CATALOGUE.exposed()}
    wanted |= {f"{PREFIX}{name.upper()}" for name in Settings.model_fields}
    wanted |= {refusal.code for refusal in refusals()}
    assert {name for name in wanted if f"`{name}`" not in text} == set()


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
