"""What goes in and what comes out: the records of a request and its answer."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

#: How a value stands to what the text describes.
Stance = Literal["support", "oppose", "either"]

#: Whether what a text describes promotes a value or violates it.
Side = Literal["promotes", "violates"]
#: A side is told where it is at least so probable.
LEAST_CERTAIN = 0.7

#: How a text came to its end: by the model's `own` doing; `cut` back to its last full sentence, because the limit of
#: tokens came first; or `unfinished`, where that left not even one full sentence, and the text is kept as it is.
Ending = Literal["own", "cut", "unfinished"]


class Record(BaseModel):
    """Base of all records: closed and immutable."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())


class Selection(Record):
    """A selected value.

    Attributes:
        value: slug of the value.
        score: relevance of the value to the text.
        promotes: probability that what the text describes promotes the value rather than violates it (avoids or brings
            it, for a value that is to be avoided); None where the selector does not tell.
    """

    value: str
    score: float = Field(ge=0, le=1)
    promotes: float | None = Field(default=None, ge=0, le=1)

    @property
    def side(self) -> Side | None:
        """The likelier side; None where neither has a probability of `LEAST_CERTAIN`, or the selector tells none."""
        if self.promotes is None or max(self.promotes, 1 - self.promotes) < LEAST_CERTAIN:
            return None
        return "promotes" if self.promotes > 0.5 else "violates"


class Comment(Record):
    """What the model says when steered toward one value.

    Attributes:
        value: slug of the value.
        text: the comment.
        shift: block number → length of the shift added to the residual stream.
        prompt: what the model continued.
        tokens: number of generated tokens.
        stance: probability that the comment supports, opposes, or does either; empty where that
            cannot be read, or the comment is empty.
        left_out: blocks of the recipe at which the value's direction does not separate, so that
            nothing was added there.
        steered: whether anything was added at any block; where not, the text is the plain model's,
            the same for every such value.
        ending: how the text came to its end.
        refused: the model declines to comment, or speaks of itself as an AI; such a comment counts for no value.
        repeats: position of the first comment that says the same or nearly the same; None where it says something
            of its own, or counts for no value.
    """

    value: str
    text: str
    shift: dict[int, float]
    prompt: str
    tokens: int
    stance: dict[Stance, float]
    left_out: tuple[int, ...] = ()
    steered: bool = True
    ending: Ending = "own"
    refused: bool = False
    repeats: int | None = None

    @property
    def leaning(self) -> Stance | None:
        """The likeliest stance, the first on a tie; None where the comment has none."""
        return max(self.stance, key=lambda stance: self.stance[stance], default=None)


class Claim(Record):
    """A sentence of a response, with the comments that say it.

    Attributes:
        text: the sentence.
        values: values whose comments support it.
        comments: positions of those comments.
        support: how strongly the best comment supports it, 0 to 1; 1 where it is a comment's own.
        supported: False for what no comment says and the aggregator made up.
    """

    text: str
    values: tuple[str, ...]
    comments: tuple[int, ...]
    support: float = Field(ge=0, le=1)
    supported: bool


class Steering(Record):
    """How the model was steered; the fields of `vispa.steering.recipe.Recipe`, blocks resolved.

    Attributes:
        strengths: value → fraction of the residual norm, of the values of the answer; None where the magnitude
            is not measured.
    """

    estimator: str
    blocks: tuple[int, ...]
    depth: tuple[float, float]
    best: int | None
    magnitude: str
    amount: float
    amounts: dict[str, float] = Field(default_factory=dict)
    table: str | None
    both_ways: bool
    cap: float | None
    scope: str
    subject_share: float = 1.0
    half_life: float | None = None
    minimal_quality: float
    gate: float | None
    strengths: dict[str, float] | None = None


class Choosing(Record):
    """How the values were chosen; the fields that did not count are None.

    Attributes:
        named: values that the request, its target or the mixture names; nothing was selected then.
        k: how many to select.
        threshold: least relevance.
        diversity: how much they must differ.
        encoder: whose similarities diversity and `auto` go by.
    """

    named: tuple[str, ...] | None = None
    k: int | Literal["auto"] | None = None
    threshold: float | None = None
    diversity: float | None = None
    encoder: str | None = None


class Decoding(Record):
    """How comments were decoded; of greedy ones only the length counts.

    Attributes:
        max_new_tokens: longest comment.
        temperature: None is greedy.
        top_p: share of the probability that the tokens sampled from must hold.
        seed: of the random numbers.
    """

    max_new_tokens: int
    temperature: float | None = None
    top_p: float | None = None
    seed: int | None = None


class Mixing(Record):
    """How the values' distributions became one.

    Attributes:
        kind: `mean`, `relevance`, `given`, or `fitted`.
        shares: value → weight of a given or fitted mixture, for the text's group.
        temperature: to which every value's distribution was brought.
    """

    kind: str
    shares: dict[str, float] | None = None
    temperature: float


