"""Prompts with much in common, read as tries: whatever several begin with passes the model once.

The orders of a question's options, and the words that may answer it, share most of their tokens. Here the tokens of
all of them stand in one row, each where a trie has it, and attend to their own beginnings only.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import torch

from vispa.generation.continuations import continuation_ids
from vispa.generation.letters import letter_tokens
from vispa.generation.transformers import TransformersEngine

_Ids = tuple[int, ...]
# Tokens of a pass; more of them make attention dear, which looks at all pairs.
_TOKENS = 768


class Read(NamedTuple):
    """What the model makes of a prompt.

    Attributes:
        letters: probability that the next token writes each of the 26 letters.
        means: mean log-probability per token of each text that was to follow.
    """

    letters: list[float]
    means: dict[str, float]


class Tries:
    """Reads prompts of an unsteered model; one whose forward pass takes a mask of all pairs, such as Llama's.

    Args:
        engine: of the model.
        tokens: of a pass; a prompt with more than that is a pass of its own.
    """

    def __init__(self, engine: TransformersEngine, tokens: int = _TOKENS) -> None:
        self._engine, self._loaded, self._tokens = engine, engine.loaded, tokens
        self._letters = letter_tokens(self._loaded.tokenizer.get_vocab())

    def read(self, asked: Mapping[str, Sequence[str]]) -> Iterator[tuple[str, Read]]:
        """Each prompt with what is made of it, pass by pass.

        Args:
            asked: prompts, and the texts that may follow each.
        """
        rows: dict[str, tuple[_Ids, dict[str, _Ids]]] = {}
        for text, words in asked.items():
            prompt = self._engine.raw_prompt(text)
            rows[text] = prompt.ids, {word: continuation_ids(self._loaded, prompt, word) for word in words}
        batch: list[str] = []
        nodes: set[_Ids] = set()
        # Side by side where they begin alike.
        for text in sorted(rows, key=lambda text: rows[text][0]):
            own = _nodes(*rows[text])
            if batch and len(nodes | own) > self._tokens:
                yield from self._pass({one: rows[one] for one in batch}, nodes)
                batch, nodes = [], set()
            batch.append(text)
            nodes = nodes | own
        if batch:
            yield from self._pass({one: rows[one] for one in batch}, nodes)

    def _pass(self, rows: Mapping[str, tuple[_Ids, dict[str, _Ids]]], nodes: set[_Ids]) -> Iterator[tuple[str, Read]]:
        # In this order a beginning stands before what it begins.
        places = {node: place for place, node in enumerate(sorted(nodes))}
        seen = torch.eye(len(places), dtype=torch.bool)
        for node, place in places.items():
            if len(node) > 1:
                seen[place] |= seen[places[node[:-1]]]
        model, device = self._loaded.model, self._loaded.device
        hidden = torch.zeros(seen.shape, dtype=model.dtype).masked_fill(~seen, torch.finfo(model.dtype).min)
        read = {node: at for at, node in enumerate(dict.fromkeys(one for row in rows.values() for one in _read(*row)))}
        with self._loaded.passes():
            logits = model(
                input_ids=torch.tensor([[node[-1] for node in places]], device=device),
                attention_mask=hidden[None, None].to(device),
                position_ids=torch.tensor([[len(node) - 1 for node in places]], device=device),
                logits_to_keep=torch.tensor([places[node] for node in read], device=device),
                use_cache=False,
            ).logits[0]
            logs = logits.double().log_softmax(-1).cpu()
        for text, (prompt, words) in rows.items():
            last = logs[read[prompt]].exp()
            means = {
                word: float(sum(logs[read[prompt + ids[:at]], token] for at, token in enumerate(ids))) / len(ids)
                for word, ids in words.items()
            }
            yield text, Read([float(last[tokens].sum()) for tokens in self._letters], means)


def _nodes(prompt: _Ids, words: Mapping[str, _Ids]) -> set[_Ids]:
    """All beginnings of the prompt and of what follows it, less the last tokens, after which nothing is asked."""
    rows = [prompt, *(prompt + ids[:-1] for ids in words.values())]
    return {row[:end] for row in rows for end in range(1, len(row) + 1)}


def _read(prompt: _Ids, words: Mapping[str, _Ids]) -> Iterator[_Ids]:
    """Beginnings whose next token is looked at."""
    yield prompt
    for ids in words.values():
        yield from (prompt + ids[:at] for at in range(len(ids)))
