"""The Overton answers of the trained model, and of what it is compared with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.controlled import quoted, sentences_of
from vispa.evaluation.methods import Bench
from vispa.generation.rows import Row, Sampling
from vispa.generation.transformers import TransformersEngine
from vispa.models.loading import LoadedModel
from vispa.modes.templates import filled
from vispa.pipeline import Vispa
from vispa.records import OvertonResponse
from vispa.request import DEFAULT_K, Request

#: The ways to an answer, in the order of the tables.
WAYS = {
    "vanilla": "the model as it is",
    "prompting": "asked for many values",
    "trained": "trained by GRPO, asked for many values",
    "vispa": f"VISPA, {DEFAULT_K} selected values",
}
#: Longest answer that is written in one go, as in evaluation, and longest comment.
ANSWER_TOKENS, COMMENT_TOKENS = Bench.response_tokens, 64


@dataclass(frozen=True)
class Answer:
    """An answer to a text.

    Attributes:
        text: whole.
        sentences: as the corpus grammar ends them, without what an answer says about its own comments.
    """

    text: str
    sentences: list[str]


def answers(vispa: Vispa, trained: LoadedModel, texts: Sequence[str]) -> dict[str, list[Answer]]:
    """Way → its greedy answers to N texts.

    Args:
        vispa: the model as it is, with its vectors.
        trained: the model after training.
        texts: to answer.
    """
    plain = TransformersEngine(vispa.model)
    own = [filled(vispa.prompts.comment, text=text) for text in texts]
    many = [filled(vispa.prompts.diverse, text=text) for text in texts]
    return {
        "vanilla": _written(plain, own),
        "prompting": _written(plain, many),
        "trained": _written(TransformersEngine(trained), many),
        "vispa": [
            _quoted(one) for one in vispa.respond_many([Request(t) for t in texts], max_new_tokens=COMMENT_TOKENS)
        ],
    }


def _written(engine: TransformersEngine, messages: Sequence[str]) -> list[Answer]:
    rows = [Row(engine.chat_prompt(message)) for message in messages]
    return [Answer(one.text, sentences_of(one.text)) for one in engine.generate(rows, Sampling(ANSWER_TOKENS))]


def _quoted(found: object) -> Answer:
    """A failure is an empty answer."""
    if not isinstance(found, OvertonResponse):
        return Answer("", [])
    return Answer(found.response, [said for claim in quoted(found) for said in sentences_of(claim.text)])
