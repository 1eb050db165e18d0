"""A response written by the aggregating model from all comments (Overton mode, section 3.3 of the paper)."""

from __future__ import annotations

from collections.abc import Sequence

from vispa.modes.case import Aggregated, Case
from vispa.modes.overton.support import TextEncoder, supported_claims
from vispa.modes.templates import filled
from vispa.readers.base import ChatModel, Failure

#: Longest response, in tokens (paper: 300).
MAX_NEW_TOKENS = 300


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

    def prompt(self, case: Case) -> str:
        """What the reader is asked for one case."""
        listed = "\n".join(f"{number}. {comment.text}" for number, comment in enumerate(case.comments, 1))
        return filled(self.template, text=case.text, count=len(case.comments), comments=listed)

    def aggregate(self, cases: Sequence[Case]) -> list[Aggregated | Failure]:
        """See `vispa.modes.case.Aggregator`."""
        prompts = [self.prompt(case) for case in cases]
        written = self.reader.write(prompts, max_new_tokens=self.max_new_tokens)
        done = [i for i, text in enumerate(written) if not isinstance(text, Failure)]
        responses = {i: str(written[i]).strip() for i in done}
        claims = supported_claims(list(responses.values()), [cases[i].comments for i in done], self.encoder)
        traced = dict(zip(done, claims, strict=True))
        return [
            text if isinstance(text, Failure) else Aggregated(responses[i], traced[i], {"overton": prompts[i]})
            for i, text in enumerate(written)
        ]
