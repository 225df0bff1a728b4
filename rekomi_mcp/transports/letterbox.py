"""Keep what arrives, before it is acknowledged: what comes in while others are being written is written with the next.

A commit waits for the disk. Under load this makes one commit of many events, and alone an event waits for nobody.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import anyio
from anyio import to_thread

MOST_AT_ONCE = 100
Row = Mapping[str, Any]


@dataclass(slots=True)
class _Letter:
    row: Row
    is_new: bool | None = None
    """None until it is kept."""
    error: Exception | None = None


class Letterbox:
    def __init__(self, keep: Callable[[Sequence[Row]], Collection[tuple[str, str]]]) -> None:
        """`keep` writes rows of the inbox in one transaction and answers the (account, event id) of those that were new."""
        self._keep = keep
        self._waiting: list[_Letter] = []
        self._writing = anyio.Lock()

    async def post(self, row: Row) -> bool:
        """Keep an event; answers whether it was new, once it is committed."""
        letter = _Letter(row)
        self._waiting.append(letter)
        async with self._writing:
            if letter.is_new is None and letter.error is None:  # else it was taken along
                letters, self._waiting = self._waiting[:MOST_AT_ONCE], self._waiting[MOST_AT_ONCE:]
                await to_thread.run_sync(self._write, letters)
        if letter.error is not None:
            raise letter.error
        return bool(letter.is_new)

    def _write(self, letters: Sequence[_Letter]) -> None:
        try:
            new = set(self._keep([letter.row for letter in letters]))
        except Exception as error:  # noqa: BLE001 - raised to whoever posted it
            if len(letters) == 1:
                letters[0].error = error
                return
            for letter in letters:  # what is wrong with one must not fall on the others
                self._write([letter])
            return
        for letter in letters:
            key = (letter.row["account"], letter.row["event_id"])
            letter.is_new = key in new
            new.discard(key)  # the same event twice at once is new once
