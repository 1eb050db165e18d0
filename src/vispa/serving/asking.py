"""From bodies to requests of the pipeline."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from vispa.errors import InputError
from vispa.files.reading import read_toml
from vispa.modes.checking import checked
from vispa.modes.mixture import Mixture
from vispa.modes.prompts import Prompts
from vispa.modes.templates import filled
from vispa.pipeline import Vispa
from vispa.request import MODES, Mode, Request, Sampling, selecting_nothing
from vispa.serving.faults import Refusal, in_body
from vispa.serving.schemas import Asked, BatchBody, How, Message, OpenAIBody, SamplingBody
from vispa.steering.recipe import Recipe

#: What the served model goes by; with a mode after a colon, in that mode.
MODEL = "vispa"
MODELS = (MODEL, *(f"{MODEL}:{mode}" for mode in MODES))
#: Longest comment where nothing is said.
DEFAULT_TOKENS = 200

_CONVERSATION = Path(__file__).with_name("conversation.toml")


@dataclass(frozen=True)
class Job:
    """Requests that are ready to be answered.

    Attributes:
        pipeline: that answers.
        requests: checked.
        sampling: of the comments.
    """

    pipeline: Vispa
    requests: tuple[Request, ...]
    sampling: Sampling


def prepared(vispa: Vispa, how: How, requests: Sequence[Request], sampling: Sampling, polarity: str) -> Job:
    """Requests with the pipeline that answers them as the caller wants it; refused before anything is generated.

    Raises:
        InputError: what cannot be; names the field of the body.
    """
    if how.polarity is not None and how.polarity != polarity:
        raise InputError("polarity", f"this server steers by {polarity}.", "Leave it out, or ask another server.")
    pipeline = vispa
    if how.recipe is not None:
        pipeline = _steered(vispa, how.recipe)
    if how.weights is not None:
        for request in requests:
            if request.mode != "distributional":
                raise InputError("weights", f"have no effect in {request.mode} mode.", "Leave them out.")
        pipeline = pipeline.variant()
        mixture = Mixture(how.weights) if isinstance(how.weights, str) else Mixture.given(how.weights, "weights")
        pipeline.mixture = mixture.renamed(lambda name: slug_of(vispa, name, f"weights.{name}"))
    elif pipeline.mixture.values:
        # The server's own weights name the values; its callers cannot know.
        requests = [
            selecting_nothing(one) if one.mode == "distributional" and not one.values else one for one in requests
        ]
    is_batch = isinstance(how, BatchBody) or len(requests) > 1
    for number, request in enumerate(requests):
        try:
            checked(request, vispa.taxonomy, pipeline.mixture.values)
        except InputError as error:
            if error.field == "weights" and how.weights is None:
                advice = "Name others, or send weights too, such as `mean`."
                error = InputError("values", "have no weight by this server's own weights.", advice)
            # Weights are those of all items together.
            if not is_batch or error.field == "weights":
                raise error from None
            raise InputError(f"items.{number}.{in_body(error.field)}", error.problem, error.advice) from error
    return Job(pipeline, tuple(requests), sampling)


def slug_of(vispa: Vispa, name: str, path: str) -> str:
    """The slug of a value that a body names at a path.

    Raises:
        InputError: there is no such value; names the path.
    """
    try:
        return vispa.taxonomy[name].slug
    except InputError as error:
        raise InputError(path, error.problem, error.advice) from error


def asked_request(asked: Asked, text: str, mode: Mode | None = None, prompt: str | None = None) -> Request:
    """What is asked of the pipeline about a text."""
    fields: dict[str, Any] = asked.model_dump(include=set(Asked.model_fields) - {"mode", "prompt"})
    return Request(text, mode=mode or asked.mode or "overton", prompt=prompt or asked.prompt, **fields)


def model_mode(body: OpenAIBody) -> Mode:
    """The mode that the model's name and the body agree on.

    Raises:
        Refusal: there is no such model, or the two differ.
    """
    if body.model not in MODELS:
        raise Refusal(
            404, f"There is no such model. Choose {' or '.join(MODELS)}.", param="model", code="model_not_found"
        )
    named: Any = body.model.partition(":")[2] or None
    if named is not None and body.vispa.mode not in (None, named):
        raise Refusal(422, f"vispa.mode: the model answers in {named} mode.", param="vispa.mode")
    return named or body.vispa.mode or "overton"


def conversation(messages: Sequence[Message], wording: Callable[[str], str]) -> tuple[str, str | None]:
    """The situation of a conversation, which its last turn tells, and what the steered model is asked about it.

    Args:
        messages: the turns.
        wording: the request for a comment on a text.

    Raises:
        InputError: the last turn is not the user's.
    """
    *before, last = messages
    if last.role != "user":
        raise InputError("messages", "do not end with a turn of the user.", "Put the situation into the last turn.")
    turns = _conversation()["turns"]
    lines = [filled(turns[one.role], text=one.text) for one in before if one.text.strip()]
    if not lines:
        return last.text, None
    return last.text, filled(_conversation()["whole"].strip(), before="\n".join(lines), request=wording(last.text))


def comment_wording(prompts: Prompts, asked: Asked) -> Callable[[str], str]:
    """The request for a comment on a text: the caller's own, or the pipeline's."""
    return lambda text: asked.prompt or filled(prompts.comment, text=text)


def sampling_of(body: SamplingBody, most: int, **also: float | int | None) -> Sampling:
    """How comments are decoded.

    Args:
        body: goes first.
        most: longest comment that this server makes.
        **also: by the names of OpenAI's parameters; its clients send `top_p` of their own accord, which is left out
            where nothing is sampled.

    Raises:
        InputError: longer comments, or the body's own `top_p` where nothing is sampled; names OpenAI's parameter where
            that asks for too much.
    """
    own = body.model_dump(exclude_none=True)
    given = {**{name: one for name, one in also.items() if one is not None}, **own}
    if not given.get("temperature") and "top_p" not in own:
        given.pop("top_p", None)
    tokens: Any = given.pop("max_tokens", min(DEFAULT_TOKENS, most))
    if tokens > most:
        field = "max-new-tokens" if "max_tokens" in own else "max_tokens"
        raise InputError(field, f"is {tokens}.", f"This server gives at most {most}.")
    return Sampling(max_new_tokens=tokens, **given)


def _steered(vispa: Vispa, given: str | dict[str, Any]) -> Vispa:
    try:
        recipe: Any = given if isinstance(given, str) else Recipe.from_mapping(given, "recipe")
        found = vispa.variant(recipe=recipe)
        found.recipe.chosen_blocks(len(vispa.model.blocks))
        if found.bank.unmeasured(found.recipe):
            raise InputError("magnitude", "is not measured on this model.", "Choose another one.")
    except InputError as error:
        raise InputError(_in_recipe(error.field), error.problem, error.advice) from error
    return found


def _in_recipe(field: str) -> str:
    """The path in a body of a recipe's field, which messages write as one of a file: `recipe field blocks[0]`."""
    # Of a name that is not valid Unicode the object is told that holds it.
    path = field.removesuffix(" field name").removeprefix("recipe").removeprefix(" field ").strip(" .")
    for shown, plain in ((r"\[(\d+)\]", r".\1"), (r"\.'([^']*)'", r".\1")):
        path = re.sub(shown, plain, path)
    return f"recipe.{path}".rstrip(".")


@cache
def _conversation() -> dict[str, Any]:
    return read_toml(_CONVERSATION)