class Provenance(Record):
    """Everything that determined the answer, beside the text and what the answer itself holds.

    What had no effect is None: an Overton response has no reader of passages, a distribution no
    aggregator, a greedy comment no seed.

    Attributes:
        model: name of the model.
        model_fingerprint: of configuration and weights.
        dtype: of the model's weights.
        device: kind of device that it ran on.
        bank: fingerprint of the bank's directions.
        taxonomy: fingerprint of the values.
        selector: name of the selector, which also scores and orders named values.
        choosing: how many values were chosen, and by which rule.
        steering: how the model was steered.
        sampling: how comments were decoded; None where the model's options were read without any.
        prompts: SHA-256 of all prompt templates.
        aggregator: name of the aggregator of an Overton response.
        picker: name of what picked the comment that fits a target.
        reader: name of the model that read comments as passages.
        option_reading: how options were read (`vispa.readers.option_readings`).
        stances: what read where the comments stand: `statements`, or an option reading and a model.
        mixture: of a distributional response.
        versions: of the libraries.
        timings: seconds by stage; of the whole batch where several texts ran together.
    """

    model: str
    model_fingerprint: str
    dtype: str
    device: str
    bank: str
    taxonomy: str
    selector: str
    choosing: Choosing
    steering: Steering
    sampling: Decoding | None
    prompts: str
    aggregator: str | None = None
    picker: str | None = None
    reader: str | None = None
    option_reading: str | None = None
    stances: str | None = None
    mixture: Mixing | None = None
    versions: dict[str, str]
    timings: dict[str, float]


# A mode makes the record of its answer; the pipeline, which alone knows how the comments came about, adds this.
_ADDED_LATER: Any = None


class OvertonResponse(Record):
    """One response that reflects all selected values.

    Attributes:
        text: what was asked.
        mode: always `overton`.
        values: selected values, most relevant first.
        comments: one for each value, in the same order.
        silent: the values for which the model gave nothing that counts: their comments are empty or refuse.
        response: the answer.
        claims: the answer's sentences, each with the comments that say it.
        ending: how the answer came to its end.
        refused: who wrote the answer declined, or spoke of itself as an AI.
        prompts: what the aggregating model was asked, by step; empty where no model was.
        provenance: how it came about.
    """

    text: str
    mode: Literal["overton"] = "overton"
    values: tuple[Selection, ...]
    comments: tuple[Comment, ...]
    silent: tuple[str, ...] = ()
    response: str
    claims: tuple[Claim, ...]
    ending: Ending = "own"
    refused: bool = False
    prompts: dict[str, str] = Field(default_factory=dict)
    provenance: Provenance = _ADDED_LATER


class SteerableResponse(Record):
    """An answer from the view of one target.

    Attributes:
        text: what was asked.
        mode: always `steerable`.
        target: the value, right or duty, or the group, in words.
        values: selected values, most relevant first; the target alone where it is a value.
        comments: one for each value, in the same order.
        silent: the values for which the model gave nothing that counts: their comments are empty or refuse.
        chosen: position of the comment that fits the target.
        fit: how well each comment fits, summing to 1.
        options: what could be answered.
        distribution: probability of each option; None where the reader only wrote a letter.
        answer: letter of the answer.
        response: the answer in words.
        prompts: what the reader was asked, by step.
        provenance: how it came about.
    """

    text: str
    mode: Literal["steerable"] = "steerable"
    target: str
    values: tuple[Selection, ...]
    comments: tuple[Comment, ...]
    silent: tuple[str, ...] = ()
    chosen: int
    fit: tuple[float, ...]
    options: tuple[str, ...]
    distribution: tuple[float, ...] | None
    answer: str
    response: str
    prompts: dict[str, str]
    provenance: Provenance = _ADDED_LATER


class DistributionalResponse(Record):
    """A distribution over options, mixed from the values' own.

    Attributes:
        text: what was asked.
        mode: always `distributional`.
        values: the values that take part, most relevant first.
        comments: one for each value; none where the steered model answered without passages.
        silent: the values for which the model gave nothing that counts: their comments are empty or refuse.
        options: what could be answered.
        by_value: for each value the distribution with its comment as a passage; none for a value
            without a comment, whose weight is 0.
        unsteered: values toward which the recipe steers at no block or by nothing; without passages, their
            distributions are the plain model's. What a gate leaves out is not told here.
        weights: share of each value in the mixture, summing to 1.
        mixture: how the weights came about.
        distribution: the mixture.
        answer: letter of the likeliest option, the first on a tie.
        response: that option in words.
        prompts: what the reader was asked, by value.
        written: values for which the reader wrote the letter of its answer; the distribution is all on that.
        disputed: values for which no option is clearly ahead: the best two are level, or the likeliest changes with
            the order of the options. Their distributions count all the same.
        provenance: how it came about.
    """

    text: str
    mode: Literal["distributional"] = "distributional"
    values: tuple[Selection, ...]
    comments: tuple[Comment, ...]
    silent: tuple[str, ...] = ()
    options: tuple[str, ...]
    by_value: tuple[tuple[float, ...], ...]
    unsteered: tuple[str, ...] = ()
    weights: tuple[float, ...]
    mixture: str
    distribution: tuple[float, ...]
    answer: str
    response: str
    prompts: dict[str, str]
    written: tuple[str, ...] = ()
    disputed: tuple[str, ...] = ()
    provenance: Provenance = _ADDED_LATER


Response = OvertonResponse | SteerableResponse | DistributionalResponse
