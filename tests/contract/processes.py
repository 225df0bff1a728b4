"""Processes that a test starts and that have a sandbox of their own inside: they record, and the record is read here."""

from __future__ import annotations

import atexit
import os
import tempfile
from pathlib import Path

from tests.contract.watch import Watch

INSIDE = Path(__file__).parent / "inside"
_folder: tempfile.TemporaryDirectory[str] | None = None
_positions: dict[Path, int] = {}


def watched() -> dict[str, str]:
    """What to add to a process's environment."""
    record = _new_record()
    path = os.pathsep.join(filter(None, (str(INSIDE), os.environ.get("PYTHONPATH"))))
    return {"PYTHONPATH": path, "CONTRACT_RECORD": str(record)}


def take_records(watch: Watch) -> None:
    """Show the watch what was recorded since the last time; the last line may not be finished."""
    for record, position in _positions.items():
        with record.open("rb") as file:
            file.seek(position)
            whole, newline, _ = file.read().rpartition(b"\n")
        _positions[record] = position + len(whole) + len(newline)
        for line in whole.decode().splitlines():
            watch.take_record(line)


def _new_record() -> Path:
    global _folder
    if _folder is None:
        _folder = tempfile.TemporaryDirectory()
        atexit.register(_folder.cleanup)
    record = Path(_folder.name) / f"{len(_positions)}.jsonl"
    record.touch()
    _positions[record] = 0
    return record
