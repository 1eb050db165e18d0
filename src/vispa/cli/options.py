"""The options that several commands share: each is a field of one group.

A command takes groups, or parts of them, as parameters; see `vispa.cli.grouping`. The groups load nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar

import typer

from vispa.cli.console import names_argument
from vispa.cli.grouping import Configurable
from vispa.errors import InputError, check_choice
from vispa.readers.parameters import DEFAULT_TIMEOUT, LONGEST_TIMEOUT, SHORTEST_TIMEOUT
from vispa.request import (
    DEFAULT_K,
    DEFAULT_MODEL,
    MAX_NEW_TOKENS,
    MODES,
    OPTION_READINGS,
    RECIPES,
    Count,
    Mode,
    Sampling,
    texts,
)
from vispa.selection import SELECTORS
from vispa.taxonomy import Taxonomy

DTYPES = ("auto", "float32", "bfloat16", "float16")
POLARITIES = ("own", "paper")

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
ModelArgument = Annotated[str, typer.Argument(help="A name (`vispa models list`), a GGUF file, a folder, or a hub id.")]


@dataclass(frozen=True)
class Selecting:
    """Which values take part."""

    heading: ClassVar[str] = "Values"

    k: Annotated[
        str | None,
        typer.Option(
            "--k", help=f"How many values to select, or `auto`. Default: {DEFAULT_K}, or all of a smaller taxonomy."
        ),
        Configurable(pattern="auto|[1-9][0-9]*", meant="auto or a whole number from 1", also=int),
    ] = None
    threshold: Annotated[
        float,
        typer.Option(help="Least relevance of a selected value, 0 to 1; the most relevant one always stays."),
    ] = 0.0
    diversity: Annotated[float, typer.Option(help="How much selected values must differ, 0 to 1.")] = 0.0
    values: Annotated[str | None, typer.Option(help="Use these values (comma-separated) instead of selecting.")] = None
    selector: Annotated[
        str,
        typer.Option(
            "--selector",
            help="embedding, mpnet (a larger encoder, fetched once: finds values better, takes longer), nli (the "
            "paper's gate), model (reads the language model), or both.",
        ),
        Configurable(choices=tuple(SELECTORS)),
    ] = "embedding"
    selector_model: Annotated[
        str | None,
        typer.Option(
            help="Encoder, NLI or language model of the selector, by name or path; each has its own, mpnet no other."
        ),
        Configurable(),
    ] = None
    taxonomy: Annotated[
        Path | None,
        typer.Option(
            "--taxonomy",
            help="Folder of your own taxonomy: values.toml and pairs/SLUG.csv, or published CSV files.",
        ),
        Configurable(),
    ] = None

    language: Annotated[
        str | None,
        typer.Option(
            help="Of texts and of values' names: en, de, fr, es, tr, hi, zh; all but en need a multilingual "
            "--selector-model. By default texts that are recognisably not in English are refused.",
        ),
        Configurable(pattern="[a-z]{2,3}", meant="a code such as en"),
    ] = None

    @property
    def count(self) -> Count | None:
        """`auto`, a whole number, or nothing.

        Raises:
            InputError: neither.
        """
        if self.k is None or self.k == "auto":
            return self.k  # type: ignore[return-value]
        try:
            return int(self.k)
        except ValueError as error:
            raise InputError("--k", f"is {self.k!r}.", "Give a whole number, or auto.") from error

    def named(self, taxonomy: Taxonomy) -> tuple[str, ...]:
        """Slugs of the values that are used instead of selecting."""
        return tuple(taxonomy[name].slug for name in names_argument(self.values))

    def loaded_taxonomy(self) -> Taxonomy:
        """The user's own taxonomy, or the built-in one, in the language."""
        own = self.taxonomy
        return Taxonomy.built_in(self.language) if own is None else Taxonomy.load(own, self.language)


@dataclass(frozen=True)
class Loading:
    """The model, and how it is loaded."""

    heading: ClassVar[str] = "Model"

    model: Annotated[
        str,
        typer.Option("--model", help="A name (`vispa models list`), a GGUF file, a folder, or a hub id."),
        Configurable(),
    ] = DEFAULT_MODEL
    dtype: Annotated[
        str,
        typer.Option(
            help="float32, bfloat16, float16 or auto: the model's own, float32 on a processor slow at bfloat16."
        ),
        Configurable(),
    ] = "auto"
    device: Annotated[str | None, typer.Option(help="Torch device; a GPU where there is one."), Configurable()] = None
    threads: Annotated[
        int | None, typer.Option(help="Processor threads; by default one a core."), Configurable(least=1)
    ] = None
    trust_remote_code: Annotated[bool, typer.Option(help="Run code that comes with the model.")] = False

    @property
    def placement(self) -> dict[str, Any]:
        """Arguments of `vispa.models.loading.load_model` that hold for every model of the command."""
        names = ("dtype", "device", "threads", "trust_remote_code")
        return {name: getattr(self, name) for name in names}


@dataclass(frozen=True)
class Running:
    """What runs the model."""

    heading: ClassVar[str] = "Engine"

    engine: Annotated[
        str,
        typer.Option(
            "--engine", help="What runs the model: transformers, or vllm (`pip install 'vispa[vllm]'`) for many texts."
        ),
        Configurable(),
    ] = "transformers"


@dataclass(frozen=True)
class Spreading:
    """How many items are answered, where, and how many may fail."""

    heading: ClassVar[str] = "Many items"

    ray: Annotated[
        str | None,
        typer.Option(
            help="Answer over Ray (`pip install 'vispa[ray]'`): the address of a cluster, auto, or local for one of "
            "this machine."
        ),
    ] = None
    workers: Annotated[
        int | None,
        typer.Option(help="Pipelines over Ray; by default one a GPU, or without any one for four cores.", min=1),
    ] = None
    max_failures: Annotated[
        int | None, typer.Option(help="End once more items failed than this; by default none ends it.", min=0)
    ] = None

    def idle(self) -> dict[str, str]:
        """The options that count for nothing, given the others; see `vispa.cli.setup.Setup.idle`."""
        return {"workers": "without --ray"} if self.ray is None else {}


