"""Where the stages meet: a text goes in, values are selected, the model is steered, comments come out."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal, Self

from vispa.aggregation.extractive import ExtractiveAggregator
from vispa.checks import check_k, check_max_new_tokens, check_text
from vispa.generation.engine import generate, render_prompt
from vispa.generation.options import option_probabilities
from vispa.generation.rows import Generated, Row, Sampling
from vispa.models.loading import EMBEDDED, LoadedModel, load_model
from vispa.modes.overton import Aggregator
from vispa.modes.prompts import Prompts, built_in_prompts
from vispa.records import Comment, OvertonResponse, Provenance, Selection, Stance, Steering
from vispa.selection.embedding import EmbeddingSelector
from vispa.selection.selector import DEFAULT_K, Selector, choose
from vispa.steering.bank import VectorBank
from vispa.steering.fitting import cached_bank
from vispa.steering.recipe import Recipe, Steer
from vispa.taxonomy import Taxonomy
from vispa.versions import versions

_STANCES: tuple[Stance, ...] = ("support", "oppose", "either")

#: Called with the name of a stage, the number of things just done, and how many there are.
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Request:
    """One text to answer.

    Attributes:
        text: the situation or question.
        values: slugs to use instead of selecting.
        k: how many values to select.
        threshold: least relevance of a selected value.
        prompt: what to ask the model, where a data set has its own wording.
    """

    text: str
    values: tuple[str, ...] = ()
    k: int = DEFAULT_K
    threshold: float = 0.0
    prompt: str | None = None


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
        recipe: Recipe | None = None,
        prompts: Prompts | None = None,
    ) -> None:
        """Put the parts together; `Vispa.embedded` and `Vispa.from_pretrained` load them.

        Raises:
            BankError: the bank belongs to another model or taxonomy.
        """
        bank.require(model_fingerprint=model.fingerprint, taxonomy_fingerprint=taxonomy.fingerprint)
        self.model, self.bank, self.selector, self.taxonomy = model, bank, selector, taxonomy
        self.aggregator: Aggregator = aggregator or ExtractiveAggregator(taxonomy)
        self.recipe = recipe or bank.recipe
        self.prompts = prompts or built_in_prompts()

    @classmethod
    def embedded(cls, *, progress: Progress | None = None) -> Self:
        """The model that ships with the package, the bundled encoder and the built-in values."""
        return cls.from_pretrained(EMBEDDED, progress=progress)

    @classmethod
    def from_pretrained(
        cls,
        model: str,
        *,
        taxonomy: Taxonomy | None = None,
        polarity: Literal["own", "paper"] = "own",
        dtype: str = "auto",
        device: str | None = None,
        trust_remote_code: bool = False,
        recipe: Recipe | None = None,
        progress: Progress | None = None,
    ) -> Self:
        """Load a model; fit its bank unless it is cached.

        Args:
            model: `embedded`, a folder, or a hub id.
            taxonomy: the built-in one by default.
            polarity: `paper` promotes every value, toxicity and harmfulness included.
            dtype: of the model; `auto` takes the checkpoint's.
            device: as in torch; a GPU where there is one.
            trust_remote_code: run code that comes with the checkpoint.
            recipe: how to steer, instead of the bank's own recipe.
            progress: told of progress while fitting.

        Raises:
            ModelError: the model cannot be loaded or steered.
        """
        taxonomy = (taxonomy or Taxonomy.built_in()).with_polarity(polarity)
        loaded = load_model(model, dtype=dtype, device=device, trust_remote_code=trust_remote_code)
        bank = cached_bank(loaded, taxonomy, progress=progress)
        return cls(loaded, bank, EmbeddingSelector(taxonomy), taxonomy=taxonomy, recipe=recipe)

    # ---------------------------------------------------------------- answering

    def respond(
        self,
        text: str,
        *,
        k: int = DEFAULT_K,
        threshold: float = 0.0,
        values: Sequence[str] = (),
        max_new_tokens: int = 200,
        seed: int = 0,
    ) -> OvertonResponse:
        """One response to a text that reflects its most relevant values.

        Args:
            text: a situation or question, at most 20,000 characters.
            k: how many values to select.
            threshold: least relevance of a selected value.
            values: names of values to use instead of selecting.
            max_new_tokens: longest comment.
            seed: of the request.

        Raises:
            InputError: an unusable text, k, threshold or value.
        """
        request = Request(text, tuple(values), k, threshold)
        return self.respond_many([request], max_new_tokens=max_new_tokens, seed=seed)[0]

    def respond_many(
        self,
        requests: Sequence[Request],
        *,
        max_new_tokens: int = 200,
        seed: int = 0,
        progress: Progress | None = None,
    ) -> list[OvertonResponse]:
        """Answers to many texts, whose rows run together; see `respond`."""
        requests = [self._checked(request) for request in requests]
        check_max_new_tokens(max_new_tokens)
        sampling = Sampling(max_new_tokens)
        clock = _Clock()
        with clock("select"):
            selections = self._select(requests)
        with clock("comment"):
            comments = self._comments(requests, selections, sampling, seed, progress)
        answers = []
        for request, selection, said in zip(requests, selections, comments, strict=True):
            with clock("aggregate"):
                response, sentences = self.aggregator.aggregate(said)
            answers.append((request, selection, said, response, sentences))
        provenance = self._provenance(seed, clock.seconds)
        return [
            OvertonResponse(
                text=request.text,
                values=selection,
                comments=tuple(said),
                response=response,
                sentences=sentences,
                provenance=provenance,
            )
            for request, selection, said, response, sentences in answers
        ]

    def _select(self, requests: Sequence[Request]) -> list[tuple[Selection, ...]]:
        scores = self.selector.scores([request.text for request in requests])
        slugs = list(self.taxonomy)
        chosen = []
        for request, row in zip(requests, scores, strict=True):
            if request.values:
                named = [(slug, float(row[slugs.index(slug)])) for slug in request.values]
                named.sort(key=lambda item: -item[1])
                chosen.append(tuple(Selection(value=slug, score=round(score, 4)) for slug, score in named))
            else:
                chosen += choose(row[None], self.taxonomy, k=request.k, threshold=request.threshold)
        return chosen

    def _comments(
        self,
        requests: Sequence[Request],
        selections: Sequence[tuple[Selection, ...]],
        sampling: Sampling,
        seed: int,
        progress: Progress | None,
    ) -> list[list[Comment]]:
        rows, owners = [], []
        for number, (request, selection) in enumerate(zip(requests, selections, strict=True)):
            message = request.prompt or self.prompts.comment.format(text=request.text)
            prompt = render_prompt(self.model, message)
            rows += [Row(prompt, (Steer(chosen.value),), seed) for chosen in selection]
            owners += [number] * len(selection)
        plan = self.bank.plan((steer for row in rows for steer in row.steers), self.recipe)

        def done(count: int) -> None:
            if progress is not None:
                progress("commenting", count, len(rows))

        texts = generate(self.model, rows, sampling, plan, done)
        stances = self._stances([requests[owner].text for owner in owners], texts)
        comments: list[list[Comment]] = [[] for _ in requests]
        for owner, row, text, stance in zip(owners, rows, texts, stances, strict=True):
            shift = {block: round(length, 4) for block, length in text.shift.items()}
            comments[owner].append(
                Comment(
                    value=row.steers[0].value,
                    text=text.text,
                    shift=shift,
                    prompt=row.prompt,
                    tokens=text.tokens,
                    stance=stance,
                )
            )
        return comments

    def _stances(self, texts: Sequence[str], generated: Sequence[Generated]) -> list[dict[Stance, float]]:
        """Where each comment stands, by the unsteered model's reading of it."""
        prompts = [
            self.prompts.stance.format(passage=comment.text, text=text)
            for text, comment in zip(texts, generated, strict=True)
        ]
        found = option_probabilities(self.model, prompts, [len(_STANCES)] * len(prompts))
        return [{s: round(float(p), 4) for s, p in zip(_STANCES, row, strict=True)} for row in found]

    # ---------------------------------------------------------------- checking and recording

    def _checked(self, request: Request) -> Request:
        check_text(request.text)
        check_k(request.k, len(self.taxonomy))
        slugs = tuple(dict.fromkeys(self.taxonomy[name].slug for name in request.values))
        return Request(request.text.strip(), slugs, request.k, request.threshold, request.prompt)

    def _provenance(self, seed: int, timings: dict[str, float]) -> Provenance:
        recipe = self.recipe
        return Provenance(
            model=self.model.name,
            model_fingerprint=self.model.fingerprint,
            bank=self.bank.info.taxonomy_fingerprint,
            selector=self.selector.name,
            aggregator=self.aggregator.name,
            steering=Steering(
                estimator=recipe.estimator,
                magnitude=recipe.magnitude,
                amount=recipe.amount,
                blocks=recipe.chosen_blocks(len(self.model.blocks)),
            ),
            seed=seed,
            versions=versions(),
            timings={stage: round(seconds, 4) for stage, seconds in timings.items()},
        )


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
