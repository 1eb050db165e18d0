"""What a run has found so far, kept in a file, so that a later run goes on after it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from vispa.files.append_log import AppendLog


class Kept:
    """Results by a digest of all that determines them.

    Args:
        path: of a JSON Lines file that grows; None keeps them in memory alone.
    """

    def __init__(self, path: Path | None) -> None:
        self._log = None if path is None else AppendLog(path)
        lines = [] if self._log is None else self._log.open()
        if self._log is not None:
            self._log.cut()
        self._known: dict[str, Mapping[str, Any]] = {entry.pop("key"): entry for entry in map(json.loads, lines)}

    def get(self, parts: Any, make: Callable[[], Mapping[str, Any]]) -> Mapping[str, Any]:
        """What was found before for these parts, or what `make` finds now; both as JSON can say it."""
        key = digest(parts)
        if key not in self._known:
            self._known[key] = make()
            if self._log is not None:
                self._log.append([json.dumps({"key": key, **self._known[key]}).encode() + b"\n"])
        return self._known[key]


def digest(parts: Any) -> str:
    """SHA-256 of anything that JSON can say."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
