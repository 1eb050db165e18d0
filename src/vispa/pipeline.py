"""Where the stages meet: a text goes in, values are selected, the model is steered, comments come out."""

from __future__ import annotations

import copy
import hashlib
import json
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Self

from vispa.errors import VispaError
from vispa.generation.rows import Row
from vispa.generation.transformers import TransformersEngine
from vispa.models.loading import EMBEDDED, LoadedModel, load_model
from vispa.modes.case import Aggregated, Aggregator, Case
from vispa.modes.checking import checked
from vispa.modes.distributional import DistributionalAnswer, by_case, mix, read_comments
from vispa.modes.mixture import Mixture
from vispa.modes.overton.extractive import ExtractiveAggregator
from vispa.modes.overton.written import WrittenAggregator
from vispa.modes.picking import EmbeddingPicker
from vispa.modes.prompts import Prompts, built_in_prompts
from vispa.modes.questions import option_prompt, target_in_words
from vispa.modes.readings import Reading, or_written
from vispa.modes.stances import read_stances
from vispa.modes.steerable import Picker, ReaderPicker, SteerableAnswer, SteerableMode
from vispa.modes.templates import filled
from vispa.readers.apart import answered_apart
from vispa.readers.base import ChatModel, Failure, Unfinished
from vispa.readers.local import LocalChat, said
from vispa.readers.weighing import weighed
from vispa.records import (
    Choosing,
    Comment,
    Decoding,
    DistributionalResponse,
    Mixing,
    OvertonResponse,
    Provenance,
    Response,
    Selection,
    SteerableResponse,
    Steering,
)
from vispa.request import Request, Sampling, resolved_count
from vispa.selection.choosing import Chooser
from vispa.selection.embedding import EmbeddingSelector
from vispa.selection.selector import Selector
from vispa.steering.bank import VectorBank
from vispa.steering.bank_cache import cached_bank
from vispa.steering.recipe import Recipe, Steer
from vispa.taxonomy import Taxonomy
from vispa.versions import versions

_logger = logging.getLogger(__name__)

#: Called with the name of a stage, the number of things just done, and how many there are.
Progress = Callable[[str, int, int], None]


_Answer = Aggregated | SteerableAnswer | DistributionalAnswer


@dataclass(frozen=True)
class _Job:
    """A request on its way through the modes."""

    request: Request
    selection: tuple[Selection, ...]
    case: Case


