"""Answering a file of texts: fixed chunks, appended line by line, resumable after any stop."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from vispa.files.append_log import AppendLog, Destination, differing_settings, unfinished_chunks
from vispa.files.writing import replacing
from vispa.items.reading import Item
from vispa.readers.base import Failure
from vispa.records import Response

#: Items answered together. Part of a run's settings: the same items meet in the same chunk
#: after a resume, so that batched arithmetic gives the same bytes.
CHUNK = 32

Answer = Callable[[Sequence[Item]], Sequence[Response | Failure]]


def settings_path(output: Path) -> Path:
    """The file beside the output that says what the output was made with."""
    return output.with_name(output.name + ".settings.json")


class BatchRun:
    """Writes one JSON line an item, in the items' order.

    Args:
        items: what to answer.
        output: the JSON Lines file; continued if it was begun with the same items and settings.
        settings: whatever determines the answers.
        overwrite: begin anew although there is an output.

    Raises:
        InputError: the output cannot be written, belongs to other items or settings, or is
            being written by another process.
    """

    def __init__(
        self, items: Sequence[Item], output: Path, settings: dict[str, Any], *, overwrite: bool = False
    ) -> None:
        self.items, self.output = items, output
        self.settings = {**settings, "chunk": CHUNK, "items": _digest(items)}
        self.overwrite = overwrite
        self.destination = Destination(output, "output")
        self.log = AppendLog(output, self.destination.advice)
        #: Items of this call whose aggregating model failed; their lines hold an `error`.
        self.failed = 0

    def run(self, answer: Answer, progress: Callable[[int], None] | None = None) -> int:
        """Answer what is not answered yet.

        Args:
            answer: called with the items of one chunk.
            progress: called with the number of items just written, those of an earlier run first.

        Returns:
            Number of items answered by this call.
        """
        with self.destination.locked():
            done = self._prepare()
            if progress is not None and done:
                progress(done)
            for chunk, answered in unfinished_chunks(self.items, done, CHUNK):
                fresh = list(zip(chunk, answer(chunk), strict=True))[answered:]
                self.log.append(record_line(item, response) for item, response in fresh)
                self.failed += sum(isinstance(response, Failure) for _, response in fresh)
                if progress is not None:
                    progress(len(fresh))
        return len(self.items) - done

    def _prepare(self) -> int:
        """Make output and settings agree; the number of items already answered."""
        settings_file = settings_path(self.output)
        if self.output.exists() and not self.overwrite:
            earlier = _earlier_settings(settings_file)
            self.destination.check_begun_here(earlier, holds_answers=self.output.stat().st_size > 0)
            if earlier is not None:
                self.destination.check_same_settings(differing_settings(earlier, self.settings))
        # The output goes first: settings beside an older output would claim it as their own.
        if self.overwrite:
            self.output.unlink(missing_ok=True)
        with replacing(settings_file) as temporary:
            temporary.write_text(json.dumps(self.settings, indent=1, sort_keys=True) + "\n", encoding="utf-8")
        return self.log.resume([item.id for item in self.items])


def record_line(item: Item, response: Response | Failure) -> bytes:
    """An answer as a JSON line; timings are left out, because they differ between runs.

    An item whose aggregating model failed has the fields `id` and `error`.
    """
    if isinstance(response, Failure):
        record: dict[str, Any] = {"error": response.reason}
    else:
        record = response.model_dump(mode="json", exclude={"provenance": {"timings"}})
    return json.dumps({"id": item.id, **record}, ensure_ascii=False).encode() + b"\n"


def _earlier_settings(path: Path) -> dict[str, Any] | None:
    """What an earlier call wrote there; None where there is nothing of the kind."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def _digest(items: Sequence[Item]) -> str:
    digest = hashlib.sha256()
    for item in items:
        digest.update(json.dumps(vars(item), sort_keys=True).encode())
    return digest.hexdigest()
