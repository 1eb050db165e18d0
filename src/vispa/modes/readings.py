"""What a model answers to questions with options: by its option reading, or else in writing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from vispa.generation.engine import Engine
from vispa.generation.rows import Row, Sampling
from vispa.modes.answers import read_letter
from vispa.modes.prompts import Prompts
from vispa.modes.templates import filled
from vispa.readers.base import ChatModel, Distribution, Failure, Unfinished, Unweighable
from vispa.readers.local import said
from vispa.readers.option_readings import OptionQuestion, Reading, option_reading
from vispa.readers.option_readings.base import Likelihoods
from vispa.readers.weighing import weighed
from vispa.request import LETTERS, OptionReadingName
from vispa.steering.recipe import Steer

__all__ = ["LETTER_TOKENS", "THINKING_TOKENS", "Reading", "by_case", "or_written", "read_options", "read_steered"]

#: Longest written answer: a letter needs few tokens, a model that thinks before it answers many more.
LETTER_TOKENS = 16
THINKING_TOKENS = 2048
# How much of an answer that cannot be read is quoted, in characters.
_QUOTED = 80

#: Writes answers to messages: to those asked at these places, these texts, of at most so many tokens.
Write = Callable[[Sequence[int], Sequence[str], int], Sequence[str | Failure]]


def read_options(
    reader: ChatModel,
    asked: Sequence[str],
    options: Sequence[Sequence[str]],
    prompts: Prompts,
    *,
    decided: bool = True,
) -> list[Reading | Failure]:
    """A reader's answers by its option reading, in the order of the questions.

    Args:
        reader: weighs options, and writes where that says nothing.
        asked: N texts that end where a letter is due (`… Answer:`).
        options: of each question, 1 to 26.
        prompts: wording of the request to write a letter.
        decided: one option is wanted: an answer that changes with the order of the options is a failure.
    """
    source = _Source(
        lambda _, texts, counts, least: reader.option_probabilities(texts, counts, least=least),
        lambda _, texts, words: reader.likelihoods(texts, words),
        lambda _, texts, tokens: reader.write(texts, max_new_tokens=tokens),
        prompts,
    )
    found = _read(source, reader.option_reading, asked, options)
    return [one.verdict if decided and isinstance(one, Reading) else one for one in found]


def read_steered(
    engine: Engine,
    name: OptionReadingName | None,
    steers: Sequence[tuple[Steer, ...]],
    asked: Sequence[str],
    options: Sequence[Sequence[str]],
    prompts: Prompts,
) -> list[Reading | Failure]:
    """The answers of a steered model itself; disputed ones as they are.

    Args:
        engine: of the model.
        name: of the option reading; the model's own by default.
        steers: of each question.
        asked: N texts, as in `read_options`, as the rest.
        options: of each question.
        prompts: wording.
    """

    def rows(numbers: Sequence[int], texts: Sequence[str]) -> list[Row]:
        return [Row(engine.raw_prompt(text), steers[number]) for number, text in zip(numbers, texts, strict=True)]

    def weigh(
        numbers: Sequence[int], texts: Sequence[str], counts: Sequence[int], least: float | None
    ) -> list[Distribution | Failure]:
        masses = engine.options(rows(numbers, texts), counts)
        return [weighed(one, engine.least_option_mass if least is None else least) for one in masses]

    def score(
        numbers: Sequence[int], texts: Sequence[str], words: Sequence[Sequence[str]]
    ) -> list[Likelihoods | Failure]:
        return list(engine.likelihoods(rows(numbers, texts), words))

    def write(numbers: Sequence[int], texts: Sequence[str], tokens: int) -> list[str | Failure]:
        asked = [Row(engine.chat_prompt(text), steers[at]) for at, text in zip(numbers, texts, strict=True)]
        return [said(one) for one in engine.generate(asked, Sampling(tokens))]

    return _read(_Source(weigh, score, write, prompts), name or engine.option_reading, asked, options)


def by_case(found: Sequence[Reading | Failure], counts: Sequence[int]) -> list[list[Reading] | Failure]:
    """Readings of all cases in a row, cut into the cases' own; or the first failure of each."""
    rest = iter(found)
    results: list[list[Reading] | Failure] = []
    for count in counts:
        mine = [next(rest) for _ in range(count)]
        failure = next((one for one in mine if isinstance(one, Failure)), None)
        results.append(failure or [one for one in mine if not isinstance(one, Failure)])
    return results


