"""The options that several commands share, and the pipeline that they describe."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vispa.cli.console import names_argument, print_note
from vispa.errors import InputError, check_choice
from vispa.files.reading import read_toml
from vispa.files.visible import is_blank
from vispa.readers.parameters import DEFAULT_TIMEOUT, LONGEST_TIMEOUT, SHORTEST_TIMEOUT, check_parameters
from vispa.request import (
    DEFAULT_K,
    MODES_OF,
    Count,
    Sampling,
    check_diversity,
    check_threshold,
    resolved_count,
    texts,
)
from vispa.selection import SELECTORS, SelectorSettings
from vispa.taxonomy import Taxonomy

if TYPE_CHECKING:
    from vispa.pipeline import Progress, Vispa
    from vispa.readers.base import ChatModel
    from vispa.selection.selector import Selector
    from vispa.steering.recipe import Recipe

K = Annotated[
    str | None,
    typer.Option(
        "--k", help=f"How many values to select, or `auto`. Default: {DEFAULT_K}, or all of a smaller taxonomy."
    ),
]
Threshold = Annotated[float, typer.Option(help="Least relevance of a selected value, 0 to 1.")]
Diversity = Annotated[float, typer.Option(help="How much selected values must differ, 0 to 1.")]
Values = Annotated[str | None, typer.Option(help="Use these values (comma-separated) instead of selecting.")]
ModelName = Annotated[
    str, typer.Option("--model", help="A name (`vispa models list`), a GGUF file, a folder, or a hub id.")
]
TaxonomyFolder = Annotated[Path | None, typer.Option("--taxonomy", help="Folder of your own taxonomy.")]
Polarity = Annotated[str, typer.Option(help="own, or paper: promote every value, toxicity too.")]
MaxNewTokens = Annotated[int, typer.Option(help="Longest comment, in tokens.")]
Temperature = Annotated[
    float, typer.Option(help="Of the comments' sampling; 0 takes the likeliest token. What reads them stays greedy.")
]
TopP = Annotated[float, typer.Option(help="Share of the probability that the tokens sampled from must hold.")]
Seed = Annotated[int, typer.Option(help="Of what is random: sampling, and the folds of a fit.")]
Dtype = Annotated[str, typer.Option(help="float32, bfloat16, float16 or auto.")]
Device = Annotated[str | None, typer.Option(help="Torch device; a GPU where there is one.")]
TrustRemoteCode = Annotated[bool, typer.Option(help="Run code that comes with the model.")]
SelectorName = Annotated[str, typer.Option("--selector", help="embedding, or nli (the paper's gate).")]
SelectorModel = Annotated[
    str | None, typer.Option(help="Encoder or NLI model of the selector, by name or path; each has its default.")
]
RecipeFile = Annotated[Path | None, typer.Option("--recipe", help="TOML file with how to steer, field by field.")]
Aggregator = Annotated[
    str, typer.Option(help="Who writes the Overton response: extractive, self, a local model, or api:MODEL.")
]
ApiUrl = Annotated[str | None, typer.Option(help="Address of an OpenAI-compatible API, for api:MODEL.")]
ApiKeyVariable = Annotated[
    str, typer.Option(help="Environment variable with the API's key; empty for servers that need none.")
]
ApiTimeout = Annotated[float, typer.Option(help="Seconds that a request to the API may take, reply included.")]
ApiParameters = Annotated[
    str | None,
    typer.Option(help='Parameters of every request to the API, as JSON such as {"reasoning_effort": "low"}.'),
]
PromptsFile = Annotated[Path | None, typer.Option("--prompts", help="TOML file that overrides prompts by name.")]
ModeName = Annotated[str, typer.Option("--mode", help="overton, steerable or distributional.")]
Toward = Annotated[
    str | None, typer.Option(help="Target of steerable mode: a value, a right or duty, or a group (POLPARTY_Democrat).")
]
Options = Annotated[str | None, typer.Option(help="What may be answered, separated by `|`.")]
Weights = Annotated[
    str,
    typer.Option(help='Mixture of distributional mode: mean, relevance, a JSON file, or JSON such as {"karma": 1}.'),
]
NoPassages = Annotated[
    bool, typer.Option("--no-passages", help="Distributional mode reads the steered model's own options.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


#: As `vispa.models.loading.EMBEDDED`, which is too heavy to import for `--help`.
_EMBEDDED = "embedded"
_DTYPES = ("auto", "float32", "bfloat16", "float16")
# Parameters that are not called as the fields of a request.
_PARAMETERS = {"passages": "no_passages"}
# Parameters of comments and of who reads them.
_OF_COMMENTS = ("aggregator", "max_new_tokens", "temperature", "top_p")


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

    Attributes are the options of the same names.
    """

    k: str | None = None
    threshold: float = 0.0
    diversity: float = 0.0
    values: str | None = None
    model: str = "embedded"
    taxonomy: Path | None = None
    polarity: str = "own"
    max_new_tokens: int = 200
    dtype: str = "auto"
    device: str | None = None
    trust_remote_code: bool = False
    selector: str = "embedding"
    selector_model: str | None = None
    recipe: Path | None = None
    aggregator: str = "extractive"
    api_url: str | None = None
    api_key_variable: str = "OPENAI_API_KEY"
    prompts: Path | None = None
    weights: str = "mean"
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int = 0
    api_timeout: float = DEFAULT_TIMEOUT
    api_parameters: str | None = None

    @property
    def sampling(self) -> Sampling:
        """How comments are decoded.

        Raises:
            InputError: a field that cannot be.
        """
        return Sampling(self.max_new_tokens, self.temperature, self.top_p, self.seed)

    def check(self) -> Taxonomy:
        """Refuse options that cannot be; gives the taxonomy.

        Raises:
            InputError: names the option.
        """
        _ = self.sampling
        check_threshold(self.threshold)
        check_diversity(self.diversity)
        for option, given in (("--model", self.model), ("--aggregator", self.aggregator)):
            if is_blank(given):
                raise InputError(option, "is empty.", "Name a model, or leave it out.")
        check_choice("--dtype", self.dtype, _DTYPES)
        check_choice("--polarity", self.polarity, ("own", "paper"))
        check_choice("--selector", self.selector, tuple(SELECTORS))
        taxonomy = Taxonomy.load(self.taxonomy) if self.taxonomy else Taxonomy.built_in()
        resolved_count(count_option(self.k), len(taxonomy))
        if self.k is None and self.values is None and len(taxonomy) < DEFAULT_K:
            print_note(f"vispa: the taxonomy has {len(taxonomy)} values; all of them take part.")
        self.named(taxonomy)
        self.loaded_recipe()
        if not SHORTEST_TIMEOUT <= self.api_timeout <= LONGEST_TIMEOUT:
            advice = f"Give a number of seconds from {SHORTEST_TIMEOUT} to {LONGEST_TIMEOUT:g}."
            raise InputError("--api-timeout", f"is {self.api_timeout}.", advice)
        self.parsed_parameters()
        return taxonomy

    def named(self, taxonomy: Taxonomy) -> tuple[str, ...]:
        """Slugs of the values that are used instead of selecting."""
        return tuple(taxonomy[name].slug for name in names_argument(self.values))

    def loaded_recipe(self) -> Recipe | None:
        """The recipe of the user's file, if there is one."""
        return None if self.recipe is None else recipe_file(self.recipe)

    def parsed_parameters(self) -> dict[str, Any]:
        """Parameters of every request to the API."""
        from vispa.files.reading import parse_json

        field = "--api-parameters"
        return {} if self.api_parameters is None else check_parameters(parse_json(self.api_parameters, field), field)

    def request_options(self, taxonomy: Taxonomy) -> dict[str, Any]:
        """The fields of `vispa.request.Request` that hold for every text."""
        named = self.named(taxonomy)
        if named:
            return {"values": named}
        return {"k": count_option(self.k), "threshold": self.threshold, "diversity": self.diversity}

    @property
    def own_stances(self) -> bool:
        """Whether questions for a stance are put in the package's own words: the embedded model knows no other."""
        return self.model == _EMBEDDED

    def idle(self, mode: str, *, passages: bool = True) -> dict[str, str]:
        """The options that count for nothing, given the others: name of the parameter → why.

        Args:
            mode: that answers.
            passages: whether comments are made and read.
        """
        found = {
            _PARAMETERS.get(name, name): f"in {mode} mode" for name, modes in MODES_OF.items() if mode not in modes
        }
        if not self.aggregator.startswith("api:"):
            own = ("api_url", "api_key_variable", "api_timeout", "api_parameters")
            found |= dict.fromkeys(own, "without --aggregator api:MODEL")
        if self.values is not None:
            found |= dict.fromkeys(("k", "threshold", "diversity"), "with --values, which leaves nothing to select")
        elif mode == "distributional" and self.weights not in ("mean", "relevance"):
            found |= dict.fromkeys(("k", "threshold", "diversity"), "with --weights that name the values")
        if self.temperature == 0:
            found["top_p"] = "at --temperature 0, which takes the likeliest token"
        if mode == "distributional" and not passages:
            found |= dict.fromkeys(_OF_COMMENTS, "with --no-passages: nothing is written and nothing read")
        return found

    def load(self, taxonomy: Taxonomy, progress: Progress | None = None) -> Vispa:
        """The pipeline."""
        from vispa.modes.prompts import built_in_prompts
        from vispa.pipeline import Vispa

        prompts = built_in_prompts() if self.prompts is None else built_in_prompts().overridden(self.prompts)
        mixture = mixture_option(self.weights)
        for value in mixture.values:
            taxonomy[value]
        reader = self._reader()
        vispa = Vispa.from_pretrained(
            self.model,
            taxonomy=taxonomy,
            polarity=self.polarity,  # type: ignore[arg-type]
            dtype=self.dtype,
            device=self.device,
            trust_remote_code=self.trust_remote_code,
            selector=lambda known: self.make_selector(known, progress),
            recipe=self.loaded_recipe(),
            prompts=prompts,
            mixture=mixture,
            reader=reader,
            progress=progress,
        )
        if self.aggregator != "extractive":
            vispa.write_with(reader or vispa.reader)
        return vispa

    def make_selector(self, taxonomy: Taxonomy, progress: Progress | None = None) -> Selector:
        """The selector of a taxonomy's values, ready to select."""
        settings = SelectorSettings(self.selector_model, self.device, self.trust_remote_code, progress)
        return SELECTORS[self.selector].make(taxonomy, settings)

    def _reader(self) -> ChatModel | None:
        """The aggregating model, where it is not the steered model itself."""
        if self.aggregator in ("extractive", "self"):
            return None
        if self.aggregator.startswith("api:"):
            from vispa.readers.api import ApiChat

            return ApiChat(
                self.aggregator.removeprefix("api:"),
                base_url=self.api_url,
                key_variable=self.api_key_variable,
                timeout=self.api_timeout,
                parameters=self.parsed_parameters(),
            )
        from vispa.generation.transformers import TransformersEngine
        from vispa.models.loading import load_model
        from vispa.readers.local import LocalChat

        loaded = load_model(
            self.aggregator, dtype=self.dtype, device=self.device, trust_remote_code=self.trust_remote_code
        )
        return LocalChat(TransformersEngine(loaded))


def count_option(text: str | None) -> Count | None:
    """`auto`, a whole number, or nothing.

    Raises:
        InputError: neither.
    """
    if text is None or text == "auto":
        return text  # type: ignore[return-value]
    try:
        return int(text)
    except ValueError as error:
        raise InputError("--k", f"is {text!r}.", "Give a whole number, or auto.") from error


def options_option(text: str | None) -> tuple[str, ...]:
    """Options separated by `|`."""
    return texts(text, "|", "--options")


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

    if text in ("mean", "relevance"):
        return Mixture(text)
    if text.lstrip().startswith("{"):
        return Mixture.given(parse_json(text, "--weights"), "--weights")
    return Mixture.load(Path(text))
