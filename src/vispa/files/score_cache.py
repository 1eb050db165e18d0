"""Scores of texts kept on disk, for selectors that take long."""

from __future__ import annotations

import logging
import sqlite3
import zlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from pathlib import Path

import numpy as np
import numpy.typing as npt

_logger = logging.getLogger(__name__)

#: Seconds to wait for another process that is writing.
_PATIENCE = 30.0
_DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}


class ScoreCache:
    """Rows of V scores by key, in an SQLite file that processes may share.

    A cache must never stop the work that it shortens: a damaged file is thrown away and begun
    anew, a damaged row counts as missing, and where the file cannot be used (no space, no
    permission) nothing is found and nothing is kept.

    Args:
        path: the file; made with its folder on the first write.
        values: V, the length of a row.
    """

    def __init__(self, path: Path, values: int) -> None:
        self.path, self.values = path, values

    def get(self, keys: Sequence[bytes]) -> dict[bytes, npt.NDArray[np.float32]]:
        """The rows that are there, [V] each."""
        found: dict[bytes, npt.NDArray[np.float32]] = {}

        def read(database: sqlite3.Connection) -> None:
            for key in keys:
                for (stored,) in database.execute("SELECT scores FROM scored WHERE key = ?", (key,)):
                    row = self._unpacked(key, stored)
                    if row is not None:
                        found[key] = row

        if self.path.exists():
            self._transact(read)
        return found

    def put(self, rows: Mapping[bytes, npt.NDArray[np.float32]]) -> None:
        """Keep rows [V]; one transaction, so all or none."""
        packed = [(key, _packed(key, row)) for key, row in rows.items()]
        self._transact(lambda database: database.executemany("INSERT OR REPLACE INTO scored VALUES (?, ?)", packed))

    def _transact(self, work: Callable[[sqlite3.Connection], object]) -> None:
        """Do some work on the file in one transaction, or leave it where the file cannot be used.

        A connection lasts no longer, so that threads and forked processes need not share one.
        """
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with closing(sqlite3.connect(self.path, timeout=_PATIENCE)) as database, database:
                database.execute("CREATE TABLE IF NOT EXISTS scored (key BLOB PRIMARY KEY, scores BLOB) WITHOUT ROWID")
                work(database)
        except sqlite3.DatabaseError as error:
            # The low byte is the kind of the error; the rest tells where it was noticed.
            if getattr(error, "sqlite_errorcode", 0) & 0xFF in _DAMAGED:
                _logger.warning("%s is damaged (%s) and is begun anew.", self.path, error)
                self._discard()
            else:
                _logger.warning("%s is not used (%s).", self.path, error)
        except OSError as error:
            _logger.warning("%s is not used (%s).", self.path, error)

    def _discard(self) -> None:
        for path in (self.path, self.path.with_name(self.path.name + "-journal")):
            path.unlink(missing_ok=True)

    def _unpacked(self, key: bytes, stored: object) -> npt.NDArray[np.float32] | None:
        if not isinstance(stored, bytes) or len(stored) != 4 * (self.values + 1):
            return None
        scores, checksum = stored[:-4], stored[-4:]
        if checksum != _checksum(key, scores):
            return None
        return np.frombuffer(scores, dtype="<f4").astype(np.float32)


def _packed(key: bytes, row: npt.NDArray[np.float32]) -> bytes:
    """The scores as little-endian float32, then a checksum: SQLite does not notice flipped bits."""
    scores = row.astype("<f4").tobytes()
    return scores + _checksum(key, scores)


def _checksum(key: bytes, scores: bytes) -> bytes:
    return zlib.crc32(key + scores).to_bytes(4, "little")
