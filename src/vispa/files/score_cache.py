"""Scores kept on disk, for models that take long."""

from __future__ import annotations

import hashlib
import json
import logging
import sqlite3
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from vispa.files.caching import say_unused

_logger = logging.getLogger(__name__)

#: Seconds to wait for another process that is writing.
_PATIENCE = 30.0
# SQLite's own limit of variables in a statement was 999 for long.
_KEYS_PER_QUERY = 500
_DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}


def pair_key(scope: str, pair: tuple[str, str]) -> bytes:
    """SHA-256 of both texts and of what else the judgement depends on (model, dtype, length)."""
    return hashlib.sha256(json.dumps([scope, *pair]).encode()).digest()


class ScoreCache:
    """Rows of V scores by key, in an SQLite file that processes may share.

    A cache must never stop the work that it shortens: a damaged file is thrown away and begun
    anew, a damaged row counts as missing, and where the file cannot be used (no space, no
    permission) that is said once, nothing is found and nothing is kept.

    Args:
        path: the file; made with its folder on the first write.
        values: V, the length of a row.
        kind: in which a row is kept; `float64` where what is kept must be what was computed to the last bit.
    """

    def __init__(self, path: Path, values: int = 1, kind: Literal["float32", "float64"] = "float32") -> None:
        self.path, self.values = path, values
        self._kind = np.dtype(kind).newbyteorder("<")
        self._unused = False

    def get(self, keys: Sequence[bytes]) -> dict[bytes, npt.NDArray[np.floating]]:
        """The rows that are there, [V] each."""
        found: dict[bytes, npt.NDArray[np.floating]] = {}

        def read(database: sqlite3.Connection) -> None:
            for part in _parts(keys):
                marks = ",".join("?" * len(part))
                for key, stored in database.execute(f"SELECT key, scores FROM scored WHERE key IN ({marks})", part):
                    row = self._unpacked(key, stored)
                    if row is not None:
                        found[key] = row

        self._transact(read, writes=False)
        return found

    def put(self, rows: Mapping[bytes, npt.NDArray[np.floating]]) -> None:
        """Keep rows [V]; one transaction, so all or none."""
        packed = [(key, self._packed(key, row)) for key, row in rows.items()]
        self._transact(
            lambda database: database.executemany("INSERT OR REPLACE INTO scored VALUES (?, ?)", packed), writes=True
        )

    def _transact(self, work: Callable[[sqlite3.Connection], object], *, writes: bool) -> None:
        """Do some work on the file in one transaction, or leave it where the file cannot be used.

        A connection lasts no longer, so that threads and forked processes need not share one.
        """
        if self._unused:
            return
        try:
            if self.path.exists() and not self.path.is_file():
                raise OSError("it is no regular file")
            if not (writes or self.path.exists()):
                return
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with closing(sqlite3.connect(self.path, timeout=_PATIENCE)) as database, database:
                database.execute("CREATE TABLE IF NOT EXISTS scored (key BLOB PRIMARY KEY, scores BLOB) WITHOUT ROWID")
                work(database)
        except sqlite3.Error as error:
            # The low byte is the kind of the error; the rest tells where it was noticed.
            if getattr(error, "sqlite_errorcode", 0) & 0xFF in _DAMAGED:
                _logger.warning("%s is damaged (%s) and is begun anew.", self.path, error)
                self._discard()
            else:
                self._leave(error)
        except OSError as error:
            self._leave(error)

    def _leave(self, error: Exception) -> None:
        """Do without a cache from here on."""
        self._unused = True
        say_unused(self.path, error)

    def _discard(self) -> None:
        try:
            for path in (self.path, self.path.with_name(self.path.name + "-journal")):
                path.unlink(missing_ok=True)
        except OSError as error:
            self._leave(error)

    def _packed(self, key: bytes, row: npt.NDArray[np.floating]) -> bytes:
        """The scores in little-endian order, then a checksum: SQLite does not notice flipped bits."""
        scores = row.astype(self._kind).tobytes()
        return scores + _checksum(key, scores)

    def _unpacked(self, key: bytes, stored: object) -> npt.NDArray[np.floating] | None:
        if not isinstance(stored, bytes) or len(stored) != self._kind.itemsize * self.values + 4:
            return None
        scores, checksum = stored[:-4], stored[-4:]
        if checksum != _checksum(key, scores):
            return None
        return np.frombuffer(scores, dtype=self._kind).astype(self._kind.newbyteorder("="))


def _parts(keys: Sequence[bytes]) -> Iterator[Sequence[bytes]]:
    for start in range(0, len(keys), _KEYS_PER_QUERY):
        yield keys[start : start + _KEYS_PER_QUERY]


def _checksum(key: bytes, scores: bytes) -> bytes:
    return zlib.crc32(key + scores).to_bytes(4, "little")
