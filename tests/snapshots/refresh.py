"""Write the snapshots anew, after a change that was meant: `python tests/snapshots/refresh.py`."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

from pydantic import BaseModel

from rekomi_mcp.tools import CATALOGUE
from rekomi_mcp.tools.prompts import PROMPTS
from rekomi_mcp.tools.resources import RESOURCES
from rekomi_mcp.transports.mcp import describe
from rekomi_mcp.transports.mcp_prompts import listed_prompt
from rekomi_mcp.transports.mcp_resources import listed_resource, listed_template
from rekomi_mcp.transports.schemas import homes_of

FOLDER = Path(__file__).parent
KINDS = ("tools", "resources", "prompts")


@cache
def snapshots() -> dict[str, str]:
    """What clients see of each tool, resource and prompt, as the text of its snapshot, by file name."""
    homes = homes_of(CATALOGUE)
    seen: dict[str, BaseModel] = {f"tools/{o.name}": describe(o, homes) for o in CATALOGUE.exposed()}
    for resource in RESOURCES:
        listed = listed_template(resource) if resource.parameters else listed_resource(resource)
        seen[f"resources/{resource.name}"] = listed
    seen |= {f"prompts/{prompt.name}": listed_prompt(prompt) for prompt in PROMPTS}
    return {f"{name}.json": _text(model) for name, model in seen.items()}


def _text(model: BaseModel) -> str:
    return (
        json.dumps(model.model_dump(mode="json", by_alias=True, exclude_none=True), indent=2, ensure_ascii=False) + "\n"
    )


def kept() -> dict[str, str]:
    """The snapshots there are."""
    paths = [path for kind in KINDS for path in (FOLDER / kind).glob("*.json")]
    return {path.relative_to(FOLDER).as_posix(): path.read_text(encoding="utf-8") for path in paths}


def main() -> None:
    wanted, found = snapshots(), kept()
    for kind in KINDS:
        (FOLDER / kind).mkdir(exist_ok=True)
    for name in found.keys() - wanted.keys():
        (FOLDER / name).unlink()
    for name, text in wanted.items():
        (FOLDER / name).write_text(text, encoding="utf-8")
    changed = sorted(name for name in found.keys() | wanted.keys() if found.get(name) != wanted.get(name))
    print(f"{len(changed)} of {len(wanted)} snapshots changed: {', '.join(changed) or 'none'}.")


if __name__ == "__main__":
    main()
