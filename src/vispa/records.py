"""What goes in and what comes out: the records of a request and its answer."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

Mode = Literal["overton", "steerable", "distributional"]
#: How a value stands to what the text describes.
Stance = Literal["support", "oppose", "either"]


class Record(BaseModel):
    """Base of all records: closed and immutable."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())


class Selection(Record):
    """A selected value with its relevance to the text, in [0, 1]."""

    value: str
    score: float = Field(ge=0, le=1)


class Comment(Record):
    """What the model says when steered toward one value.

    Attributes:
        value: slug of the value.
        text: the comment.
        shift: block number → length of the shift added to the residual stream.
        prompt: what the model continued.
        tokens: number of generated tokens.
        stance: probability that the comment supports, opposes, or does either.
    """

    value: str
    text: str
    shift: dict[int, float]
    prompt: str
    tokens: int
    stance: dict[Stance, float]

    @property
    def leaning(self) -> Stance:
        """The likeliest stance; the first on a tie."""
        return max(self.stance, key=lambda stance: self.stance[stance])


class Sentence(Record):
    """A sentence of a response with the values whose comments say it."""

    text: str
    values: tuple[str, ...]


class Steering(Record):
    """How the model was steered: estimator, blocks and amount."""

    estimator: str
    magnitude: str
    amount: float
    blocks: tuple[int, ...]


class Provenance(Record):
    """Everything needed to get the same answer again.

    Attributes:
        model: name of the model.
        model_fingerprint: of configuration and weights.
        bank: fingerprint of the taxonomy that the bank was fitted on.
        selector: name of the selector.
        aggregator: name of the aggregator.
        steering: how the model was steered.
        seed: of the request.
        versions: of the libraries.
        timings: seconds by stage; of the whole batch where several texts ran together.
    """

    model: str
    model_fingerprint: str
    bank: str
    selector: str
    aggregator: str
    steering: Steering
    seed: int
    versions: dict[str, str]
    timings: dict[str, float]


class OvertonResponse(Record):
    """One response that reflects all selected values.

    Attributes:
        text: what was asked.
        mode: always `overton`.
        values: selected values, most relevant first.
        comments: one for each value, in the same order.
        response: the answer.
        sentences: the answer's sentences, each with its values.
        provenance: how it came about.
    """

    text: str
    mode: Literal["overton"] = "overton"
    values: tuple[Selection, ...]
    comments: tuple[Comment, ...]
    response: str
    sentences: tuple[Sentence, ...]
    provenance: Provenance
