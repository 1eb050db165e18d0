"""Which tokens control a model, and a tokenizer in which no text can spell them."""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from vispa.errors import ModelError

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerBase

# <|name|>, also with the wide bars of DeepSeek: the shape of a control token, whatever its flags say.
_BARS = re.compile(r"<[|\uff5c]\S{1,60}?[|\uff5c]>")
# Role markers that a template writes in plain characters: <|user|>, [INST], <<SYS>>.
_SHOUTED = re.compile(rf"{_BARS.pattern}|\[/?[A-Z][A-Z_]{{1,40}}\]|<</?[A-Z_]{{2,40}}>>")
_BRACKETED = re.compile(rf"{_SHOUTED.pattern}|</?[A-Za-z][\w-]{{0,40}}>")
# Planes of characters that Unicode gives to nobody: no normaliser or vocabulary knows them.
_PRIVATE = range(0xF0000, 0xFFFFE)


def control_tokens(tokenizer: PreTrainedTokenizerBase, template: str) -> tuple[str, ...]:
    """Tokens that mean something to the model beyond their characters.

    Special tokens, added tokens in bars (`<|name|>`), and added tokens in brackets that the chat
    template writes. Other added tokens (runs of spaces, Gemma's `<strong>`) are ordinary text.

    Args:
        tokenizer: of the model.
        template: source of its chat template, and what it writes around a message; may be empty.
    """
    found = [str(token) for token in tokenizer.all_special_tokens]
    for token in tokenizer.added_tokens_decoder.values():
        name = token.content
        in_template = name in template and name[:1] in "<[{" and name[-1:] in ">]}"
        if token.special or _BARS.fullmatch(name) or in_template:
            found.append(name)
    return tuple(dict.fromkeys(name for name in found if name.strip()))


def role_markers(source: str, written: str, controls: Iterable[str]) -> tuple[str, ...]:
    """What a template writes in plain characters to tell turns apart, such as Llama 2's `[INST]`.

    Only what stands in brackets: words such as `USER:` occur in ordinary texts too.

    Args:
        source: of the chat template.
        written: what it writes around a message.
        controls: tokens that are not plain characters.
    """
    found = [match.group() for match in (*_SHOUTED.finditer(source), *_BRACKETED.finditer(written))]
    return tuple(dict.fromkeys(marker for marker in found if marker not in set(controls)))


def any_of(names: Iterable[str]) -> re.Pattern[str]:
    """Matches any of the names, the longest first; nothing where there is none."""
    return re.compile("|".join(re.escape(name) for name in sorted(names, key=len, reverse=True)) or "(?!)")


def secret_name(length: int = 8) -> str:
    """Characters that nobody can guess (16 bits each) and that no text holds."""
    return "".join(chr(_PRIVATE.start + secrets.randbelow(len(_PRIVATE))) for _ in range(length))


def renamed(backend: Tokenizer, names: Mapping[str, str]) -> Tokenizer:
    """The same tokenizer, some of whose tokens go by other names and keep their ids.

    Pieces are cut exactly as before, spaces around added tokens included; the old names are plain
    characters. Nothing is put before or after a text.

    Args:
        backend: a fast tokenizer's.
        names: old → new name of a token.

    Raises:
        ModelError: the tokenizer cannot be taken apart.
    """
    from tokenizers import Tokenizer

    state: dict[str, Any] = json.loads(backend.to_str())
    state |= {"post_processor": None, "truncation": None, "padding": None}
    for token in state["added_tokens"]:
        token["content"] = names.get(token["content"], token["content"])
    _rename_in_model(state["model"], names)
    try:
        made: Tokenizer = Tokenizer.from_str(json.dumps(state))
    except Exception as error:  # The tokenizers library raises bare exceptions.
        raise _unusable(str(error)) from error
    moved = [old for old, new in names.items() if made.token_to_id(new) != backend.token_to_id(old)]
    if moved:
        raise _unusable(f"the token {moved[0]!r} moves")
    return made


def _rename_in_model(model: dict[str, Any], names: Mapping[str, str]) -> None:
    vocabulary = model.get("vocab", {})
    if isinstance(vocabulary, dict):
        model["vocab"] = {names.get(name, name): number for name, number in vocabulary.items()}
    else:
        model["vocab"] = [[names.get(name, name), *rest] for name, *rest in vocabulary]
    if model.get("unk_token") in names:
        model["unk_token"] = names[model["unk_token"]]
    if "merges" in model:
        pairs = [pair.split(" ") if isinstance(pair, str) else pair for pair in model["merges"]]
        # A merge that makes a control token out of characters would bring it back.
        model["merges"] = [pair for pair in pairs if not {*pair, "".join(pair)} & names.keys()]


def _unusable(reason: str) -> ModelError:
    return ModelError(
        "model",
        f"its tokenizer cannot tell control tokens from text ({reason}).",
        "Save it anew as a fast tokenizer (tokenizer.json).",
    )
