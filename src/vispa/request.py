"""What is asked of the pipeline, its limits, and the checks that are cheap enough to come before any model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from numbers import Real
from typing import Any, Literal, get_args

from vispa.errors import InputError, check_choice
from vispa.files.visible import is_blank

#: The model that answers where none is named; see `vispa.models.sources.named`.
DEFAULT_MODEL = "smollm2"
#: The name under which the model inside this package is asked for.
EMBEDDED = "embedded"
#: Recipes that go by a word: the one chosen for the model, the paper's, and the one for models without their own.
RecipeName = Literal["tuned", "published", "portable"]
RECIPES: tuple[RecipeName, ...] = get_args(RecipeName)

#: How a model is asked which option it favours; see `vispa.readers.option_readings`.
OptionReadingName = Literal["letters", "cyclic", "calibrated", "words"]
OPTION_READINGS: tuple[OptionReadingName, ...] = get_args(OptionReadingName)
#: Of models that run here, other than the embedded one (measured: `benchmarks/options.py`).
DEFAULT_OPTION_READING: OptionReadingName = "words"

#: Number of values kept in the paper (section 3.1); all of them where a taxonomy has fewer.
DEFAULT_K = 6
#: How many values to choose: that many, or as many as the scores call for.
Count = int | Literal["auto"]
#: What becomes of the comments.
Mode = Literal["overton", "steerable", "distributional"]
MODES: tuple[Mode, ...] = get_args(Mode)

#: The letters that options go by, in their order.
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
#: Share of the next token's probability that the options' letters must hold together; with less they cannot be
#: weighed by it, since the model is about to write something else.
LEAST_OPTION_MASS = 0.5
#: Where the question is whether something is supported or opposed.
STANCE_OPTIONS = ("Support", "Oppose", "Either")

#: Longest text, question or prompt that is taken, in characters.
MAX_CHARACTERS = 20_000
#: Longest target or country, in characters.
MAX_TARGET_CHARACTERS = 1_000
#: Longest option, in characters.
MAX_OPTION_CHARACTERS = 1_000
#: Most options of a question: each goes by a letter.
MAX_OPTIONS = len(LETTERS)
#: Longest comment, in tokens.
MAX_NEW_TOKENS = 4_096
#: Largest seed.
MAX_SEED = 2**63 - 1
#: Largest sum of a mixture's weights.
MAX_WEIGHT_SUM = 1e12


#: What counts in some modes only, and in which; `weights` are those of the pipeline's mixture.
MODES_OF: dict[str, tuple[Mode, ...]] = {
    "toward": ("steerable",),
    "question": ("steerable", "distributional"),
    "options": ("steerable", "distributional"),
    "country": ("distributional",),
    "passages": ("distributional",),
    "weights": ("distributional",),
}


@dataclass(frozen=True)
class Request:
    """One text to answer.

    Attributes:
        text: the situation or question; options may stand in it, as in the data sets.
        values: names of values to use instead of selecting, also as one text such as `honor,karma`.
        k: how many values to select, or `auto`; by default `DEFAULT_K`, or all of a smaller taxonomy.
        threshold: least relevance of a selected value.
        diversity: how much selected values must differ, 0 to 1.
        prompt: what to ask the steered model, where a data set has its own wording.
        mode: what becomes of the comments.
        toward: target of steerable mode: a value, a right or duty in words, or a group such as
            `POLPARTY_Democrat`.
        question: the question to answer with options; the text itself by default.
        options: what may be answered, also as one text such as `Yes|No`; by default those that the
            text lists, else Support, Oppose, Either. A list may have one, as some surveys do: it is the
            answer then, whatever is asked.
        country: whose people are asked (distributional mode).
        passages: distributional mode reads comments as passages; False reads the steered model's
            own option probabilities.
    """

    text: str
    values: Sequence[str] = ()
    k: Count | None = None
    threshold: float = 0.0
    diversity: float = 0.0
    prompt: str | None = None
    mode: Mode = "overton"
    toward: str | None = None
    question: str | None = None
    options: Sequence[str] = ()
    country: str | None = None
    passages: bool = True

    def __post_init__(self) -> None:
        for name, separator in (("values", ","), ("options", "|")):
            object.__setattr__(self, name, texts(getattr(self, name), separator, name))


# The fields that say how values are selected, and what each is where nothing is said.
_SELECTING: dict[str, Any] = {
    field.name: field.default for field in fields(Request) if field.name in ("k", "threshold", "diversity")
}


@dataclass(frozen=True)
class Sampling:
    """How comments are decoded.

    Attributes:
        max_new_tokens: longest text.
        temperature: 0 is greedy.
        top_p: share of the probability that the likeliest tokens sampled from must hold; 1 where nothing is sampled.
        seed: of the random numbers; each text of each value has its own, made from it. It is taken where nothing is
            sampled too: what it promises, the same text again, is kept there.

    Raises:
        InputError: one that cannot be, or a share where nothing is sampled.
    """

    max_new_tokens: int = 200
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        check_max_new_tokens(self.max_new_tokens)
        for field, given in (("temperature", self.temperature), ("top-p", self.top_p)):
            if isinstance(given, bool) or not isinstance(given, int | float):
                raise InputError(field, f"is {given!r}.", "Give a number.")
        if not 0 <= self.temperature < float("inf"):
            raise InputError("temperature", f"is {self.temperature}.", "Give 0 for greedy decoding, or more.")
        if not 0 < self.top_p <= 1:
            raise InputError("top-p", f"is {self.top_p}.", "Give a share above 0, at most 1.")
        if self.is_greedy and self.top_p != 1:
            problem = "has no effect at temperature 0, which takes the likeliest token."
            raise InputError("top-p", problem, "Leave it out, or give a temperature above 0.")
        check_seed(self.seed)

    @property
    def is_greedy(self) -> bool:
        """Whether the likeliest token is always taken, so that nothing is random."""
        return self.temperature == 0

    def effective(self) -> dict[str, float | int]:
        """The fields that have an effect, by name: a greedy text has neither top_p nor seed."""
        fields: dict[str, float | int] = {"max_new_tokens": self.max_new_tokens}
        if not self.is_greedy:
            fields |= {"temperature": self.temperature, "top_p": self.top_p, "seed": self.seed}
        return fields


def texts(given: object, separator: str, field: str) -> tuple[str, ...]:
    """Several texts, also written as one with a separator; each without the spaces around it.

    Raises:
        InputError: anything else than texts; or one text without the separator `|`: another is meant, or one option
            alone, which would be the answer whatever is asked (a list may have one, as some surveys do).
    """
    if given is None:
        return ()
    if isinstance(given, str) and separator == "|" and "|" not in given and given:
        raise InputError(field, f"are one text, {_shown(given)}.", "Write | between them, or give a list.")
    parts = given.split(separator) if isinstance(given, str) else given
    if not isinstance(parts, Sequence) or not all(isinstance(part, str) for part in parts):
        raise InputError(field, f"is {_shown(given)}.", f"Give texts, or one text with {separator} between them.")
    return tuple(part.strip() for part in parts)


def check_request(request: Request) -> None:
    """Refuse a request with a field that is malformed, over its limit, or without effect in its mode.

    Raises:
        InputError: names the field.
    """
    check_text(request.text)
    check_choice("mode", request.mode, MODES)
    check_threshold(request.threshold)
    check_diversity(request.diversity)
    check_options(request.options)
    if not isinstance(request.passages, bool):
        raise InputError("passages", f"is {_shown(request.passages)}.", "Give True or False.")
    for name, most in (
        ("question", MAX_CHARACTERS),
        ("prompt", MAX_CHARACTERS),
        ("toward", MAX_TARGET_CHARACTERS),
        ("country", MAX_TARGET_CHARACTERS),
    ):
        if getattr(request, name) is not None:
            check_text(getattr(request, name), name, most)
    _check_effect(request)


def check_options(options: Sequence[str]) -> None:
    """Refuse options that cannot be lettered; none at all is left to the caller.

    Raises:
        InputError: more than there are letters, or an option that is empty, too long or not valid Unicode.
    """
    if len(options) > MAX_OPTIONS:
        raise InputError("options", f"are {len(options)}.", f"Give 1 to {MAX_OPTIONS}.")
    if any(map(is_blank, options)):
        raise InputError("options", "hold an empty one.", "Give every option a text.")
    for option in options:
        check_text(option, "options", MAX_OPTION_CHARACTERS)


def check_different(options: Sequence[str]) -> None:
    """Refuse options that repeat each other, whatever their case and spaces.

    Raises:
        InputError: names the option.
    """
    seen = set()
    for option in options:
        key = " ".join(option.casefold().split())
        if key in seen:
            raise InputError("options", f"hold {_shown(option.strip())} twice.", "Give every option once.")
        seen.add(key)


def _check_effect(request: Request) -> None:
    """Refuse what was given but counts for nothing; see `MODES_OF`."""
    defaults = {field.name: field.default for field in fields(Request)}

    def given(name: str) -> bool:
        return bool(getattr(request, name) != defaults[name])

    for name, modes in MODES_OF.items():
        if name in defaults and request.mode not in modes and given(name):
            raise InputError(name, *without_effect(request.mode, modes))
    if request.values:
        check_selects_nothing(request, "values")
    if not request.passages and request.prompt is not None:
        raise InputError("prompt", "has no effect without passages: nothing comments.", "Leave it out.")


def check_selects_nothing(request: Request, naming: str) -> None:
    """Refuse to be told how values are selected where they are named.

    Args:
        request: what is asked.
        naming: the field that names them, `values` or `weights`.

    Raises:
        InputError: names what has no effect.
    """
    for name, default in _SELECTING.items():
        if getattr(request, name) != default:
            where = "values are named" if naming == "values" else f"{naming} name the values"
            raise InputError(name, f"has no effect where {where}.", f"Leave out {name}, or {naming}.")


def selecting_nothing(request: Request) -> Request:
    """The request without a word of how values are selected."""
    return replace(request, **_SELECTING)


def without_effect(mode: str, modes: Sequence[str]) -> tuple[str, str]:
    """Problem and advice for what counts in other modes only."""
    return f"has no effect in {mode.capitalize()} mode.", f"Leave it out, or choose {' or '.join(modes)} mode."


def _shown(given: object) -> str:
    """A wrong value in a message, cut short."""
    text = repr(given)
    return text if len(text) <= 60 else f"{text[:57]}…"


def check_text(text: str, field: str = "text", most: int = MAX_CHARACTERS) -> None:
    """Refuse a text that cannot be answered, or another text of a request.

    Args:
        text: what was given.
        field: what it is called in messages.
        most: longest that is taken, in characters.

    Raises:
        InputError: no text, without a character that can be seen, too long, or not valid Unicode.
    """
    if not isinstance(text, str):
        raise InputError(field, f"is {_shown(text)}.", "Give a text.")
    if is_blank(text):
        raise InputError(field, "is empty.", "Give a situation or a question." if field == "text" else "Give a text.")
    if len(text) > most:
        raise InputError(field, f"has {len(text):,} characters.", f"Give at most {most:,}.")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InputError(field, "is not valid UTF-8.", "Save or send it with UTF-8 encoding.") from error


def resolved_count(k: Count | None, values: int) -> Count:
    """How many of a taxonomy's values to choose, the default filled in.

    Example:
        >>> resolved_count(None, 31), resolved_count(None, 2), resolved_count("auto", 2)
        (6, 2, 'auto')

    Raises:
        InputError: a number that is not from 1 to the taxonomy's size, or no number.
    """
    if k is None:
        return min(DEFAULT_K, values)
    if k == "auto":
        return k
    if isinstance(k, bool) or not isinstance(k, int):
        raise InputError("k", f"is {_shown(k)}.", f"Choose from 1 to {values} values, or auto.")
    if not 1 <= k <= values:
        raise InputError("k", f"is {k}.", f"Choose from 1 to {values} values.")
    return k


def check_diversity(diversity: float) -> None:
    """Refuse a diversity outside [0, 1]."""
    _check_share("diversity", diversity)


def check_threshold(threshold: float) -> None:
    """Refuse a least relevance outside [0, 1]."""
    _check_share("threshold", threshold)


def check_max_new_tokens(count: int) -> None:
    """Refuse a length of comments that cannot be."""
    if isinstance(count, bool) or not isinstance(count, int) or not 1 <= count <= MAX_NEW_TOKENS:
        raise InputError("max-new-tokens", f"is {_shown(count)}.", f"Give a number from 1 to {MAX_NEW_TOKENS}.")


def check_seed(seed: int) -> None:
    """Refuse a seed that random number generators do not take."""
    if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed <= MAX_SEED:
        raise InputError("seed", f"is {_shown(seed)}.", f"Give a whole number from 0 to {MAX_SEED}.")


def _check_share(field: str, share: float) -> None:
    if isinstance(share, bool) or not isinstance(share, Real) or not 0 <= share <= 1:
        raise InputError(field, f"is {_shown(share)}.", "Give a number from 0 to 1.")
