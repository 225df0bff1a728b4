"""The sandbox's clock: real time plus the offset that advancing it has built up."""

import sqlite3
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path


def offset_seconds(db: sqlite3.Connection) -> int:
    """How far the sandbox's clock is ahead of real time."""
    row: tuple[int] | None = db.execute("SELECT value FROM settings WHERE name = 'clock_offset_seconds'").fetchone()
    return row[0] if row else 0


class SandboxClock:
    """The sandbox's time for its neighbours: call it for an aware UTC datetime.

    Reads the offset from the state file at every call (some microseconds), because any process may advance it.
    A state file that does not exist yet means no offset.
    """

    def __init__(self, state_path: Path) -> None:
        self._path = state_path
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None

    def __call__(self) -> datetime:
        return datetime.now(UTC) + timedelta(seconds=self._offset_seconds())

    def close(self) -> None:
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    def _offset_seconds(self) -> int:
        with self._lock:
            if self._connection is None:
                if not self._path.exists():
                    return 0
                uri = f"{self._path.absolute().as_uri()}?mode=rw"
                self._connection = sqlite3.connect(uri, uri=True, check_same_thread=False, isolation_level=None)
            try:
                return offset_seconds(self._connection)
            except sqlite3.OperationalError as error:
                if "no such table" in str(error):  # another process is just creating the file
                    return 0
                raise