class Vispa:
    """A steered model with a selector and an aggregator.

    Example:
        >>> vispa = Vispa.embedded()
        >>> answer = vispa.respond("Telling my grandmother a comforting lie")
        >>> print(answer.response)
    """

    def __init__(
        self,
        model: LoadedModel,
        bank: VectorBank,
        selector: Selector,
        *,
        taxonomy: Taxonomy,
        aggregator: Aggregator | None = None,
        reader: ChatModel | None = None,
        picker: Picker | None = None,
        mixture: Mixture | None = None,
        recipe: Recipe | None = None,
        prompts: Prompts | None = None,
    ) -> None:
        """Put the parts together; `Vispa.embedded` and `Vispa.from_pretrained` load them.

        Args:
            model: to be steered.
            bank: its directions.
            selector: of values.
            taxonomy: the values.
            aggregator: writes Overton responses; by default from the comments' own sentences.
            reader: reads comments as passages; by default the model itself, unsteered.
            picker: picks the comment that fits a target; by default the reader, or sentence
                embeddings where the embedded model reads, which cannot follow instructions.
            mixture: of distributional mode; by default the plain mean.
            recipe: how to steer, instead of the bank's own recipe.
            prompts: wording.

        Raises:
            BankError: the bank belongs to another model or taxonomy.
            InputError: a recipe that steers toward no value.
        """
        bank.require(model_fingerprint=model.fingerprint, taxonomy_fingerprint=taxonomy.fingerprint)
        self.model, self.bank, self.selector, self.taxonomy = model, bank, selector, taxonomy
        self.aggregator: Aggregator = aggregator or ExtractiveAggregator(taxonomy)
        self.engine = TransformersEngine(model, bank, recipe or bank.recipe)
        bank.check_steers(self.recipe)
        self.prompts = prompts or built_in_prompts()
        self.mixture = (mixture or Mixture()).renamed(lambda name: taxonomy[name].slug)
        #: The model itself, unsteered, as a reader.
        self.own_reader: ChatModel = LocalChat(self.engine)
        self.reader: ChatModel = reader or self.own_reader
        self._picker = picker
        self.chooser = Chooser(selector)

    @classmethod
    def embedded(cls, *, progress: Progress | None = None) -> Self:
        """The model that ships with the package, the bundled encoder and the built-in values."""
        return cls.from_pretrained(EMBEDDED, progress=progress)

    @classmethod
    def from_pretrained(
        cls,
        model: str | Path,
        *,
        taxonomy: Taxonomy | None = None,
        polarity: Literal["own", "paper"] = "own",
        dtype: str = "auto",
        device: str | None = None,
        trust_remote_code: bool = False,
        selector: Callable[[Taxonomy], Selector] | None = None,
        progress: Progress | None = None,
        **parts: Any,
    ) -> Self:
        """Load a model; fit its bank unless it is cached.

        Args:
            model: `embedded`, a named model (`vispa models list`), a GGUF file, a folder (text or path), or a hub id.
            taxonomy: the built-in one by default.
            polarity: `paper` promotes every value, toxicity and harmfulness included.
            dtype: of the model; `auto` takes the checkpoint's.
            device: as in torch; a GPU where there is one.
            trust_remote_code: run code that comes with the checkpoint.
            selector: makes the selector of a taxonomy; by default the embedding selector.
            progress: told of progress while fitting.
            **parts: aggregator, reader, picker, mixture, recipe and prompts; see `Vispa`.

        Raises:
            ModelError: the model cannot be loaded or steered.
        """
        taxonomy = (taxonomy or Taxonomy.built_in()).with_polarity(polarity)
        loaded = load_model(
            str(model), dtype=dtype, device=device, trust_remote_code=trust_remote_code, progress=progress
        )
        _logger.info("loaded %s, %d blocks, %s on %s", model, len(loaded.blocks), loaded.model.dtype, loaded.device)
        bank = cached_bank(loaded, taxonomy, progress=progress)
        return cls(loaded, bank, (selector or EmbeddingSelector)(taxonomy), taxonomy=taxonomy, **parts)

    def write_with(self, reader: ChatModel) -> None:
        """Let a chat model write the Overton responses, instead of the comments' own sentences."""
        self.aggregator = WrittenAggregator(reader, self.prompts.overton, self.chooser.encoder)

    @property
    def recipe(self) -> Recipe:
        """How comments are steered."""
        return self.engine.recipe or self.bank.recipe

    def variant(self, *, recipe: Recipe | None = None, selector: Selector | None = None) -> Self:
        """The same pipeline with another recipe or selector; it shares everything else."""
        other = copy.copy(self)
        if recipe is not None:
            self.bank.check_steers(recipe)
            other.engine = TransformersEngine(self.model, self.bank, recipe)
        if selector is not None:
            other.selector, other.chooser = selector, Chooser(selector)
        return other

    # ---------------------------------------------------------------- answering

    def respond(
        self,
        text: str,
        *,
        max_new_tokens: int = 200,
        temperature: float = 0.0,
        top_p: float = 1.0,
        seed: int = 0,
        **options: Any,
    ) -> Response:
        """One answer to a text that reflects its most relevant values.

        Args:
            text: a situation or question, at most 20,000 characters.
            max_new_tokens: longest comment.
            temperature: of the comments' sampling; 0, the default, takes the likeliest token.
                Whoever reads the comments stays greedy.
            top_p: share of the probability that the tokens sampled from must hold.
            seed: of the sampling; without effect at temperature 0.
            **options: the other fields of `Request`, such as `k`, `values`, `mode`, `toward`, `options`.

        Raises:
            InputError: an unusable text or option; the message names it.
            VispaError: the text is longer than what the model reads, the aggregating model failed, or
                the model gave no comment at all.
        """
        return self.respond_one(
            Request(text, **options), max_new_tokens=max_new_tokens, temperature=temperature, top_p=top_p, seed=seed
        )

    def respond_one(
        self,
        request: Request,
        *,
        max_new_tokens: int = 200,
        temperature: float = 0.0,
        top_p: float = 1.0,
        seed: int = 0,
    ) -> Response:
        """See `respond`."""
        answer = self.respond_many(
            [request], max_new_tokens=max_new_tokens, temperature=temperature, top_p=top_p, seed=seed
        )[0]
        if isinstance(answer, Failure):
            raise VispaError(answer.reason)
        return answer

    def respond_many(
        self,
        requests: Sequence[Request],
        *,
        max_new_tokens: int = 200,
        temperature: float = 0.0,
        top_p: float = 1.0,
        seed: int = 0,
        progress: Progress | None = None,
    ) -> list[Response | Failure]:
        """Answers to many texts, whose rows run together; see `respond`.

        Returns:
            In the order of the requests an answer, or why there is none.
        """
        sampling = Sampling(max_new_tokens, temperature, top_p, seed)
        requests = [checked(request, self.taxonomy, self.mixture.values) for request in requests]

        def together(part: Sequence[Request]) -> list[Response | Failure]:
            return self._respond_together(part, sampling, progress)

        return answered_apart(requests, together, lambda error: Failure(str(error)))

    def _respond_together(
        self, requests: Sequence[Request], sampling: Sampling, progress: Progress | None
    ) -> list[Response | Failure]:
        clock = _Clock()
        with clock("select"):
            selections = self._select(requests)
        with clock("comment"):
            comments = self.comment(requests, selections, sampling, progress=progress)
        # A request whose comments failed has no part in what follows.
        found: dict[int, _Answer | Failure] = {i: one for i, one in enumerate(comments) if isinstance(one, Failure)}
        spoken = [[] if isinstance(one, Failure) else one for one in comments]
        cases = [_case(*pair) for pair in zip(requests, spoken, strict=True)]
        jobs = [_Job(*parts) for parts in zip(requests, selections, cases, strict=True)]
        modes = {"overton": self._overton, "steerable": self._steerable, "distributional": self._distributional}
        with clock("aggregate"):
            for mode, answer in modes.items():
                places = [i for i, job in enumerate(jobs) if job.request.mode == mode and i not in found]
                if places:
                    found.update(zip(places, answer([jobs[i] for i in places]), strict=True))
        _logger.info("answered %d texts; seconds by stage: %s", len(requests), clock.seconds)
        return [
            one
            if isinstance(one := found[i], Failure)
            else _response(job, one, self._provenance(job, sampling, clock.seconds), self._unsteered(job))
            for i, job in enumerate(jobs)
        ]

    # ---------------------------------------------------------------- selecting and commenting

    def _select(self, requests: Sequence[Request]) -> list[tuple[Selection, ...]]:
        scores = self.chooser.scores([request.text for request in requests])
        slugs = list(self.taxonomy)
        chosen = []
        for request, row in zip(requests, scores, strict=True):
            if request.values:
                named = [(slug, float(row[slugs.index(slug)])) for slug in request.values]
                named.sort(key=lambda item: -item[1])
                chosen.append(tuple(Selection(value=slug, score=round(score, 4)) for slug, score in named))
            else:
                found = self.chooser.choose(row, k=request.k, threshold=request.threshold, diversity=request.diversity)
                chosen.append(found)
        return chosen

    def comment(
        self,
        requests: Sequence[Request],
        selections: Sequence[tuple[Selection, ...]],
        sampling: Sampling,
        *,
        progress: Progress | None = None,
    ) -> list[list[Comment] | Failure]:
        """For each request a steered comment for each of its values, all rows together.

        None where distributional mode reads the steered model's own options; a failure where the
        model has not come to the end of its thoughts on a value.
        """
        rows, owners = [], []
        for number, (request, selection) in enumerate(zip(requests, selections, strict=True)):
            if request.mode == "distributional" and not request.passages:
                continue
            message = request.prompt or filled(self.prompts.comment, text=request.text)
            prompt = self.engine.chat_prompt(message)
            rows += [Row(prompt, (Steer(chosen.value),)) for chosen in selection]
            owners += [number] * len(selection)

        def done(count: int) -> None:
            if progress is not None:
                progress("commenting", count, len(rows))

        texts = self.engine.generate(rows, sampling, done)
        asked = [requests[owner].text for owner in owners]
        stances = read_stances(self.own_reader, asked, [one.text for one in texts], self.prompts)
        comments: list[list[Comment]] = [[] for _ in requests]
        failures: dict[int, Failure] = {}
        for owner, row, text, stance in zip(owners, rows, texts, stances, strict=True):
            value = row.steers[0].value
            if text.unfinished:
                failures.setdefault(owner, Failure(f"No comment for {value}: {Unfinished().reason}"))
            comments[owner].append(
                Comment(
                    value=value,
                    text=text.text,
                    shift={block: round(length, 4) for block, length in text.shift.items()},
                    prompt=row.prompt.text,
                    tokens=text.tokens,
                    stance=stance,
                    left_out=text.left_out,
                    steered=any(text.shift.values()),
                )
            )
        return [failures.get(number, mine) for number, mine in enumerate(comments)]

    # ---------------------------------------------------------------- the three modes

    def _overton(self, jobs: Sequence[_Job]) -> Sequence[Aggregated | Failure]:
        return self.aggregator.aggregate([job.case for job in jobs])

    def _steerable(self, jobs: Sequence[_Job]) -> Sequence[SteerableAnswer | Failure]:
        return SteerableMode(self.reader, self.picker, self.prompts).answer([job.case for job in jobs])

    def _distributional(self, jobs: Sequence[_Job]) -> Sequence[DistributionalAnswer | Failure]:
        reading = [i for i, job in enumerate(jobs) if job.request.passages]
        direct = [i for i, job in enumerate(jobs) if not job.request.passages]
        read = read_comments(self.reader, [jobs[i].case for i in reading], self.prompts)
        own = self._own_options([jobs[i] for i in direct])
        results = dict(zip([*reading, *direct], [*read, *own], strict=True))
        answers: list[DistributionalAnswer | Failure] = []
        for i, job in enumerate(jobs):
            by_value = results[i]
            if isinstance(by_value, Failure):
                answers.append(by_value)
            else:
                values, relevance = zip(*((one.value, one.score) for one in job.selection), strict=True)
                answers.append(mix(job.case, values, relevance, by_value, self.mixture))
        return answers

    def _own_options(self, jobs: Sequence[_Job]) -> list[list[Reading] | Failure]:
        """Readings of the steered model itself, without passages: per job one a value."""
        steers = [(Steer(chosen.value),) for job in jobs for chosen in job.selection]
        options = [job.case.options for job in jobs for _ in job.selection]
        asked = [option_prompt(job.case, self.prompts, None) for job in jobs for _ in job.selection]
        rows = [Row(self.engine.raw_prompt(text), own) for text, own in zip(asked, steers, strict=True)]
        masses = self.engine.options(rows, [len(texts) for texts in options])

        def write(places: Sequence[int], texts: Sequence[str], tokens: int) -> list[str | Failure]:
            rows = [Row(self.engine.chat_prompt(text), steers[at]) for at, text in zip(places, texts, strict=True)]
            return [said(one) for one in self.engine.generate(rows, Sampling(tokens))]

        found = [weighed(one, self.model.least_option_mass) for one in masses]
        readings = or_written(found, asked, options, self.prompts, write)
        return by_case(readings, [len(job.selection) for job in jobs])

    @cached_property
    def picker(self) -> Picker:
        """Picks the comment that fits a target."""
        if self._picker is not None:
            return self._picker
        if self.model.is_embedded and self.reader.name == self.model.name:
            return EmbeddingPicker(self.chooser.encoder, self.taxonomy)
        return ReaderPicker(self.reader, self.prompts)

    # ---------------------------------------------------------------- recording

    def _unsteered(self, job: _Job) -> tuple[str, ...]:
        return tuple(one.value for one in job.selection if not self.bank.steers(one.value, self.recipe))

    def _provenance(self, job: _Job, sampling: Sampling, timings: dict[str, float]) -> Provenance:
        recipe, request = self.recipe, job.request
        blocks = recipe.chosen_blocks(len(self.model.blocks))
        return Provenance(
            model=self.model.name,
            model_fingerprint=self.model.fingerprint,
            dtype=str(self.model.model.dtype).removeprefix("torch."),
            device=self.model.device.type,
            bank=self.bank.fingerprint,
            taxonomy=self.taxonomy.fingerprint,
            selector=self.selector.name,
            choosing=self._choosing(request),
            steering=Steering(**{**vars(recipe), "blocks": blocks}),
            sampling=Decoding.model_validate(sampling.effective()) if job.case.comments else None,
            prompts=self._prompts_digest,
            versions=versions(),
            timings={stage: round(seconds, 4) for stage, seconds in timings.items()},
            **self._of_mode(job),
        )

    def _choosing(self, request: Request) -> Choosing:
        if request.values:
            return Choosing(named=tuple(request.values))
        return Choosing(
            k=resolved_count(request.k, len(self.taxonomy)),
            threshold=request.threshold,
            diversity=request.diversity,
            encoder=self.chooser.encoder.name if request.diversity > 0 else None,
        )

    def _of_mode(self, job: _Job) -> dict[str, Any]:
        """What only the request's mode asks: its aggregator, picker, reader or mixture."""
        if job.request.mode == "overton":
            return {"aggregator": self.aggregator.name}
        reader = {"reader": self.reader.name} if job.case.comments else {}
        if job.request.mode == "steerable":
            return {**reader, **({"picker": self.picker.name} if len(job.case.spoken) > 1 else {})}
        shares = self.mixture.groups.get(job.case.country or job.case.target, self.mixture.shares)
        mixing = Mixing(kind=self.mixture.kind, shares=shares or None, temperature=self.mixture.temperature)
        return {**reader, "mixture": mixing}

    @cached_property
    def _prompts_digest(self) -> str:
        return hashlib.sha256(json.dumps(asdict(self.prompts), sort_keys=True).encode()).hexdigest()


def _case(request: Request, comments: Sequence[Comment]) -> Case:
    target = target_in_words(request.toward or "")
    return Case(request.text, comments, request.question, tuple(request.options), target, request.country)


def _response(job: _Job, answer: _Answer, provenance: Provenance, unsteered: tuple[str, ...]) -> Response:
    common: dict[str, Any] = {
        "text": job.request.text,
        "values": job.selection,
        "comments": tuple(job.case.comments),
        "silent": tuple(job.case.comments[place].value for place in job.case.silent),
        "provenance": provenance,
        **vars(answer),
    }
    if isinstance(answer, Aggregated):
        return OvertonResponse(**common)
    if isinstance(answer, SteerableAnswer):
        return SteerableResponse(target=job.case.target, options=job.case.options, **common)
    return DistributionalResponse(options=job.case.options, unsteered=unsteered, **common)


class _Clock:
    """Adds up seconds by stage."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        started = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[stage] = self.seconds.get(stage, 0.0) + time.perf_counter() - started
