"""Where the stages meet: a text goes in, values are selected, the model is steered, comments come out."""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable, Collection, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal, Self, Unpack, overload

from vispa.errors import InputError, VispaError
from vispa.generation.engines import make_engine
from vispa.generation.strengths import measured_bank
from vispa.live.doors import AsyncDoors
from vispa.models.encoder import FloatArray
from vispa.models.loading import LoadedModel, load_model
from vispa.modes import MODES
from vispa.modes.base import Parts
from vispa.modes.checking import checked
from vispa.modes.commenting import commented
from vispa.modes.fields import CommonFields, DistributionalFields, OptionFields, SamplingFields
from vispa.modes.mixture import Mixture
from vispa.modes.overton.aggregator import Aggregator
from vispa.modes.overton.extractive import ExtractiveAggregator
from vispa.modes.overton.written import WrittenAggregator
from vispa.modes.picking import EmbeddingPicker, Picker, ReaderPicker
from vispa.modes.prompts import Prompts, built_in_prompts
from vispa.modes.provenance import Clock, Origin
from vispa.modes.stances import AskedStances, StanceReader
from vispa.modes.statements import StatementStances
from vispa.once import once_property
from vispa.readers.apart import answered_apart
from vispa.readers.base import ChatModel, Failure
from vispa.readers.local import LocalChat
from vispa.records import DistributionalResponse, OvertonResponse, Response, SteerableResponse
from vispa.request import DEFAULT_MODEL, EMBEDDED, Count, Mode, OptionReadingName, RecipeName, Request, Sampling
from vispa.selection.choosing import Chooser
from vispa.selection.embedding import EmbeddingSelector
from vispa.selection.selector import Selector
from vispa.steering.bank import VectorBank
from vispa.steering.bank_cache import cached_bank
from vispa.steering.named_recipes import needed_estimators, resolved_recipe, usable_recipe
from vispa.steering.recipe import Recipe
from vispa.taxonomy import Taxonomy

_logger = logging.getLogger(__name__)
#: Called with the name of a stage, the number of things just done, and how many there are.
Progress = Callable[[str, int, int], None]