@dataclass(frozen=True)
class Steering:
    """How the model is steered."""

    heading: ClassVar[str] = "Steering"

    polarity: Annotated[
        str,
        typer.Option(help="own, or paper: promote every value, toxicity too."),
        Configurable(choices=POLARITIES),
    ] = "own"
    recipe: Annotated[
        str | None,
        typer.Option("--recipe", help=f"{', '.join(RECIPES)}, or a TOML file with how to steer, field by field."),
        Configurable(path_unless=RECIPES),
    ] = None

    def pointing(self, taxonomy: Taxonomy) -> Taxonomy:
        """The values with the poles that they are steered toward.

        Raises:
            InputError: a polarity that is none.
        """
        check_choice("--polarity", self.polarity, POLARITIES)
        return taxonomy.with_polarity(self.polarity)  # type: ignore[arg-type]

    @property
    def recipe_file(self) -> Path | None:
        """The file of the recipe; None where there is none, or one that goes by a word."""
        return None if self.recipe is None or self.recipe in RECIPES else Path(self.recipe)


@dataclass(frozen=True)
class Decoding:
    """How comments are decoded."""

    heading: ClassVar[str] = "Sampling"

    max_new_tokens: Annotated[
        int, typer.Option(help="Longest comment, in tokens."), Configurable(least=1, most=MAX_NEW_TOKENS)
    ] = 200
    temperature: Annotated[
        float,
        typer.Option(help="Of the comments' sampling; 0 takes the likeliest token. What reads them stays greedy."),
    ] = 0.0
    top_p: Annotated[float, typer.Option(help="Share of the probability that the tokens sampled from must hold.")] = 1.0
    seed: Annotated[int, typer.Option(help="Of what is random: sampling, folds of a fit, the order of tuning.")] = 0

    @property
    def sampling(self) -> Sampling:
        """The same, checked.

        Raises:
            InputError: a field that cannot be.
        """
        return Sampling(self.max_new_tokens, self.temperature, self.top_p, self.seed)

    def idle(self) -> dict[str, str]:
        """The options that have no effect on texts, given the others; see `vispa.cli.setup.Setup.idle`."""
        why = "at --temperature 0, which takes the likeliest token"
        return dict.fromkeys(("top_p", "seed"), why) if self.temperature == 0 else {}


@dataclass(frozen=True)
class Reading:
    """Who reads the comments, and how."""

    heading: ClassVar[str] = "Reading of the comments"

    aggregator: Annotated[
        str,
        typer.Option(help="Who writes the Overton response: extractive, self, a local model, or api:MODEL."),
        Configurable(),
    ] = "extractive"
    api_url: Annotated[
        str | None, typer.Option(help="Address of an OpenAI-compatible API, for api:MODEL."), Configurable()
    ] = None
    api_key_variable: Annotated[
        str,
        typer.Option(help="Environment variable with the API's key; empty for servers that need none."),
        Configurable(may_be_empty=True),
    ] = "OPENAI_API_KEY"
    api_timeout: Annotated[
        float,
        typer.Option(help="Seconds that a request to the API may take, reply included."),
        Configurable(least=SHORTEST_TIMEOUT, most=LONGEST_TIMEOUT),
    ] = DEFAULT_TIMEOUT
    api_parameters: Annotated[
        str | None,
        typer.Option(help='Parameters of every request to the API, as JSON such as {"reasoning_effort": "low"}.'),
        Configurable(also=dict),
    ] = None
    option_reading: Annotated[
        str | None,
        typer.Option(
            help="How a model is asked which option it favours: letters (the paper's), cyclic, calibrated or words. "
            "Default: what suits the model."
        ),
        Configurable(choices=OPTION_READINGS),
    ] = None
    prompts: Annotated[Path | None, typer.Option("--prompts", help="TOML file that overrides prompts by name.")] = None
    weights: Annotated[
        str,
        typer.Option(
            help='Mixture of distributional mode: mean, relevance, a JSON file, or JSON such as {"karma": 1}.'
        ),
    ] = "mean"
    no_passages: Annotated[
        bool, typer.Option("--no-passages", help="Distributional mode reads the steered model's own options.")
    ] = False

    @property
    def passages(self) -> bool:
        """Whether comments are made and read."""
        return not self.no_passages


@dataclass(frozen=True)
class Asking:
    """What is asked about the texts."""

    heading: ClassVar[str] = "Mode"

    mode: Annotated[str, typer.Option("--mode", help="overton, steerable or distributional.")] = "overton"
    toward: Annotated[
        str | None,
        typer.Option(help="Target of steerable mode: a value, a right or duty, or a group (POLPARTY_Democrat)."),
    ] = None
    options: Annotated[str | None, typer.Option(help="What may be answered, separated by `|`.")] = None
    server: Annotated[
        str | None,
        typer.Option(help="Address of a `vispa serve` that answers; its key is in VISPA_API_KEY."),
    ] = None

    @property
    def checked_mode(self) -> Mode:
        """The mode.

        Raises:
            InputError: there is no such mode.
        """
        check_choice("--mode", self.mode, MODES)
        return self.mode  # type: ignore[return-value]

    @property
    def choices(self) -> tuple[str, ...]:
        """What may be answered.

        Raises:
            InputError: a single option, which would be the answer whatever is asked.
        """
        return texts(self.options, "|", "--options")
