"""A response written by the aggregating model from all comments (Overton mode, section 3.3 of the paper)."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Self

from vispa.files.visible import is_blank
from vispa.modes.case import NOTHING_SAID, Case
from vispa.modes.endings import ended
from vispa.modes.overton.support import TextEncoder, supported_claims
from vispa.modes.refusals import refuses
from vispa.modes.templates import filled
from vispa.readers.base import ChatModel, Failure, Limited
from vispa.records import OvertonResponse

#: Longest response, in tokens (paper: 300).
MAX_NEW_TOKENS = 300

_EMPTY = Failure("The aggregating model wrote nothing. Choose another one.")


class WrittenAggregator:
    """Asks a chat model for one response and traces each of its sentences back to the comments.

    Args:
        reader: writes.
        template: prompt with {text}, {count} and {comments}.
        encoder: of sentences, for the tracing.
        max_new_tokens: longest response.
    """

    def __init__(
        self,
        reader: ChatModel,
        template: str,
        encoder: TextEncoder,
        *,
        max_new_tokens: int = MAX_NEW_TOKENS,
    ) -> None:
        self.reader, self.template, self.encoder = reader, template, encoder
        self.max_new_tokens = max_new_tokens
        self.name = f"written:{reader.name}"

    def with_reader(self, reader: ChatModel) -> Self:
        """The same aggregator with another reader of the same model; it shares everything else."""
        other = copy.copy(self)
        other.reader = reader
        return other

    def prompt(self, case: Case) -> str:
        """What the reader is asked for one case; comments that say nothing, refuse or repeat others are left out."""
        comments = [case.comments[place] for place in case.distinct]
        listed = "\n".join(f"{number}. {comment.text}" for number, comment in enumerate(comments, 1))
        return filled(self.template, text=case.text, count=len(comments), comments=listed)

    def aggregate(self, cases: Sequence[Case]) -> list[OvertonResponse | Failure]:
        """See `vispa.modes.overton.aggregator.Aggregator`."""
        prompts = {i: self.prompt(case) for i, case in enumerate(cases) if case.spoken}
        found = self.reader.write(list(prompts.values()), max_new_tokens=self.max_new_tokens)
        written: dict[int, str | Failure] = {
            i: _EMPTY if isinstance(text, str) and is_blank(text) else text
            for i, text in zip(prompts, found, strict=True)
        }
        responses = {
            i: ended(text.strip(), isinstance(text, Limited))
            for i, text in written.items()
            if not isinstance(text, Failure)
        }
        claims = supported_claims(
            [text for text, _ in responses.values()], [cases[i].comments for i in responses], self.encoder
        )
        answers: dict[int, OvertonResponse | Failure] = {
            i: OvertonResponse(
                **cases[i].recorded,
                response=text,
                claims=traced,
                ending=ending,
                refused=refuses(text),
                prompts={"overton": prompts[i]},
            )
            for (i, (text, ending)), traced in zip(responses.items(), claims, strict=True)
        }
        answers |= {i: text for i, text in written.items() if isinstance(text, Failure)}
        return [answers.get(i, NOTHING_SAID) for i in range(len(cases))]
