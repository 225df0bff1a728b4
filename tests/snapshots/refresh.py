"""Write the snapshots anew, after a change to a tool that was meant: `python tests/snapshots/refresh.py`."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

from rekomi_mcp.tools import CATALOGUE
from rekomi_mcp.transports.mcp import describe
from rekomi_mcp.transports.schemas import homes_of

FOLDER = Path(__file__).parent / "tools"


@cache
def snapshots() -> dict[str, str]:
    """What clients see of each tool, as the text of its snapshot, by file name."""
    homes = homes_of(CATALOGUE)
    return {
        f"{operation.name}.json": json.dumps(
            describe(operation, homes).model_dump(mode="json", by_alias=True, exclude_none=True),
            indent=2,
            ensure_ascii=False,
        )
        + "\n"
        for operation in CATALOGUE.exposed()
    }


def kept() -> dict[str, str]:
    """The snapshots there are."""
    return {path.name: path.read_text(encoding="utf-8") for path in FOLDER.glob("*.json")}


def main() -> None:
    wanted, found = snapshots(), kept()
    FOLDER.mkdir(exist_ok=True)
    for name in found.keys() - wanted.keys():
        (FOLDER / name).unlink()
    for name, text in wanted.items():
        (FOLDER / name).write_text(text, encoding="utf-8")
    changed = sorted(name for name in found.keys() | wanted.keys() if found.get(name) != wanted.get(name))
    print(f"{len(changed)} of {len(wanted)} snapshots changed: {', '.join(changed) or 'none'}.")


if __name__ == "__main__":
    main()
