"""What a method is, and what the methods of a run share."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from vispa.errors import InputError
from vispa.evaluation.methods.prompts import MethodPrompts, method_prompts
from vispa.evaluation.methods.voice import Community
from vispa.evaluation.runs.folder import MethodAnswer
from vispa.files.visible import is_blank
from vispa.generation.rows import Generated, Row
from vispa.items.asking import item_case
from vispa.items.item import Item
from vispa.modes.endings import ended
from vispa.modes.prompts import Prompts, words_stances
from vispa.modes.readings import Reading, read_options
from vispa.pipeline import Vispa
from vispa.readers.base import ChatModel, Failure, Unfinished
from vispa.records import DistributionalResponse, Response, SteerableResponse
from vispa.request import LETTERS, Sampling, check_max_new_tokens
from vispa.selection.selector import Selector
from vispa.taxonomy import Taxonomy


class Method(Protocol):
    """Answers items of a task.

    Attributes:
        name: unique within a run; names the file of its records.
        settings: what determines its answers beside `Bench.settings`, as JSON can say it.
    """

    name: str
    settings: dict[str, Any]

    def answer(self, items: Sequence[Item]) -> list[MethodAnswer]:
        """One answer for each item, in their order; all forward passes are batched over the items.

        Args:
            items: of one task, so of one mode.

        Raises:
            InputError: something that would make every item fail.
        """
        ...


@dataclass(frozen=True)
class Bench:
    """What all methods of a run share.

    Attributes:
        vispa: the pipeline; its model is the one under test, its reader, aggregator, picker and
            prompts serve the other methods too.
        request_options: fields of `vispa.request.Request` that hold for every item: `k`,
            `threshold`, `diversity`, `values`.
        max_new_tokens: longest comment.
        response_tokens: longest response of a method that writes it in one go; as long as an
            aggregated response may be (paper: 300), so that length favours no method.
        personas: how many personas the role agents are.
        community: comments of other models, for MoE and ModPlural.
        selectors: name → makes another selector, for `vispa+NAME`.
        temperature: of whatever the model under test and community models write; 0 is greedy.
        top_p: share of the probability that the tokens sampled from must hold.
        seed: of the sampling.
        prompts: of the methods.
    """

    vispa: Vispa
    request_options: Mapping[str, Any] = field(default_factory=dict)
    max_new_tokens: int = 200
    response_tokens: int = 300
    personas: int = 6
    community: Community | None = None
    selectors: Mapping[str, Callable[[Taxonomy], Selector]] = field(default_factory=dict)
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int = 0
    prompts: MethodPrompts = field(default_factory=method_prompts)

    def __post_init__(self) -> None:
        _ = self.sampling
        check_max_new_tokens(self.response_tokens)
        if not 1 <= self.personas <= len(LETTERS):
            raise InputError("personas", f"is {self.personas}.", f"Choose from 1 to {len(LETTERS)}.")

    def needed_community(self, method: str) -> Community:
        """The community, for a method that cannot do without.

        Raises:
            InputError: there is none.
        """
        if self.community is None:
            advice = "Name local models, or a folder of comments in JSON files."
            raise InputError("community", f"is missing; {method} needs it.", advice)
        return self.community

    @property
    def sampling(self) -> Sampling:
        """How comments are decoded."""
        return Sampling(self.max_new_tokens, self.temperature, self.top_p, self.seed)

    @property
    def own_stances(self) -> bool:
        """Whether questions for a stance are put in the model's own words, not in the data set's."""
        return words_stances(self.vispa.model.name)

    @property
    def wording(self) -> Prompts:
        """The pipeline's prompts."""
        return self.vispa.prompts

    def say(self, messages: Sequence[str], max_new_tokens: int) -> list[Generated]:
        """What the unsteered model under test says to each message."""
        engine = self.vispa.engine
        rows = [Row(engine.chat_prompt(message)) for message in messages]
        return engine.generate(rows, replace(self.sampling, max_new_tokens=max_new_tokens))

    @property
    def reader(self) -> ChatModel:
        """The unsteered model under test."""
        return self.vispa.own_reader


def written_answers(bench: Bench, messages: Sequence[str]) -> list[MethodAnswer]:
    """The model's own responses to the messages: Overton mode without comments."""
    said = bench.say(messages, bench.response_tokens)
    return [
        MethodAnswer(error=Unfinished().reason, tokens=one.tokens)
        if one.unfinished
        else MethodAnswer(error="The model wrote nothing.", tokens=one.tokens)
        if is_blank(one.text)
        else MethodAnswer(response=ended(one.text, one.limited)[0], tokens=one.tokens)
        for one in said
    ]


def option_answers(bench: Bench, items: Sequence[Item], prompts: Sequence[str]) -> list[MethodAnswer]:
    """The model's own choices after prompts that end where a letter is due."""
    options = [item_case(item).options for item in items]
    decided = any(item.mode == "steerable" for item in items)
    found = read_options(bench.reader, prompts, options, bench.wording, decided=decided)
    return [chosen_answer(reading, texts) for reading, texts in zip(found, options, strict=True)]


def read_answer(found: Response | Failure) -> MethodAnswer:
    """What a record of any mode says in answer, without the comments; or why there is none."""
    if isinstance(found, Failure):
        return MethodAnswer(error=found.reason)
    if isinstance(found, SteerableResponse | DistributionalResponse):
        return MethodAnswer(response=found.response, answer=found.answer, distribution=found.distribution)
    return MethodAnswer(response=found.response)


def chosen_answer(reading: Reading | Failure, options: Sequence[str]) -> MethodAnswer:
    """The likeliest option, the first on a tie; or why none can be read."""
    if isinstance(reading, Failure):
        return MethodAnswer(error=reading.reason)
    best = int(reading.distribution.argmax())
    exact = tuple(float(share) for share in reading.distribution)
    return MethodAnswer(response=options[best], answer=LETTERS[best], distribution=exact)
