"""What a request to vLLM says of its steering, in words that travel: names, weights, recipes as JSON."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from vispa.errors import InputError
from vispa.models.tokenization import Span
from vispa.steering.recipe import Recipe, Steer, recipe_model

#: Name of the argument of a request (`SamplingParams.extra_args`, over HTTP `vllm_xargs`).
ARGUMENT = "vispa"
#: Attribute of what a worker gives for a pass: requests that it could not steer, and why.
FAILED = "vispa_failed"

_FORM = 'Give names with weights, such as "benevolence:1.0" or "honor:0.5,karma:-1".'


@dataclass(frozen=True)
class Asked:
    """How one request is steered.

    Attributes:
        steers: as of a row.
        orthogonal: as of a row.
        subject: the tokens of what the prompt is about.
        prompt: so many of the tokens are the prompt's; the rest counts as generated. None: all that are given.
        number: under which what was measured is told; None where nobody asks.
        whole: the amounts are measured on the prompt's last token, so that it is read in one pass.
        reading: the activations of the prompt are wanted, under `number`.
    """

    steers: tuple[Steer, ...] = ()
    orthogonal: bool = False
    subject: Span = (0, 0)
    prompt: int | None = None
    number: int | None = None
    whole: bool = False
    reading: bool = False

    def as_argument(self) -> dict[str, Any]:
        """For `SamplingParams.extra_args`; `asked` reads it."""
        steers = [[one.value, one.weight, recipe_text(one.recipe)] for one in self.steers]
        return {**vars(self), "steers": steers, "subject": list(self.subject)}

    def salt(self, default: Recipe, ids: Sequence[int]) -> str | None:
        """What sets the keys and values of this request apart in the prefix cache; None for a plain one.

        Generated tokens are cached too, so a request of any scope has one. Where amounts are measured, what a token
        adds hangs on the whole prompt, which is then part of it.

        Args:
            default: recipe of steers that name none.
            ids: of the prompt.
        """
        if not any(one.weight for one in self.steers):
            return None
        recipes = [one.recipe or default for one in self.steers]
        said: list[object] = [
            [[one.value, one.weight, recipe_text(how)] for one, how in zip(self.steers, recipes, strict=True)],
            self.orthogonal, self.prompt,
        ]  # fmt: skip
        if any(how.subject_share < 1 for how in recipes):
            said.append(self.subject)
        if self.whole:
            said.append(list(ids))
        return hashlib.sha256(json.dumps(said).encode()).hexdigest()


def asked(argument: object) -> Asked:
    """What an argument says: a text of names and weights, or what `Asked.as_argument` gives.

    Raises:
        InputError: it is neither, a weight is not finite, or a recipe cannot be.

    Example:
        >>> asked("karma:0.5").steers
        (Steer(value='karma', weight=0.5, recipe=None),)
    """
    if isinstance(argument, str):
        return Asked(_named(argument))
    if not isinstance(argument, Mapping) or set(argument) != set(Asked.__dataclass_fields__):
        raise InputError(ARGUMENT, f"is {argument!r}.", _FORM)
    steers = tuple(Steer(str(value), float(weight), read_recipe(text)) for value, weight, text in argument["steers"])
    first, last = argument["subject"]
    return replace(Asked(**argument), steers=steers, subject=(int(first), int(last)))


def checked(argument: object) -> Asked:
    """What an argument says that reached a worker, which takes what the front has checked and nothing else.

    Names in a text are what a client writes. A front that hands them on has set no salt, and what they steer would be
    found in the prefix cache by whoever comes next.

    Raises:
        InputError: it is a text, or cannot be read.
    """
    if not isinstance(argument, Mapping):
        problem = "was not checked by the front of vllm, which did not load this package."
        raise InputError(ARGUMENT, problem, "Serve with vLLM's own server in Python, and with its plug-ins.")
    try:
        return asked(argument)
    except (TypeError, ValueError) as error:
        raise InputError(ARGUMENT, f"is {argument!r}.", _FORM) from error


@lru_cache(maxsize=4096)
def _named(text: str) -> tuple[Steer, ...]:
    found = []
    for part in text.split(","):
        name, colon, weight = part.strip().rpartition(":")
        try:
            found.append(Steer(name.strip() if colon else weight, float(weight) if colon else 1.0))
        except ValueError as error:
            raise InputError(ARGUMENT, f"has the weight {weight!r}.", _FORM) from error
        if not found[-1].value:
            raise InputError(ARGUMENT, f"is {text!r}.", _FORM)
    return tuple(found)


@lru_cache(maxsize=1024)
def recipe_text(recipe: Recipe | None) -> str | None:
    """A recipe as JSON, the same for the same recipe."""
    return None if recipe is None else json.dumps(recipe.as_mapping(), sort_keys=True)


@lru_cache(maxsize=1024)
def read_recipe(text: str | None) -> Recipe | None:
    """The recipe of a JSON text; steers nothing only if it says so.

    Raises:
        InputError: it is none.
    """
    if text is None:
        return None
    from vispa.files.reading import parse_json
    from vispa.files.validation import validated

    return Recipe(**dict(validated(recipe_model(), parse_json(text, "recipe"), "recipe")))