def _read(
    source: _Source, name: str, asked: Sequence[str], options: Sequence[Sequence[str]]
) -> list[Reading | Failure]:
    questions = [OptionQuestion(text, tuple(own)) for text, own in zip(asked, options, strict=True)]
    return option_reading(name).read(source, questions)


@dataclass(frozen=True)
class _Source:
    """A `Source` of calls that say which questions their texts belong to."""

    weigh: Callable[[Sequence[int], Sequence[str], Sequence[int], float | None], Sequence[Distribution | Failure]]
    score: Callable[[Sequence[int], Sequence[str], Sequence[Sequence[str]]], list[Likelihoods | Failure]]
    write: Write
    prompts: Prompts

    def letters(
        self, numbers: Sequence[int], questions: Sequence[OptionQuestion], least: float | None
    ) -> list[Reading | Failure]:
        """See `Source.letters`."""
        asked, options = [one.text for one in questions], [one.options for one in questions]
        found = self.weigh(numbers, asked, [len(texts) for texts in options], least)

        def write(places: Sequence[int], texts: Sequence[str], tokens: int) -> Sequence[str | Failure]:
            return self.write([numbers[place] for place in places], texts, tokens)

        return or_written(found, asked, options, self.prompts, write)

    def likelihoods(
        self, numbers: Sequence[int], texts: Sequence[str], continuations: Sequence[Sequence[str]]
    ) -> list[Likelihoods | Failure]:
        """See `Source.likelihoods`."""
        return self.score(numbers, texts, continuations)


def or_written(
    found: Sequence[Distribution | Failure],
    asked: Sequence[str],
    options: Sequence[Sequence[str]],
    prompts: Prompts,
    write: Write,
) -> list[Reading | Failure]:
    """Answers where options have been weighed; those that could not be are asked for in writing.

    Nothing is guessed: an answer that names no option, or several, is a failure that quotes it.

    Args:
        found: N distributions, or why there is none.
        asked: N texts that end where a letter is due.
        options: of each question.
        prompts: wording of the request to write a letter.
        write: see `Write`; called again with more tokens for answers that were cut off.
    """
    places = [place for place, one in enumerate(found) if isinstance(one, Unweighable)]
    questions = {place: filled(prompts.written_answer, question=asked[place]) for place in places}
    written: dict[int, str | Failure] = {}
    for tokens in (LETTER_TOKENS, THINKING_TOKENS):
        due = [place for place in places if isinstance(written.get(place, Unfinished("")), Unfinished)]
        if due:
            written.update(zip(due, write(due, [questions[place] for place in due], tokens), strict=True))
    readings: list[Reading | Failure] = []
    for place, one in enumerate(found):
        if place in questions:
            readings.append(_written(written[place], options[place], questions[place]))
        else:
            readings.append(one if isinstance(one, Failure) else Reading(one, asked[place]))
    return readings


def _written(answer: str | Failure, options: Sequence[str], question: str) -> Reading | Failure:
    """A written answer as a distribution that is certain."""
    if isinstance(answer, Failure):
        return answer
    position = read_letter(answer, len(options), options)
    if position is None:
        quoted = answer if len(answer) <= _QUOTED else f"{answer[:_QUOTED]}…"
        letters = f"the letters A to {LETTERS[len(options) - 1]}"
        return Failure(
            f"The model was asked for one of {letters}, and its answer cannot be read as one: {quoted!a}. "
            "Choose another model to read options, or reword the question."
        )
    return Reading(np.eye(len(options))[position], question, written=True)
