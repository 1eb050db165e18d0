"""Answering a file of texts: fixed chunks, appended line by line, resumable after any stop."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Any

from filelock import FileLock, Timeout

from vispa.chat import Failure
from vispa.errors import InputError
from vispa.files import replacing
from vispa.inputs import Item
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
        with ExitStack() as stack:
            self._lock(stack)
            done = self._prepare()
            if progress is not None and done:
                progress(done)
            file = stack.enter_context(self.output.open("ab"))
            for start in range(done - done % CHUNK, len(self.items), CHUNK):
                chunk = self.items[start : start + CHUNK]
                answers = answer(chunk)
                fresh = max(0, done - start)
                self._append(file, list(zip(chunk, answers, strict=True))[fresh:])
                self.failed += sum(isinstance(one, Failure) for one in answers[fresh:])
                if progress is not None:
                    progress(len(chunk) - fresh)
        return len(self.items) - done

    def _lock(self, stack: ExitStack) -> None:
        try:
            self.output.parent.mkdir(parents=True, exist_ok=True)
            lock = FileLock(self.output.with_name(self.output.name + ".lock"))
            stack.enter_context(lock.acquire(timeout=0))
        except Timeout as error:
            raise InputError(
                str(self.output), "is being written by another process.", "Wait for it, or choose another output."
            ) from error
        except OSError as error:
            raise InputError(
                str(self.output), f"cannot be written ({error.strerror}).", "Choose a file that you may write."
            ) from error

    def _prepare(self) -> int:
        """Make output and settings agree; the number of items already answered."""
        settings_file = settings_path(self.output)
        if self.output.is_dir():
            raise InputError(str(self.output), "is a folder.", "Name a file.")
        if self.output.exists() and not self.overwrite:
            try:
                earlier = json.loads(settings_file.read_text(encoding="utf-8"))
            except (OSError, ValueError):
                earlier = None
            if earlier is None and self.output.stat().st_size:
                raise InputError(
                    str(self.output), "was not begun by this command.", "Choose another output, or --overwrite."
                )
            if earlier is not None and earlier != self.settings:
                differing = sorted(k for k in {*earlier, *self.settings} if earlier.get(k) != self.settings.get(k))
                raise InputError(
                    str(self.output),
                    f"was begun with other {', '.join(differing)}.",
                    "Use the same settings, choose another output, or --overwrite.",
                )
        # The output goes first: settings beside an older output would claim it as their own.
        if self.overwrite:
            self.output.unlink(missing_ok=True)
        with replacing(settings_file) as temporary:
            temporary.write_text(json.dumps(self.settings, indent=1, sort_keys=True) + "\n", encoding="utf-8")
        return self._whole_lines()

    def _whole_lines(self) -> int:
        """Cut a line that a stop left unfinished; the number of whole lines."""
        if not self.output.exists():
            return 0
        with self.output.open("r+b") as file:
            data = file.read()
            whole = data.rfind(b"\n") + 1
            file.truncate(whole)
        lines = data[:whole].splitlines()
        for number, (line, item) in enumerate(zip(lines, self.items, strict=False), 1):
            try:
                found = json.loads(line)["id"]
            except (ValueError, KeyError, TypeError):
                found = None
            if found != item.id:
                raise InputError(
                    f"{self.output} line {number}",
                    f"is not the answer to item {item.id!r}.",
                    "Choose another output, or --overwrite.",
                )
        return len(lines)

    @staticmethod
    def _append(file: IO[bytes], answered: Sequence[tuple[Item, Response | Failure]]) -> None:
        for item, response in answered:
            file.write(record_line(item, response))
        file.flush()


def record_line(item: Item, response: Response | Failure) -> bytes:
    """An answer as a JSON line; timings are left out, because they differ between runs.

    An item whose aggregating model failed has the fields `id` and `error`.
    """
    if isinstance(response, Failure):
        record: dict[str, Any] = {"error": response.reason}
    else:
        record = response.model_dump(mode="json", exclude={"provenance": {"timings"}})
    return json.dumps({"id": item.id, **record}, ensure_ascii=False).encode() + b"\n"


def _digest(items: Sequence[Item]) -> str:
    digest = hashlib.sha256()
    for item in items:
        digest.update(json.dumps(vars(item), sort_keys=True).encode())
    return digest.hexdigest()