class Vispa(AsyncDoors):
    """A steered model with a selector of values and what makes answers of its comments.

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
        recipe: Recipe | RecipeName | None = None,
        prompts: Prompts | None = None,
        option_reading: OptionReadingName | None = None,
        engine: str = "transformers",
    ) -> None:
        """Put the parts together; `Vispa.embedded` and `Vispa.from_pretrained` load them.

        Args:
            model: to be steered.
            bank: the model's directions.
            selector: of the values that matter for a text.
            taxonomy: the values.
            aggregator: writes Overton responses; by default from the comments' own sentences.
            reader: reads comments as passages; by default the model itself, unsteered.
            picker: of the comment that fits a target; by default the reader, or embeddings for the embedded model.
            mixture: weights of the values in distributional mode; by default the plain mean.
            recipe: how to steer, instead of the bank's own recipe; or the word of one: `published` is the
                paper's, `portable` that of models without a tuned one, `tuned` the bank's own if it was tuned.
            prompts: wording.
            option_reading: how options are read, and stances by the model itself; by default what suits it.
            engine: what runs the model: `transformers`, or `vllm` where that is installed.

        Raises:
            ModelError: the engine cannot run the model.
            BankError: the bank belongs to another model or taxonomy.
            InputError: a recipe that steers toward no value, or there is no tuned one.
        """
        bank.require(model_fingerprint=model.fingerprint, taxonomy_fingerprint=taxonomy.fingerprint)
        self.model, self.bank, self.selector, self.taxonomy = model, bank, selector, taxonomy
        self.aggregator: Aggregator = aggregator or ExtractiveAggregator(taxonomy, self._encode)
        self.engine = make_engine(engine, model, bank, usable_recipe(recipe, bank))
        self.prompts = prompts or built_in_prompts(model.name)
        self.mixture = (mixture or Mixture()).renamed(lambda name: taxonomy[name].slug)
        self.own_reader: ChatModel = LocalChat(self.engine, option_reading)  #: The model itself, unsteered.
        self.reader: ChatModel = reader or self.own_reader
        self._picker, self._option_reading = picker, option_reading
        self.chooser = Chooser(selector, model)

    @classmethod
    def embedded(cls, *, progress: Progress | None = None) -> Self:
        """The model that ships with the package, the bundled encoder and the built-in values."""
        return cls.from_pretrained(EMBEDDED, progress=progress)

    @classmethod
    def from_pretrained(
        cls,
        model: str | Path = DEFAULT_MODEL,
        *,
        taxonomy: Taxonomy | None = None,
        polarity: Literal["own", "paper"] = "own",
        dtype: str = "auto",
        device: str | None = None,
        threads: int | None = None,
        trust_remote_code: bool = False,
        selector: Callable[[Taxonomy], Selector] | None = None,
        aggregator: Aggregator | None = None,
        reader: ChatModel | None = None,
        picker: Picker | None = None,
        mixture: Mixture | None = None,
        recipe: Recipe | RecipeName | None = None,
        estimators: Collection[str] = (),
        prompts: Prompts | None = None,
        option_reading: OptionReadingName | None = None,
        engine: str = "transformers",
        progress: Progress | None = None,
    ) -> Self:
        """Load a model and its bank; what the bank lacks is fitted, once.

        Args:
            model: a name (`vispa models list`; by default one that is fetched), GGUF file, folder, or hub id.
            taxonomy: the built-in one by default.
            polarity: `paper` promotes every value, toxicity and harmfulness included.
            dtype: of the model; `auto` takes the checkpoint's, float32 on a processor slow at bfloat16.
            device: as in torch; a GPU where there is one.
            threads: of the processor; as many as torch takes by default.
            trust_remote_code: run code that comes with the checkpoint.
            selector: makes the selector of a taxonomy's values; by default the embedding selector.
            aggregator: see `Vispa` for it and all that follow but the last.
            reader: of comments.
            picker: of the comment that fits a target.
            mixture: of distributional mode.
            recipe: of the steering; what its magnitude wants to know of the model is measured, once.
            estimators: entries of the bank that other recipes will need.
            prompts: wording.
            option_reading: see there.
            engine: see there.
            progress: told of progress while fitting and measuring.

        Raises:
            ModelError: the model cannot be loaded or steered.
        """
        taxonomy = (taxonomy or Taxonomy.built_in()).with_polarity(polarity)
        needed = {*estimators, *needed_estimators(recipe)}
        where = {"dtype": dtype, "device": device, "threads": threads, "trust_remote_code": trust_remote_code}
        loaded = load_model(_place_of(model), **where, progress=progress)  # type: ignore[arg-type]
        _logger.info("loaded %s, %d blocks, %s on %s", model, len(loaded.blocks), loaded.model.dtype, loaded.device)
        bank = cached_bank(loaded, taxonomy, estimators=needed, progress=progress)
        recipe = resolved_recipe(recipe, bank)
        bank = measured_bank(loaded, bank, recipe, progress=progress)
        return cls(
            loaded, bank, (selector or EmbeddingSelector)(taxonomy), taxonomy=taxonomy, aggregator=aggregator,
            reader=reader, picker=picker, mixture=mixture, recipe=recipe, prompts=prompts,
            option_reading=option_reading, engine=engine,
        )  # fmt: skip

    def write_with(self, reader: ChatModel) -> None:
        """Let a chat model write the Overton responses, instead of the comments' own sentences."""
        self.aggregator = WrittenAggregator(reader, self.prompts.overton, self.chooser.encoder)
        vars(self).pop("shared_readers", None)

    def _encode(self, texts: Sequence[str]) -> FloatArray:
        """Sentence embeddings [N, D], of the chooser's encoder."""
        return self.chooser.encoder.encode(texts)

    @property
    def recipe(self) -> Recipe:
        """How comments are steered."""
        return self.engine.recipe or self.bank.recipe

    def variant(self, *, recipe: Recipe | RecipeName | None = None, selector: Selector | None = None) -> Self:
        """The same pipeline with another recipe or selector; it shares everything else."""
        other = copy.copy(self)
        if recipe is not None:
            other.engine = self.engine.with_recipe(usable_recipe(recipe, self.bank))
        if selector is not None:
            other.selector, other.chooser = selector, Chooser(selector, self.model)
        return other

    @once_property
    def picker(self) -> Picker:
        """Picks the comment that fits a target."""
        if self._picker is not None:
            return self._picker
        if self.model.is_embedded and self.reader.name == self.model.name:
            return EmbeddingPicker(self.chooser.encoder, self.taxonomy)
        return ReaderPicker(self.reader, self.prompts)

    @once_property
    def stances(self) -> StanceReader:
        """Reads where comments stand: the model itself if it is read by letters or told how, else embeddings."""
        # What is named for another reader's options says nothing of how this model reads stances.
        reader = self.own_reader if self.reader is self.own_reader else LocalChat(self.engine)
        named = self._option_reading is not None and reader is self.own_reader
        asked = named or self.model.option_reading != "words"
        return AskedStances(reader, self.prompts) if asked else StatementStances(self._encode)

    @property
    def parts(self) -> Parts:
        """What modes answer with."""
        own = (self.picker, self.engine, self.mixture, self._option_reading)
        return Parts(self.reader, self.prompts, self.aggregator, *own)

    @overload
    def respond(
        self, text: str, *, mode: Literal["overton"] = "overton", **fields: Unpack[CommonFields]
    ) -> OvertonResponse: ...
    @overload
    def respond(
        self, text: str, *, mode: Literal["steerable"], toward: str, **fields: Unpack[OptionFields]
    ) -> SteerableResponse: ...
    @overload
    def respond(
        self, text: str, *, mode: Literal["distributional"], **fields: Unpack[DistributionalFields]
    ) -> DistributionalResponse: ...
    @overload
    def respond(
        self, text: str, *, mode: Mode, toward: str | None = None, **fields: Unpack[DistributionalFields]
    ) -> Response: ...
    def respond(
        self,
        text: str,
        *,
        mode: Mode = "overton",
        k: Count | None = None,
        values: Sequence[str] = (),
        threshold: float = 0.0,
        diversity: float = 0.0,
        toward: str | None = None,
        question: str | None = None,
        options: Sequence[str] = (),
        country: str | None = None,
        passages: bool = True,
        prompt: str | None = None,
        max_new_tokens: int = 200,
        temperature: float = 0.0,
        top_p: float = 1.0,
        seed: int = 0,
    ) -> Response:
        """One answer to a text that reflects its most relevant values.

        Args:
            text: a situation or question, at most 20,000 characters.
            mode: what becomes of the comments: one response, an answer from one view, or a distribution.
            k: how many values to select, or `auto`; by default 6, or all of a smaller taxonomy.
            values: names of values to use instead of selecting, also as one text such as `honor,karma`.
            threshold: least relevance of a selected value, 0 to 1.
            diversity: how much selected values must differ, 0 to 1.
            toward: a value, a right or duty in words, or a group; of steerable mode.
            question: the question to answer with options; the text itself by default.
            options: what may be answered, also as one text such as `Yes|No`; by default those that the text
                lists, else Support, Oppose, Either.
            country: whose people are asked; of distributional mode, as `passages`.
            passages: read comments as passages; False reads the steered model's own option probabilities.
            prompt: what to ask the steered model instead of the package's own wording.
            max_new_tokens: longest comment.
            temperature: of the comments' sampling; 0 takes the likeliest token. Who reads comments stays greedy.
            top_p: share of the probability that the tokens sampled from must hold.
            seed: of the sampling; without effect at temperature 0.

        Raises:
            InputError: an unusable text or field; the message names it.
            VispaError: the text is longer than what the model reads, the aggregating model failed, or
                the model gave no comment at all.
        """
        request = Request(
            text, values, k, threshold, diversity, prompt, mode, toward, question, options, country, passages
        )
        return self.respond_one(request, max_new_tokens=max_new_tokens, temperature=temperature, top_p=top_p, seed=seed)

    def respond_one(self, request: Request, **sampling: Unpack[SamplingFields]) -> Response:
        """The answer to one request; see `respond`."""
        self.chooser.check(checked(request, self.taxonomy, self.mixture.values), weighs=self.mixture.by_score)
        (answer,) = self.respond_many([request], **sampling)
        if isinstance(answer, Failure):
            raise VispaError(answer.reason)
        return answer

    def respond_many(
        self, requests: Sequence[Request], *, progress: Progress | None = None, **sampling: Unpack[SamplingFields]
    ) -> list[Response | Failure]:
        """Answers to many texts, whose rows run together; see `respond`.

        Args:
            requests: N texts, of any modes.
            progress: told of comments.
            **sampling: how comments are decoded: `max_new_tokens`, `temperature`, `top_p`, `seed`.

        Returns:
            N answers in the order of the requests, or why there is none.

        Raises:
            InputError: a request that cannot be answered; the message names the field.
        """
        together = partial(self._respond_together, sampling=Sampling(**sampling), progress=progress)
        requests = [checked(request, self.taxonomy, self.mixture.values) for request in requests]
        return answered_apart(requests, together, lambda error: Failure(str(error)))

    def _respond_together(
        self, requests: Sequence[Request], sampling: Sampling, progress: Progress | None
    ) -> list[Response | Failure]:
        clock = Clock()
        with clock("select"):
            selections = self.chooser.select(requests, weighs=self.mixture.by_score)
        with clock("comment"):
            how = (self.engine, self.prompts, sampling, self._encode, self.stances)
            cases = commented(requests, selections, *how, progress and partial(progress, "commenting"))
        found: dict[int, Response | Failure] = {i: case for i, case in enumerate(cases) if isinstance(case, Failure)}
        ready = {i: case for i, case in enumerate(cases) if not isinstance(case, Failure)}
        parts: dict[int, dict[str, Any]] = {}
        with clock("aggregate"):
            for name, make in MODES.items():
                if mine := {i: case for i, case in ready.items() if requests[i].mode == name}:
                    mode = make(self.parts)
                    found.update(zip(mine, mode.answer(list(mine.values())), strict=True))
                    parts.update((i, mode.parts_of(case)) for i, case in mine.items())
        _logger.info("answered %d texts; seconds by stage: %s", len(requests), clock.seconds)
        origin = Origin(self.model, self.engine, self.bank, self.recipe, self.chooser, self.prompts, self.stances.name)
        for i, case in ready.items():
            if not isinstance(answer := found[i], Failure):
                made = origin.provenance(requests[i], case, parts[i], sampling, clock.seconds)
                found[i] = answer.model_copy(update={"provenance": made})
        return [found[i] for i in range(len(requests))]


def _place_of(model: object) -> str:
    """A model's name or path as text."""
    if not isinstance(model, str | Path):
        raise InputError("model", f"is {model!r}.", "Give a name or a path.")
    return str(model)
