"""A text in pieces while it is written, none of which is taken back."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from vispa.generation.growing import GrowingText
from vispa.generation.thoughts import answer_text, has_marks

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from vispa.models.encoding import Prompt
    from vispa.models.loading import LoadedModel

# What stands for the bytes of a character that is not whole yet.
_INCOMPLETE = "\ufffd"
_BYTE = re.compile(r"<0x[0-9A-Fa-f]{2}>")
# Characters of the longest name of a channel (`commentary`).
_CHANNEL = 10
# The beginning of a mark of a thought, or of what wraps an answer.
_OPEN_MARK = re.compile(r"[<\[◁][^>\]▷\n]{0,40}\Z")


class TextStream:
    """What a row has written, in pieces that together are its text (`Generated.text`).

    A piece never ends within a character. What may still change waits: white space at the end, which a text does not
    keep, and what may become the mark of a thought. A model whose vocabulary or template has such marks says nothing
    before it has ended a thought, unless its prompt did: only then is it known what is answer.

    A model that ends a thought which it never began, and whose tokenizer knows no such marks, has already been
    quoted: its text then does not continue the pieces, and nothing more comes.

    Args:
        loaded: the model.
        prompt: what is continued.
    """

    def __init__(self, loaded: LoadedModel, prompt: Prompt) -> None:
        self._loaded, self._prompt, self._sent = loaded, prompt, ""
        habits = _habits(loaded.tokenizer)
        self._bytes, self._cleans = habits.single, habits.cleans
        self._growing = GrowingText(loaded.tokenizer, habits.special)
        self._may_think = habits.thinks and not (has_marks(prompt.text[-200:]) and not answer_is_open(loaded, prompt))

    def grown(self, ids: Sequence[int]) -> str:
        """The next piece, may be empty, of a text that goes on after these tokens."""
        count = len(ids)
        # Bytes that are tokens are read together: one more may turn all of them into something else.
        while count and ids[count - 1] in self._bytes:
            count -= 1
        return self._after(self._settled(self._answer(ids[:count]))) if count else ""

    def ended(self, text: str) -> str:
        """The last piece, may be empty.

        Args:
            text: the whole text.
        """
        return self._after(text)

    def _answer(self, ids: Sequence[int]) -> str:
        """What is answer so far; nothing where that is not known yet."""
        # Where more plain text has been said than the name of a channel, what follows it is answer too.
        is_open = len(self._sent) > _CHANNEL and not (self._cleans or self._may_think)
        grown = self._growing.after(ids) if is_open else None
        if grown is not None:
            return grown.strip()
        text = answer_text(self._loaded, self._prompt, ids)
        if self._may_think:
            return "" if text is None or text == self._raw(ids).strip() else text
        if text and not self._cleans and self._growing.may_grow:
            self._growing.known(ids, self._raw(ids))
        return text or ""

    def _after(self, text: str) -> str:
        if len(text) <= len(self._sent) or not text.startswith(self._sent):
            return ""
        new, self._sent = text[len(self._sent) :], text
        return new

    def _settled(self, text: str) -> str:
        text = text.rstrip(_INCOMPLETE)
        if self._cleans:
            # The tokenizer takes spaces away before what comes next (`do n't`).
            text = text[: max(text.rfind(" "), 0)]
        mark = _OPEN_MARK.search(text)
        return text[: mark.start() if mark else None].rstrip()

    def _raw(self, ids: Sequence[int]) -> str:
        return str(self._loaded.tokenizer.decode(list(ids), skip_special_tokens=True))


def answer_is_open(loaded: LoadedModel, prompt: Prompt) -> bool:
    """Whether what follows a prompt is a thought that it has begun."""
    return answer_text(loaded, prompt, ()) is None


class _Habits(NamedTuple):
    """Of a tokenizer: single bytes and special tokens; whether it cleans blanks up, and has marks of thoughts."""

    single: frozenset[int]
    special: frozenset[int]
    cleans: bool
    thinks: bool


@lru_cache(maxsize=8)
def _habits(tokenizer: PreTrainedTokenizerBase) -> _Habits:
    names, added = tokenizer.get_vocab(), tokenizer.get_added_vocab()
    single = frozenset(number for name, number in names.items() if len(name) == 6 and _BYTE.fullmatch(name))
    special = frozenset([*tokenizer.all_special_ids, *added.values()])
    template = getattr(tokenizer, "chat_template", None) or ""
    cleans = bool(getattr(tokenizer, "clean_up_tokenization_spaces", False))
    return _Habits(single, special, cleans, has_marks(" ".join(map(str, added))) or has_marks(str(template)))
