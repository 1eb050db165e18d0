"""Everything that determines how texts are answered: its checks, and the pipeline that it describes."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from vispa.cli.console import print_note
from vispa.cli.options import DTYPES, POLARITIES, Decoding, Loading, Reading, Running, Selecting, Steering
from vispa.errors import InputError, check_choice
from vispa.files.reading import read_toml
from vispa.files.visible import is_blank
from vispa.models.threads import check_threads
from vispa.once import once_property
from vispa.readers.parameters import LONGEST_TIMEOUT, SHORTEST_TIMEOUT, check_parameters
from vispa.request import (
    DEFAULT_K,
    DEFAULT_MODEL,
    EMBEDDED,
    MODES_OF,
    OPTION_READINGS,
    RECIPES,
    Mode,
    RecipeName,
    check_diversity,
    check_threshold,
    resolved_count,
)
from vispa.selection import SELECTORS
from vispa.selection.settings import SelectorSettings
from vispa.taxonomy import Taxonomy

if TYPE_CHECKING:
    from vispa.models.loading import LoadedModel
    from vispa.modes.prompts import Prompts
    from vispa.pipeline import Progress, Vispa
    from vispa.readers.base import ChatModel
    from vispa.selection.selector import Selector
    from vispa.steering.recipe import Recipe

# Parameters that are not called as the fields of a request.
_PARAMETERS = {"passages": "no_passages"}
# Mixtures that go by a word.
_MIXTURES = ("mean", "relevance")
# Parameters of comments and of who reads them.
_OF_COMMENTS = ("aggregator", "max_new_tokens", "temperature", "top_p", "seed")


def refuse_idle(context: typer.Context, idle: Mapping[str, str]) -> None:
    """Refuse options that are on the command line although they count for nothing.

    Defaults from a configuration file or the environment hold for many calls and may idle in one.

    Args:
        context: of the command.
        idle: name of the parameter → why it has no effect.

    Raises:
        InputError: names the option and why.
    """
    flags = {parameter.name: parameter.opts[0] for parameter in context.command.params}
    for name, why in idle.items():
        source = context.get_parameter_source(name) if name in flags else None
        if source is not None and source.name == "COMMANDLINE":
            raise InputError(flags[name], f"has no effect {why}.", "Leave it out.")


@dataclass(frozen=True)
class Setup:
    """Everything that determines how texts are answered, checked before any model is loaded.

    A group for commands; see `vispa.cli.options` for what is in it.
    """

    selecting: Selecting = field(default_factory=Selecting)
    loading: Loading = field(default_factory=Loading)
    steering: Steering = field(default_factory=Steering)
    reading: Reading = field(default_factory=Reading)
    decoding: Decoding = field(default_factory=Decoding)
    running: Running = field(default_factory=Running)

    def check(self, *, runs_here: bool = True) -> Taxonomy:
        """Refuse options that cannot be; gives the taxonomy.

        Args:
            runs_here: whether this machine answers; others may have more cores.

        Raises:
            InputError: names the option.
        """
        selecting, reading = self.selecting, self.reading
        _ = self.decoding.sampling
        if runs_here:
            check_threads(self.loading.threads, "--threads")
        check_threshold(selecting.threshold)
        check_diversity(selecting.diversity)
        models = (self.loading.model, reading.aggregator, selecting.selector_model)
        for option, given in zip(("--model", "--aggregator", "--selector-model"), models, strict=True):
            if given is not None and is_blank(given):
                raise InputError(option, "is empty.", "Name a model, or leave it out.")
        if self.loading.model not in (DEFAULT_MODEL, EMBEDDED):
            # Knowing the others' names takes a moment.
            from vispa.models.sources.named import check_spelling

            check_spelling(self.loading.model, "--model")
        check_choice("--dtype", self.loading.dtype, DTYPES)
        check_choice("--polarity", self.steering.polarity, POLARITIES)
        check_choice("--selector", selecting.selector, tuple(SELECTORS))
        if self.running.engine != Running.engine:
            # The list of them loads what they are made of.
            from vispa.generation.engines import check_engine

            check_engine(self.running.engine, "--engine")
        if reading.option_reading is not None:
            check_choice("--option-reading", reading.option_reading, OPTION_READINGS)
        taxonomy = selecting.loaded_taxonomy()
        resolved_count(selecting.count, len(taxonomy))
        if selecting.k is None and selecting.values is None and len(taxonomy) < DEFAULT_K:
            print_note(f"vispa: the taxonomy has {len(taxonomy)} values; all of them take part.")
        selecting.named(taxonomy)
        self.check_readable((), taxonomy)
        self.loaded_recipe()
        if reading.prompts is not None:
            _ = self.prompts
        if not SHORTEST_TIMEOUT <= reading.api_timeout <= LONGEST_TIMEOUT:
            advice = f"Give a number of seconds from {SHORTEST_TIMEOUT} to {LONGEST_TIMEOUT:g}."
            raise InputError("--api-timeout", f"is {reading.api_timeout}.", advice)
        self.parsed_parameters()
        return taxonomy

    def check_readable(self, texts: Sequence[str], taxonomy: Taxonomy, mode: Mode = "overton") -> None:
        """Refuse a language that the selector does not read; see `vispa.selection.languages.check_english`."""
        selecting = self.selecting
        if self.selects(mode) and SELECTORS[selecting.selector].english_only(selecting.selector_model):
            from vispa.selection.languages import check_english

            check_english(texts, taxonomy.language)

    def selects(self, mode: Mode) -> bool:
        """Whether values are selected, and not all named, or named ones are weighed by their scores."""
        weights = self.reading.weights if mode == "distributional" else "mean"
        return weights == "relevance" or (self.selecting.values is None and weights == "mean")

    @once_property
    def mixture(self) -> Any:
        """The `vispa.modes.mixture.Mixture` of the option `--weights`; its file is read once."""
        return mixture_option(self.reading.weights)

    def loaded_recipe(self) -> Recipe | RecipeName | None:
        """The recipe of the user's file, or its word, if there is one."""
        given = self.steering.recipe
        if given is None or given in RECIPES:
            return given
        _check_is_there("--recipe", given, RECIPES, "a TOML file")
        return recipe_file(Path(given))

    @property
    def prompts(self) -> Prompts:
        """The built-in prompts for the model, with those of the user's file in their place."""
        from vispa.modes.prompts import built_in_prompts

        prompts = built_in_prompts(self.loading.model)
        return prompts if self.reading.prompts is None else prompts.overridden(self.reading.prompts)

    def parsed_parameters(self) -> dict[str, Any]:
        """Parameters of every request to the API."""
        from vispa.files.reading import parse_json

        given, option = self.reading.api_parameters, "--api-parameters"
        return {} if given is None else check_parameters(parse_json(given, option), option)

    def request_options(self, taxonomy: Taxonomy, mode: Mode = "overton") -> dict[str, Any]:
        """The fields of `vispa.request.Request` that hold for every text, answered in this mode."""
        chosen = self.selecting
        named = chosen.named(taxonomy)
        if named:
            return {"values": named}
        if not self.selects(mode):
            # A default of the user's configuration, which holds for calls that select.
            return {}
        return {"k": chosen.count, "threshold": chosen.threshold, "diversity": chosen.diversity}

    def settings(self) -> dict[str, Any]:
        """The options that determine an answer whatever is asked, by name; sampling apart, which tells its own."""
        groups = (self.selecting, self.loading, self.running, self.steering, self.reading)
        found = {name: given for group in groups for name, given in asdict(group).items()}
        return {name: given for name, given in found.items() if name not in ("api_timeout", "no_passages")}

    def on_threads(self, count: int) -> Setup:
        """The same with so many threads of the processor, unless it says itself how many."""
        return replace(self, loading=replace(self.loading, threads=self.loading.threads or count))

    @property
    def own_stances(self) -> bool:
        """Whether questions for a stance are put in the model's own words, not in the data set's."""
        from vispa.modes.prompts import words_stances

        return words_stances(self.loading.model)

    def idle(self, mode: Mode, toward: str | None = None) -> dict[str, str]:
        """The options that count for nothing, given the others: name of the parameter → why.

        Args:
            mode: that answers.
            toward: target of all texts, looked up in the taxonomy that is loaded here.

        Raises:
            TaxonomyError: the user's own taxonomy cannot be read.
        """
        found = {
            _PARAMETERS.get(name, name): f"in {mode} mode" for name, modes in MODES_OF.items() if mode not in modes
        }
        if not self.reading.aggregator.startswith("api:"):
            own = ("api_url", "api_key_variable", "api_timeout", "api_parameters")
            found |= dict.fromkeys(own, "without --aggregator api:MODEL")
        if self.selecting.values is not None:
            found |= dict.fromkeys(("k", "threshold", "diversity"), "with --values, which leaves nothing to select")
        elif not self.selects(mode):
            found |= dict.fromkeys(("k", "threshold", "diversity"), "with --weights that name the values")
        elif mode == "steerable" and toward is not None and toward in self.selecting.loaded_taxonomy():
            found |= dict.fromkeys(("k", "threshold", "diversity"), "with --toward a value, which alone takes part")
        kind = SELECTORS.get(self.selecting.selector)
        if kind is not None and "selector_model" in kind.idle:
            found["selector_model"] = f"with the {self.selecting.selector} selector"
        found |= self.decoding.idle()
        if mode == "distributional" and self.reading.no_passages:
            found |= dict.fromkeys(_OF_COMMENTS, "with --no-passages: nothing is written and nothing read")
        return found

    def load(self, taxonomy: Taxonomy, progress: Progress | None = None, *, estimators: Collection[str] = ()) -> Vispa:
        """The pipeline.

        Args:
            taxonomy: the values.
            progress: told of progress.
            estimators: entries of the bank that other recipes than the setup's will need.
        """
        from vispa.pipeline import Vispa

        for value in self.mixture.values:
            taxonomy[value]
        reader = self._reader(progress)
        vispa = Vispa.from_pretrained(
            self.loading.model,
            taxonomy=taxonomy,
            polarity=self.steering.polarity,  # type: ignore[arg-type]
            **self.loading.placement,
            selector=lambda known: self.make_selector(known, progress),
            recipe=self.loaded_recipe(),
            estimators=estimators,
            prompts=self.prompts,
            mixture=self.mixture,
            reader=reader,
            option_reading=self.reading.option_reading,  # type: ignore[arg-type]
            engine=self.running.engine,
            progress=progress,
        )
        if self.reading.aggregator != "extractive":
            vispa.write_with(reader or vispa.reader)
        return vispa

    def loaded_model(self, progress: Progress | None = None) -> LoadedModel:
        """The model alone, without bank or engine."""
        from vispa.models.loading import load_model

        return load_model(self.loading.model, **self.loading.placement, progress=progress)

    def make_selector(self, taxonomy: Taxonomy, progress: Progress | None = None) -> Selector:
        """The selector of a taxonomy's values, ready to select."""
        chosen, loading = self.selecting, self.loading
        settings = SelectorSettings(chosen.selector_model, loading.device, loading.trust_remote_code, progress)
        return SELECTORS[chosen.selector].make(taxonomy, settings)

    def _reader(self, progress: Progress | None) -> ChatModel | None:
        """The aggregating model, where it is not the steered model itself."""
        reading = self.reading
        if reading.aggregator in ("extractive", "self"):
            return None
        if reading.aggregator.startswith("api:"):
            from vispa.readers.api import ApiChat

            return ApiChat(
                reading.aggregator.removeprefix("api:"),
                base_url=reading.api_url,
                key_variable=reading.api_key_variable,
                timeout=reading.api_timeout,
                parameters=self.parsed_parameters(),
                option_reading=reading.option_reading,  # type: ignore[arg-type]
            )
        from vispa.generation.transformers import TransformersEngine
        from vispa.models.loading import load_model
        from vispa.readers.local import LocalChat

        loaded = load_model(reading.aggregator, **self.loading.placement, progress=progress)
        return LocalChat(TransformersEngine(loaded), reading.option_reading)  # type: ignore[arg-type]


def recipe_file(path: Path) -> Recipe:
    """A recipe from a TOML file.

    Raises:
        InputError: unreadable, or no recipe.
    """
    from vispa.steering.recipe import Recipe

    return Recipe.from_mapping(read_toml(path), str(path))


def mixture_option(text: str) -> Any:
    """A `vispa.modes.mixture.Mixture` from the option `--weights`."""
    from vispa.files.reading import parse_json
    from vispa.modes.mixture import Mixture

    if text in _MIXTURES:
        return Mixture(text)
    if text.lstrip().startswith("{"):
        return Mixture.given(parse_json(text, "--weights"), "--weights")
    _check_is_there("--weights", text, _MIXTURES, 'a JSON file, or write JSON such as {"karma": 1}')
    return Mixture.load(Path(text))


def _check_is_there(option: str, given: str, words: Sequence[str], file: str) -> None:
    """Refuse what is neither one of an option's words nor a file: a word may be mistyped as well as a path."""
    if not os.path.lexists(given):
        advice = f"Choose {' or '.join(words)}, or name {file}."
        raise InputError(option, f"is {given!r}, and there is no such file.", advice)
