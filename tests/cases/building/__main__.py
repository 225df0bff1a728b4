"""Write every story to `tests/cases/own/`: run it after a story has changed."""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.cases.building.stories import STORIES, folder_names
from tests.cases.building.story import told

OWN = Path(__file__).parent.parent / "own"


def write(folder: Path) -> None:
    """Write the folder anew: nothing that no story tells stays behind."""
    shutil.rmtree(folder, ignore_errors=True)
    for name, tell in zip(folder_names(), STORIES, strict=True):
        for path, text in told(name, tell).files().items():
            target = folder / name / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    write(OWN)
