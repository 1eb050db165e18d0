"""Answering a file of texts: fixed chunks, appended line by line, resumable after any stop."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from vispa.errors import InputError, NumericalError
from vispa.files.append_log import AnswerLog, retried_path
from vispa.files.destination import Destination, differing_settings
from vispa.files.reading import read_object
from vispa.files.writing import check_output, replacing
from vispa.items.item import Item
from vispa.readers.base import Failure
from vispa.records import Response

#: Items answered together. Part of a run's settings: the same items meet in the same chunk
#: after a resume, so that batched arithmetic gives the same bytes.
CHUNK = 32

T = TypeVar("T")
A = TypeVar("A")
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
        self.log = AnswerLog(output, self.destination.advice)

    @property
    def failed(self) -> int:
        """Number of items in the file that have no answer; their lines hold an `error`."""
        return len(self.log.failed)

    def run(self, answer: Answer, progress: Callable[[int], None] | None = None) -> int:
        """Answer what is not answered yet; what failed in an earlier call is asked again.

        Args:
            answer: called with the items of one chunk.
            progress: called with the number of items just written, those of an earlier run first.

        Returns:
            Number of items that this call asked.

        Raises:
            InputError: see the class.
            OutputError: there is no room, or the output was deleted or changed meanwhile.
        """
        told = progress or (lambda count: None)
        asked = 0
        with self.destination.locked():
            self._prepare()
            told(self.log.done - len(self.log.failed))
            for chunk, answered, log in self.log.unfinished(self.items, CHUNK):
                found = answered_each(answer, chunk, lambda error: Failure(str(error)), NumericalError)
                fresh = list(zip(chunk, found, strict=True))[answered:]
                log.append(record_line(item, response) for item, response in fresh)
                asked += len(fresh)
                told(len(fresh))
        return asked

    def _prepare(self) -> None:
        """Make output and settings agree."""
        settings_file = settings_path(self.output)
        if self.output.exists() and not self.overwrite:
            earlier = _earlier_settings(settings_file)
            self.destination.check_begun_here(earlier, holds_answers=self.output.stat().st_size > 0)
            if earlier is not None:
                self.destination.check_same_settings(differing_settings(earlier, self.settings))
        # The output goes first: settings beside an older output would claim it as their own.
        if self.overwrite:
            self.log.remove()
        with replacing(settings_file) as temporary:
            temporary.write_text(json.dumps(self.settings, indent=1, sort_keys=True) + "\n", encoding="utf-8")
        self.log.resume(self.items)


def answered_each(
    answer: Callable[[Sequence[T]], Sequence[A]],
    chunk: Sequence[T],
    failed: Callable[[Exception], A],
    fault: type[Exception],
) -> Sequence[A]:
    """A chunk's answers; where the chunk cannot be answered as a whole, each item's on its own.

    One item must not end a run of hours. A fault of the caller's input would show at every item, and comes through.

    Args:
        answer: called with items.
        chunk: the items.
        failed: makes an answer of what was raised for a single item.
        fault: what a single item may raise.
    """
    try:
        return answer(chunk)
    except InputError:
        raise
    except fault as error:
        if len(chunk) == 1:
            return [failed(error)]
    return [one for item in chunk for one in answered_each(answer, [item], failed, fault)]


def check_batch_output(output: Path, inputs: Iterable[Path | None]) -> None:
    """Refuse an output that would destroy what is read, by itself or by a file that is written beside it.

    Raises:
        InputError: as `vispa.files.writing.check_output`.
    """
    given = list(inputs)
    beside = (settings_path(output), retried_path(output), Destination(output, "output").lock_file)
    for path in (output, *beside):
        check_output(path, given)


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
        return read_object(path, "settings")
    except InputError:
        return None


def _digest(items: Sequence[Item]) -> str:
    digest = hashlib.sha256()
    for item in items:
        digest.update(item.model_dump_json().encode())
    return digest.hexdigest()
