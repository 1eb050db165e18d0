"""From text to token ids: what a template writes may be control tokens, what anybody else writes is text."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Sequence
from threading import Lock
from typing import TYPE_CHECKING

from vispa.errors import ModelError
from vispa.models.control_tokens import any_of, control_tokens, renamed, role_markers, secret_name
from vispa.models.templates import Scaffold
from vispa.once import once_property

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerBase

#: Where a part of a text begins and ends.
Span = tuple[int, int]

_PROBES = ("a", "1", ".", " a")
# What tokenizers do differently: spaces, line ends, capitals, numbers, marks, accents, other scripts, signs of two
# parts, and words of every length.
_SAMPLE = (
    "A person's choice, 1,234.50 times  over!\n\tIt isn't (always) what \u201cthey\u201d said.",
    "na\u00efve caf\u00e9 e\u0301 \u00c4rger stra\u00dfe",
    "\u0437\u0430\u0447\u0435\u043c \u4f60\u597d \u0939\u093f \u0645\u0631 \U0001f642",
    "responsibility internationalisation unquestionably kindness",
)


class Tokenization:
    """A language model's tokenizer, with text kept apart from control tokens.

    In plain parts of a text the control tokens' names are encoded as the characters that they
    are. Role markers that the chat template itself writes in plain characters (Llama 2's `[INST]`,
    Zephyr's `<|user|>`) are encoded there character by character, so that they read the same and
    are other tokens than the template's. Everything else is encoded as the tokenizer does it.

    Args:
        tokenizer: of the model; may be used by several threads through this object.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        self._tokenizer = tokenizer
        self._lock = Lock()

    @once_property
    def digest(self) -> str:
        """SHA-256 (hex) of the token ids of a few texts, with what the tokenizer puts around them by itself.

        Activations hang on it as they do on the weights; the chat template is no part of it.
        """
        ids = [self._ids(text, add_special_tokens=True) for text in _SAMPLE]
        return hashlib.sha256(json.dumps(ids).encode()).hexdigest()

    @once_property
    def scaffold(self) -> Scaffold | None:
        """The chat template; None where the model has none."""
        return Scaffold(self._tokenizer) if getattr(self._tokenizer, "chat_template", None) else None

    @once_property
    def start(self) -> tuple[int, ...]:
        """What the tokenizer puts before a text by itself, as a rule the start token; never what it appends."""
        for probe in _PROBES:
            bare, whole = self._ids(probe), self._ids(probe, add_special_tokens=True)
            for place in range(len(whole) - len(bare) + 1) if bare else ():
                if whole[place : place + len(bare)] == bare:
                    return tuple(whole[:place])
        return ()

    def encode(self, text: str, plain: Sequence[Span]) -> list[int]:
        """Token ids of a text, nothing put before or after it.

        Args:
            text: of any length.
            plain: parts that are text whatever stands in them, in order; elsewhere the names of
                control tokens are those tokens.

        Raises:
            ModelError: the tokenizer cannot encode a control token's name as text.
        """
        controls = [match.span() for match in self._control_names.finditer(text)]
        spelled = any(_overlap(found, part) for found in controls for part in plain)
        marked = any(self._markers.search(text, *part) for part in plain)
        if not spelled and not marked:
            return self._ids(text)
        if not self._tokenizer.is_fast:
            return self._encode_in_pieces(text, plain)
        return self._encode_renamed(text, plain)

    def spans(self, text: str) -> list[Span] | None:
        """Where each token of a plain text stands in it; None where the tokenizer does not tell.

        It does not where it is slow, or where the text spells a control token.
        """
        if not self._tokenizer.is_fast:
            return None
        whole = self.encode(text, ((0, len(text)),))
        with self._lock:
            found = self._tokenizer(text, add_special_tokens=False, verbose=False, return_offsets_mapping=True)
        return [(start, end) for start, end in found["offset_mapping"]] if found["input_ids"] == whole else None

    @once_property
    def controls(self) -> tuple[str, ...]:
        """See `control_tokens`."""
        return control_tokens(self._tokenizer, self._template)

    @once_property
    def _template(self) -> str:
        return "" if self.scaffold is None else self.scaffold.source + self.scaffold.written

    @once_property
    def _control_names(self) -> re.Pattern[str]:
        return any_of(self.controls)

    @once_property
    def _markers(self) -> re.Pattern[str]:
        if self.scaffold is None:
            return any_of(())
        written = self._control_names.sub(" ", self.scaffold.written)
        return any_of(role_markers(self.scaffold.source, written, self.controls))

    @once_property
    def _renamed(self) -> tuple[dict[str, str], Tokenizer]:
        """Secret names of the control tokens, and the tokenizer in which they go by them."""
        names = {name: secret_name() for name in self.controls}
        return names, renamed(self._tokenizer.backend_tokenizer, names)

    def _ids(self, text: str, **options: bool) -> list[int]:
        # Calls change settings of the tokenizer itself, so they come one at a time.
        with self._lock:
            found: list[int] = self._tokenizer(text, **{"add_special_tokens": False, "verbose": False, **options})[
                "input_ids"
            ]
        return found

    def _encode_renamed(self, text: str, plain: Sequence[Span]) -> list[int]:
        """All in one go, the template's control tokens under their secret names."""
        names, tokenizer = self._renamed
        pieces: list[str] = []
        markers: list[Span] = []
        length = 0
        for piece, is_plain in _parts(text, plain):
            if is_plain:
                markers += [(length + match.start(), length + match.end()) for match in self._markers.finditer(piece)]
            else:
                piece = self._control_names.sub(lambda match: names[match.group()], piece)
            pieces.append(piece)
            length += len(piece)
        with self._lock:
            encoded = tokenizer.encode("".join(pieces), add_special_tokens=False)
        ids: list[int] = []
        for token, number, offsets in zip(encoded.tokens, encoded.ids, encoded.offsets, strict=True):
            broken = any(_overlap(offsets, marker) for marker in markers)
            ids += _characters(tokenizer, token, number) if broken else [number]
        return ids

    def _encode_in_pieces(self, text: str, plain: Sequence[Span]) -> list[int]:
        """For a tokenizer that cannot be renamed: what stands between the template's control tokens, one by one."""
        ids: list[int] = []
        numbers = self._tokenizer.get_vocab()
        for piece, is_plain in _parts(text, plain):
            cuts = [] if is_plain else list(self._control_names.finditer(piece))
            begin = 0
            for cut in cuts:
                ids += [*self._as_text(piece[begin : cut.start()]), numbers[cut.group()]]
                begin = cut.end()
            ids += self._as_text(piece[begin:])
        return ids

    def _as_text(self, text: str) -> list[int]:
        ids = self._ids(text, split_special_tokens=True) if text else []
        numbers = self._tokenizer.get_vocab()
        # The token of unknown characters stands for text.
        control = {numbers[name] for name in self.controls if name in numbers} - {self._tokenizer.unk_token_id}
        if control & set(ids):
            raise ModelError(
                "model",
                "its tokenizer reads a control token's name in a text as that token.",
                "Take the names of control tokens out of the text, or save a fast tokenizer (tokenizer.json).",
            )
        return ids


def _characters(tokenizer: Tokenizer, token: str, number: int) -> list[int]:
    """A token's characters as tokens of their own, where the vocabulary has them all."""
    found = [tokenizer.token_to_id(character) for character in token]
    return [number] if None in found else [int(character) for character in found if character is not None]


def _parts(text: str, plain: Sequence[Span]) -> Iterator[tuple[str, bool]]:
    """The text cut into plain parts and those between, in order."""
    end = 0
    for start, stop in plain:
        yield text[end:start], False
        yield text[start:stop], True
        end = stop
    yield text[end:], False


def _overlap(first: Span, second: Span) -> bool:
    return first[0] < second[1] and second[0] < first[1]
