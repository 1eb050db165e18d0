"""The text of tokens that come one by one, of which only the last ones are decoded anew."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from vispa.generation.thoughts import MARK_SIGNS

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

# Tokens before the new ones that are decoded with them: what a token reads as may depend on what stands before it.
_CONTEXT = 4


class GrowingText:
    """What plain tokens say, as long as they hold no special token and no sign with which a mark of a thought begins.

    Decoding all of a text at each token would cost the more, the longer it is.

    Args:
        tokenizer: of the model; one that decodes a token by its neighbours alone.
        special: its tokens that are no plain text.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, special: frozenset[int]) -> None:
        self._tokenizer, self._special = tokenizer, special
        self._count = 0
        self._text: str | None = ""

    @property
    def may_grow(self) -> bool:
        """Whether nothing but plain text was known so far."""
        return self._text is not None

    def known(self, ids: Sequence[int], text: str) -> None:
        """Take a text that was decoded as a whole, without special tokens and with white space around it, as known."""
        plain = not any(sign in text for sign in MARK_SIGNS) and self._special.isdisjoint(ids)
        self._count, self._text = len(ids), text if plain else None

    def after(self, ids: Sequence[int]) -> str | None:
        """The text of tokens that begin with those known; None where they must be decoded as a whole."""
        new = ids[self._count :]
        if not self._text or self._count < _CONTEXT or not self._special.isdisjoint(new):
            return None
        before = ids[self._count - _CONTEXT : self._count]
        old, both = self._decoded(before), self._decoded([*before, *new])
        # Where a character was not whole, or blanks were cleaned up, what is known has changed.
        if not both.startswith(old) or any(sign in both[len(old) :] for sign in MARK_SIGNS):
            return None
        self._count, self._text = len(ids), self._text + both[len(old) :]
        return self._text

    def _decoded(self, ids: Sequence[int]) -> str:
        return str(self._tokenizer.decode(list(ids), skip_special_tokens=True))
