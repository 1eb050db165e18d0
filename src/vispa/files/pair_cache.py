"""A file of judged text pairs, so that no pair is judged twice."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

from vispa.errors import InputError
from vispa.files.folders import CACHE_VARIABLE, cache_folder

_FILE = "judged-pairs.sqlite"
# SQLite's own limit of variables in a statement was 999 for long.
_KEYS_PER_QUERY = 500
_PATIENCE_S = 60.0


def pair_key(scope: str, pair: tuple[str, str]) -> bytes:
    """SHA-256 of both texts and of what else the judgement depends on (model, dtype, length)."""
    return hashlib.sha256(json.dumps([scope, *pair]).encode()).digest()


class PairCache:
    """Key → probability in an SQLite file under the cache folder; several processes may share it."""

    def __init__(self, path: Path | None = None) -> None:
        """Args: path: the file; by default one under `vispa.files.writing.cache_folder()`."""
        self.path = path or cache_folder() / _FILE

    def read(self, keys: Sequence[bytes]) -> dict[bytes, float]:
        """What is known of the keys.

        Raises:
            InputError: the file cannot be used.
        """
        found: dict[bytes, float] = {}
        with self._connection() as connection:
            for start in range(0, len(keys), _KEYS_PER_QUERY):
                part = keys[start : start + _KEYS_PER_QUERY]
                marks = ",".join("?" * len(part))
                query = f"SELECT key, probability FROM pairs WHERE key IN ({marks})"
                found.update(connection.execute(query, part).fetchall())
        return found

    def write(self, entries: Mapping[bytes, float]) -> None:
        """Keep entries; all of them or, after an error, none.

        Raises:
            InputError: the file cannot be used.
        """
        with self._connection() as connection, connection:
            connection.executemany("INSERT OR REPLACE INTO pairs VALUES (?, ?)", entries.items())

    @contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with closing(sqlite3.connect(self.path, timeout=_PATIENCE_S)) as connection:
                connection.execute(
                    "CREATE TABLE IF NOT EXISTS pairs (key BLOB PRIMARY KEY, probability REAL NOT NULL) WITHOUT ROWID"
                )
                yield connection
        except (OSError, sqlite3.Error) as error:
            raise InputError(
                str(self.path),
                f"cannot be used as a cache ({error}).",
                f"Delete it (it is filled anew), or set {CACHE_VARIABLE} to another folder.",
            ) from error
