"""What may be asked, field by field; whatever is not here is refused."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from vispa.request import (
    MAX_CHARACTERS,
    MAX_NEW_TOKENS,
    MAX_OPTION_CHARACTERS,
    MAX_OPTIONS,
    MAX_SEED,
    MAX_TARGET_CHARACTERS,
    Mode,
    RecipeName,
)
from vispa.serving.settings import MAX_ITEMS, MAX_MESSAGES, MAX_VALUES

Text = Annotated[str, Field(min_length=1, max_length=MAX_CHARACTERS)]
Short = Annotated[str, Field(min_length=1, max_length=MAX_TARGET_CHARACTERS)]
Name = Annotated[str, Field(min_length=1, max_length=100)]
Share = Annotated[float, Field(ge=0, le=1)]
Tokens = Annotated[int, Field(ge=1, le=MAX_NEW_TOKENS)]
Temperature = Annotated[float, Field(ge=0, le=100)]
TopP = Annotated[float, Field(gt=0, le=1)]
Seed = Annotated[int, Field(ge=0, le=MAX_SEED)]


class Body(BaseModel):
    """Base of all bodies: closed, of exact types, with finite numbers only."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False, frozen=True)


class SamplingBody(Body):
    """How comments are decoded; greedy unless a temperature is given."""

    max_tokens: Tokens | None = None
    temperature: Temperature | None = None
    top_p: TopP | None = None
    seed: Seed | None = None


class Asked(Body):
    """What is asked about one text; see `vispa.Request`."""

    mode: Mode | None = None
    k: Annotated[int, Field(ge=1, le=MAX_VALUES)] | Literal["auto"] | None = None
    values: Annotated[list[Name], Field(max_length=MAX_VALUES)] = Field(default_factory=list)
    threshold: Share = 0.0
    diversity: Share = 0.0
    toward: Short | None = None
    question: Text | None = None
    options: Annotated[
        list[Annotated[str, Field(min_length=1, max_length=MAX_OPTION_CHARACTERS)]], Field(max_length=MAX_OPTIONS)
    ] = Field(default_factory=list)
    country: Short | None = None
    passages: bool = True
    prompt: Text | None = None


class How(Body):
    """How a text is answered, whatever is asked about it."""

    weights: (
        Literal["mean", "relevance"]
        | Annotated[dict[Name, Annotated[float, Field(ge=0)]], Field(max_length=MAX_VALUES)]
        | None
    ) = None
    recipe: RecipeName | Annotated[dict[Name, JsonValue], Field(max_length=MAX_VALUES)] | None = None
    polarity: Annotated[
        Literal["own", "paper"] | None,
        Field(description="Has to be that of the server, for which its directions were fitted; for checks only."),
    ] = None
    sampling: SamplingBody = Field(default_factory=SamplingBody)


class Options(Asked, How):
    """The object `vispa` in the body of an OpenAI request."""


class RespondBody(Asked, How):
    """A text to answer."""

    text: Text
    stream: bool = False


class SelectBody(Body):
    """A text whose values are to be found."""

    text: Text
    k: Annotated[int, Field(ge=1, le=MAX_VALUES)] | Literal["auto"] | None = None
    threshold: Share = 0.0
    diversity: Share = 0.0
    why: bool = False


class UnsteeredBody(Body):
    """A text that the plain model answers."""

    text: Text
    prompt: Text | None = None
    sampling: SamplingBody = Field(default_factory=SamplingBody)
    stream: bool = False


class ReadText(Body):
    """A text, and the value along whose directions it is read."""

    value: Name
    text: Text


class TokensBody(Body):
    """Texts that are read token by token."""

    items: Annotated[list[ReadText], Field(min_length=1, max_length=MAX_VALUES)]


class ItemBody(Asked):
    """One text of a batch, with the caller's own name for it."""

    id: Annotated[str, Field(max_length=200)] | int | None = None
    text: Text


class BatchBody(How):
    """Texts that are answered together."""

    items: Annotated[list[ItemBody], Field(min_length=1, max_length=MAX_ITEMS)]


class TextPart(Body):
    """A part of a message."""

    type: Literal["text"]
    text: Annotated[str, Field(max_length=MAX_CHARACTERS)]


class Message(Body):
    """One turn of a conversation."""

    role: Literal["system", "developer", "user", "assistant"]
    content: (
        Annotated[str, Field(max_length=MAX_CHARACTERS)] | Annotated[list[TextPart], Field(max_length=MAX_MESSAGES)]
    )
    name: Name | None = None

    @property
    def text(self) -> str:
        """What is said."""
        return self.content if isinstance(self.content, str) else "".join(part.text for part in self.content)


class StreamOptions(Body):
    """What a stream holds beside the answer."""

    include_usage: bool | None = None
    include_obfuscation: Literal[False] | None = None


class OpenAIBody(Body):
    """What both routes of the OpenAI client take; parameters that would have no effect may only be neutral."""

    model: Name
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    max_tokens: Tokens | None = None
    temperature: Temperature | None = None
    top_p: TopP | None = None
    seed: Seed | None = None
    n: Literal[1] | None = None
    user: Name | None = None
    stop: Annotated[list[str], Field(max_length=0)] | None = None
    presence_penalty: Annotated[float, Field(ge=0, le=0)] | None = None
    frequency_penalty: Annotated[float, Field(ge=0, le=0)] | None = None
    logit_bias: Annotated[dict[str, float], Field(max_length=0)] | None = None
    vispa: Options = Field(default_factory=Options)


class ChatBody(OpenAIBody):
    """`/v1/chat/completions`."""

    messages: Annotated[list[Message], Field(min_length=1, max_length=MAX_MESSAGES)]
    max_completion_tokens: Tokens | None = None
    logprobs: Literal[False] | None = None
    tools: Annotated[list[Any], Field(max_length=0)] | None = None
    store: Literal[False] | None = None


class CompletionBody(OpenAIBody):
    """`/v1/completions`."""

    prompt: Text | Annotated[list[Text], Field(min_length=1, max_length=1)]
    echo: Literal[False] | None = None
    best_of: Literal[1] | None = None

    @property
    def text(self) -> str:
        """What is to be answered."""
        return self.prompt if isinstance(self.prompt, str) else self.prompt[0]
