"""Answering items chunk by chunk: what is lacking is asked, and each chunk's lines are kept before the next one's."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from vispa.errors import InputError, VispaError
from vispa.files.append_log import AnswerLog
from vispa.items.item import Item

T = TypeVar("T")
A = TypeVar("A")
#: Chunks in, the answers of each out, in the order of the chunks. Chunks may be asked before earlier ones are answered.
Answering = Callable[[Iterable[Sequence[Item]]], Iterator[Sequence[A]]]


def answer_unfinished(
    log: AnswerLog,
    items: Sequence[Item],
    size: int,
    answering: Answering[A],
    line: Callable[[Item, A], bytes],
    told: Callable[[int, Sequence[A]], None],
) -> None:
    """Answer what a log lacks, chunk by chunk, and append each chunk's lines before those of the next.

    Args:
        log: of the answers; nobody else may write to it.
        items: all of them, in their order.
        size: number of items in a chunk.
        answering: gives one answer to each item of each chunk.
        line: an item's answer as the log holds it, line end included.
        told: called with the number of items whose lines were just appended and their answers; first
            with the number of those that an earlier call answered, and none. What it raises ends the run.

    Raises:
        InputError: the log's lines belong to other items.
        OutputError: there is no room, or the log was deleted or changed meanwhile.
    """
    log.resume(items)
    if log.done:
        told(log.done - len(log.failed), ())
    lacking = log.unfinished(items, size)
    # A chunk that was stopped halfway is answered whole again, and its missing part kept.
    for (chunk, answered, lines), answers in zip(lacking, answering(one for one, _, _ in lacking), strict=True):
        fresh = list(zip(chunk, answers, strict=True))[answered:]
        lines.append(line(item, one) for item, one in fresh)
        told(len(fresh), [one for _, one in fresh])
    log.settle(items)


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


class FailureLimit:
    """Ends a call once more items failed than may.

    Args:
        most: how many may; any number by default.
        output: where their lines stand.
    """

    def __init__(self, most: int | None, output: Path) -> None:
        self.most, self.output = most, output
        self.found = 0

    def add(self, failed: int) -> None:
        """Count items that failed.

        Raises:
            VispaError: they are too many; their lines are kept.
        """
        self.found += failed
        if self.most is not None and self.found > self.most:
            raise VispaError(
                f"{self.output}: {self.found:,} items failed, and {self.most:,} may (--max-failures). What was "
                "answered is kept; the lines of those that failed say why (`error`). Repeat the command to go on."
            )
