"""A text in pieces while it is written, none of which is taken back."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

from vispa.generation.thoughts import answer_text, has_marks

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from vispa.models.encoding import Prompt
    from vispa.models.loading import LoadedModel

# What stands for the bytes of a character that is not whole yet.
_INCOMPLETE = "\ufffd"
_BYTE = re.compile(r"<0x[0-9A-Fa-f]{2}>")
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
        tokenizer = loaded.tokenizer
        self._bytes, self._cleans, thinks = _habits(tokenizer)
        self._may_think = thinks and not (has_marks(prompt.text[-200:]) and not answer_is_open(loaded, prompt))

    def grown(self, ids: Sequence[int]) -> str:
        """The next piece, may be empty, of a text that goes on after these tokens."""
        count = len(ids)
        # Bytes that are tokens are read together: one more may turn all of them into something else.
        while count and ids[count - 1] in self._bytes:
            count -= 1
        text = answer_text(self._loaded, self._prompt, ids[:count]) if count else None
        if text is None or (self._may_think and text == self._plain(ids[:count])):
            return ""
        return self._after(self._settled(text))

    def ended(self, text: str) -> str:
        """The last piece, may be empty.

        Args:
            text: the whole text.
        """
        return self._after(text)

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

    def _plain(self, ids: Sequence[int]) -> str:
        return str(self._loaded.tokenizer.decode(list(ids), skip_special_tokens=True)).strip()


def answer_is_open(loaded: LoadedModel, prompt: Prompt) -> bool:
    """Whether what follows a prompt is a thought that it has begun."""
    return answer_text(loaded, prompt, ()) is None


@lru_cache(maxsize=8)
def _habits(tokenizer: PreTrainedTokenizerBase) -> tuple[frozenset[int], bool, bool]:
    """Tokens that are single bytes; whether spaces are cleaned up; whether there are marks of thoughts."""
    names = tokenizer.get_vocab()
    single = frozenset(number for name, number in names.items() if len(name) == 6 and _BYTE.fullmatch(name))
    added = " ".join(str(token) for token in tokenizer.get_added_vocab())
    template = getattr(tokenizer, "chat_template", None) or ""
    cleans = bool(getattr(tokenizer, "clean_up_tokenization_spaces", False))
    return single, cleans, has_marks(added) or has_marks(str(template))
