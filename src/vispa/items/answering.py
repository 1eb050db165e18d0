"""Answering a file of texts: fixed chunks, appended line by line, resumable after any stop."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vispa.errors import InputError, NumericalError
from vispa.files.append_log import AnswerLog, Identifier, retried_path
from vispa.files.destination import Destination
from vispa.files.writing import check_output, replacing
from vispa.items.begun import check_begun, is_answer, items_digest, options_as_json, settings_path
from vispa.items.chunks import Answering, FailureLimit, answer_unfinished, answered_each
from vispa.items.failing import may_pass
from vispa.items.item import Item
from vispa.items.lines import record_line
from vispa.items.loaded import as_loaded
from vispa.readers.base import Failure, source_of
from vispa.records import Response
from vispa.request import Request, Sampling
from vispa.versions import versions

if TYPE_CHECKING:
    from vispa.pipeline import Progress, Vispa

#: Items answered together. Part of a run's settings: the same items meet in the same chunk
#: after a resume, so that batched arithmetic gives the same bytes.
CHUNK = 32

Answer = Callable[[Sequence[Item]], Sequence[Response | Failure]]
#: Requests of each chunk in, their answers out, in the order of the chunks.
Responding = Callable[[Iterable[Sequence[Request]]], Iterator[Sequence[Response | Failure]]]


@dataclass(frozen=True)
class BatchSummary:
    """What a call of a batch did.

    Attributes:
        output: the file of answers.
        items: number of items, those of earlier calls included.
        answered_now: number of items that this call asked.
        failed: number of items without an answer.
        seconds: of this call, loading the model included.
        generated_tokens: of this call's comments.
        tokens_per_second: of the whole call.
        peak_memory_mib: largest resident size of this process so far.
        may_pass: how many of the failed may be answered another time, see `vispa.items.failing.may_pass`; None where
            whoever answers does not tell.
    """

    output: str
    items: int
    answered_now: int
    failed: int
    seconds: float
    generated_tokens: int
    tokens_per_second: float
    peak_memory_mib: int
    may_pass: int | None = None


def answer_file(
    vispa: Vispa,
    items: Sequence[Item],
    requests: Mapping[Identifier, Request],
    output: Path,
    options: Mapping[str, Any],
    *,
    sampling: Sampling,
    **more: Any,
) -> BatchSummary:
    """Answer items into a JSON Lines file, which is continued if it was begun with the same settings.

    Args:
        vispa: the pipeline.
        items: in the order of the lines.
        requests: what is asked, by the item's identifier.
        output: the file.
        options: of the call, by name, those of sampling apart; part of the settings.
        sampling: of the comments.
        **more: see `answered_file`.

    Raises:
        InputError, OutputError, VispaError: as `answered_file`.
    """
    responding = partial(map, responder(vispa, sampling))
    return answered_file(responding, items, requests, output, batch_settings(vispa, options, sampling), **more)


def responder(vispa: Vispa, sampling: Sampling) -> Callable[[Sequence[Request]], Sequence[Response | Failure]]:
    """Answers the requests of one chunk; what spoils the numbers of a chunk fails alone."""

    def respond(asked: Sequence[Request]) -> Sequence[Response | Failure]:
        return vispa.respond_many(asked, **asdict(sampling))

    return lambda asked: _each_answered(respond, asked)


def answered_file(
    responding: Responding,
    items: Sequence[Item],
    requests: Mapping[Identifier, Request],
    output: Path,
    settings: dict[str, Any],
    *,
    digest: str | None = None,
    tells_kinds: bool = True,
    overwrite: bool = False,
    max_failures: int | None = None,
    started: float | None = None,
    progress: Progress | None = None,
) -> BatchSummary:
    """As `answer_file`, with whoever answers.

    Args:
        responding: answers the requests of chunks.
        items: see `answer_file`.
        requests: see there.
        output: see there.
        settings: all that determines the answers.
        digest: of the items (`vispa.items.begun.items_digest`), where it is known already.
        tells_kinds: whether a failure of whoever answers tells its kind, as those from a server do not.
        overwrite: begin anew although there is an output.
        max_failures: how many items may fail before the call ends; any number by default.
        started: `time.perf_counter()` when the call began; now by default.
        progress: called with stage, number of items just done and number of all.

    Raises:
        InputError, OutputError: as `BatchRun`.
        VispaError: more items failed than may.
    """
    started = time.perf_counter() if started is None else started
    asked = tokens = passing = 0
    limit = FailureLimit(max_failures, output)

    def told(count: int, answers: Sequence[Response | Failure]) -> None:
        nonlocal asked, tokens, passing
        asked += len(answers)
        tokens += sum(comment.tokens for one in answers for comment in getattr(one, "comments", ()))
        if progress is not None:
            progress("answering", count, len(items))
        failures = [one for one in answers if isinstance(one, Failure)]
        # Whatever has no answer in the end was asked by this call.
        passing += sum(map(may_pass, failures))
        limit.add(len(failures))

    run = BatchRun(items, output, settings, digest=digest, overwrite=overwrite)
    run.run_chunks(lambda chunks: responding([requests[item.id] for item in chunk] for chunk in chunks), told)
    seconds = time.perf_counter() - started
    return BatchSummary(
        output=str(output),
        items=len(items),
        answered_now=asked,
        failed=run.failed,
        seconds=round(seconds, 1),
        generated_tokens=tokens,
        tokens_per_second=round(tokens / seconds, 1),
        peak_memory_mib=peak_memory(),
        may_pass=passing if tells_kinds else None,
    )


def _each_answered(answer: Callable[[Sequence[Any]], Sequence[Response | Failure]], chunk: Sequence[Any]) -> Any:
    return answered_each(answer, chunk, lambda error: Failure(str(error)), NumericalError)


def batch_settings(vispa: Vispa, options: Mapping[str, Any], sampling: Sampling) -> dict[str, Any]:
    """All that determines a batch's answers, as JSON can say it.

    Of sampling it holds what has an effect, of a type and a device that were left open what was loaded.
    """
    recipe = vispa.recipe
    return {
        **options_as_json(options),
        **as_loaded(vispa),
        **sampling.effective(),
        "model": vispa.model.fingerprint,
        "bank": vispa.bank.fingerprint,
        "taxonomy": vispa.taxonomy.fingerprint,
        "recipe": vars(recipe)
        | {"blocks": list(recipe.chosen_blocks(len(vispa.model.blocks))), "depth": list(recipe.depth)},
        "prompts": asdict(vispa.prompts),
        "mixture": asdict(vispa.mixture),
        "reader": [vispa.reader.name, source_of(vispa.reader)],
        "option_reading": [vispa.reader.option_reading, vispa.own_reader.option_reading],
        "stances": vispa.stances.name,
        **vispa.engine.settings,
        "versions": versions(vispa.engine.kind),
    }


def peak_memory() -> int:
    """Largest resident size of this process so far, in MiB."""
    import resource
    import sys

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit // 2**20


class BatchRun:
    """Writes one JSON line an item, in the items' order.

    Args:
        items: what to answer.
        output: the JSON Lines file; continued if it was begun with the same items and settings.
        settings: whatever determines the answers.
        digest: of the items, where it is known already.
        overwrite: begin anew although there is an output.

    Raises:
        InputError: the output cannot be written, belongs to other items or settings, or is
            being written by another process.
    """

    def __init__(
        self,
        items: Sequence[Item],
        output: Path,
        settings: dict[str, Any],
        *,
        digest: str | None = None,
        overwrite: bool = False,
    ) -> None:
        check_output(output)
        self.items, self.output = items, output
        self.settings = {**settings, "chunk": CHUNK, "items": digest or items_digest(items)}
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
        asked = 0

        def told(count: int, answers: Sequence[Response | Failure]) -> None:
            nonlocal asked
            asked += len(answers)
            if progress is not None:
                progress(count)

        self.run_chunks(partial(map, partial(_each_answered, answer)), told)
        return asked

    def run_chunks(
        self, answering: Answering[Response | Failure], told: Callable[[int, Sequence[Response | Failure]], None]
    ) -> None:
        """As `run`, with whoever answers chunks; see `vispa.items.chunks.answer_unfinished`."""
        with self.destination.locked():
            self._prepare()
            self._check_answers()
            answer_unfinished(self.log, self.items, CHUNK, answering, record_line, told)

    def _prepare(self) -> None:
        """Make output and settings agree."""
        settings_file = settings_path(self.output)
        if not self.overwrite:
            check_begun(self.output, self.settings)
        # The output goes first: settings beside an older output would claim it as their own.
        if self.overwrite:
            self.log.remove()
        with replacing(settings_file) as temporary:
            temporary.write_text(json.dumps(self.settings, indent=1, sort_keys=True) + "\n", encoding="utf-8")

    def _check_answers(self) -> None:
        """Refuse a line that says nothing of its item but the identifier, which would count as answered.

        Raises:
            InputError: names it; the file stays as it is.
        """
        for number, line in enumerate(self.log.answers.open(), 1):
            if not is_answer(line):
                place = f"{self.output} line {number}"
                raise InputError(place, "holds neither an answer nor an error.", self.destination.advice)


def check_batch_output(output: Path, inputs: Iterable[Path | None]) -> None:
    """Refuse an output that would destroy what is read, by itself or by a file that is written beside it.

    Raises:
        InputError: as `vispa.files.writing.check_output`.
    """
    given = list(inputs)
    # First, since what is no file has no other beside it.
    check_output(output, given)
    beside = (settings_path(output), retried_path(output), Destination(output, "output").lock_file)
    for path in beside:
        check_output(path, given)
