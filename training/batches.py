"""Documents to tensors: token ids, loss weights and the 4-D attention mask of the chain."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from transformers import PreTrainedTokenizerFast

from training.corpus import Document, Grammar
from training.tokenizer import document_text

#: Share of the tokens before the answer that are predicted too. The model need not learn the
#: authored situations by heart, and the output head is a fifth of a step's cost.
OTHER_SHARE = 0.15

#: Marks, in the weights, the letter that answers a question.
LETTER = 5.0

IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Encoded:
    """One document as arrays of length T (the end-of-sequence token included)."""

    ids: IntArray
    links: IntArray  # 0 = start token, 1… = sentences before the prompt, then prompt, then answer
    shown: BoolArray  # which tokens the next link sees
    plain: bool  # every link sees all links before it
    weights: npt.NDArray[np.float32]  # loss weight of predicting this token, 0 for most before the answer
    voices: IntArray  # whose voice has been heard by this token, at the last token of each link; else -1
    kinds: IntArray  # the kind of act, at the last token of the prompt; else -1
    stances: IntArray  # the value's stance to it, at the same place; else -1


@dataclass(frozen=True)
class Batch:
    """B documents, right-padded to T tokens."""

    ids: torch.Tensor  # [B, T]
    allowed: torch.Tensor  # [B, 1, T, T] bool: may query i attend to key j
    weights: torch.Tensor  # [B, T]: loss weight of predicting token t
    voices: torch.Tensor  # [B, T]: class of the voice that token t should have heard of, or -1
    kinds: torch.Tensor  # [B, T]: kind of act that token t should have read, or -1
    stances: torch.Tensor  # [B, T]: stance that token t should have found, or -1
    tokens: int  # without padding


def encode(document: Document, tokenizer: PreTrainedTokenizerFast, rng: random.Random) -> Encoded:
    """Tokenize a document and mark its links and what they show."""
    starts: list[int] = []
    position = 0
    for sentence in document.before:
        starts.append(position)
        position += len(sentence) + 1
    # The newline before the prompt belongs to the prompt.
    starts.append(max(position - 1, 0))
    starts.append(position + len(document.prompt) + 1)
    encoding = tokenizer.backend_tokenizer.encode(document_text(document))
    offsets = np.array([start for start, _ in encoding.offsets], dtype=np.int64)
    offsets[0] = -1  # the start token
    answer = len(document.before) + 2
    links = np.append(np.searchsorted(np.array(starts), offsets, side="right"), answer)
    ids = np.array([*encoding.ids, tokenizer.eos_token_id], dtype=np.int64)

    final = links != np.append(links[1:], answer + 1)
    shown = {
        "final": final,
        "some": np.array([rng.random() for _ in ids]) < 1 / 3,
        "all": np.ones_like(final),
        "plain": np.ones_like(final),
    }[document.sight]
    if not document.is_direct:
        # The answer needs the words of the prompt, whatever the prompt sees.
        shown = shown | (links == answer - 1)
    others = np.array([rng.random() for _ in ids]) < OTHER_SHARE
    weights = ((links == answer) | others).astype(np.float32)
    if document.is_choice:
        # One letter among a hundred tokens would otherwise hardly count; see `batch_loss`.
        weights[np.flatnonzero(links == answer)[0]] = LETTER
    weights[0] = 0.0
    voices = np.full(len(ids), -1, dtype=np.int64)
    if document.voice is not None:
        voices[final & (links > 0) & (links < answer)] = document.voice
    kinds, stances = (np.full(len(ids), -1, dtype=np.int64) for _ in range(2))
    prompt_end = final & (links == answer - 1)
    if document.kind is not None:
        kinds[prompt_end] = document.kind
    if document.stance is not None:
        stances[prompt_end] = document.stance
    return Encoded(ids, links, shown, document.sight == "plain", weights, voices, kinds, stances)


def collate(documents: list[Encoded], padding_id: int) -> Batch:
    """Pad to the longest document and build the attention mask."""
    size, length = len(documents), max(len(d.ids) for d in documents)
    ids = np.full((size, length), padding_id, dtype=np.int64)
    links = np.full((size, length), -9, dtype=np.int64)
    shown = np.zeros((size, length), dtype=np.bool_)
    voices, kinds, stances = (np.full((size, length), -1, dtype=np.int64) for _ in range(3))
    weights = np.zeros((size, length), dtype=np.float32)
    for row, document in enumerate(documents):
        end = len(document.ids)
        ids[row, :end], links[row, :end], weights[row, :end] = document.ids, document.links, document.weights
        shown[row, :end], voices[row, :end] = document.shown, document.voices
        kinds[row, :end], stances[row, :end] = document.kinds, document.stances
    distance = links[:, :, None] - links[:, None, :]  # links from key to query, [B, T, T]
    plain = np.array([document.plain for document in documents])[:, None, None]
    start = (links == 0)[:, None, :]
    causal = np.tril(np.ones((length, length), dtype=np.bool_))
    allowed = causal & ((distance == 0) | start | plain | ((distance == 1) & shown[:, None, :]))
    return Batch(
        ids=torch.from_numpy(ids),
        allowed=torch.from_numpy(allowed)[:, None],
        weights=torch.from_numpy(weights),
        voices=torch.from_numpy(voices),
        kinds=torch.from_numpy(kinds),
        stances=torch.from_numpy(stances),
        tokens=int((links >= 0).sum()),
    )


def batches(
    grammar: Grammar, tokenizer: PreTrainedTokenizerFast, *, first: int, tokens_per_batch: int, pool: int = 2048
) -> Iterator[tuple[int, Batch]]:
    """Batches without end, from document `first` on, with the number of the next unread document.

    Documents are taken `pool` at a time and sorted by length, so that little is padding.
    """
    number = first
    while True:
        rng = random.Random(f"{grammar.seed}:pool:{number}")
        encoded = [encode(grammar.document(number + i), tokenizer, rng) for i in range(pool)]
        number += pool
        encoded.sort(key=lambda document: len(document.ids))
        groups: list[list[Encoded]] = [[]]
        for document in encoded:
            if groups[-1] and (len(groups[-1]) + 1) * len(document.ids) > tokens_per_batch:
                groups.append([])
            groups[-1].append(document)
        rng.shuffle(groups)
        for group in groups:
            yield number, collate(group, tokenizer.pad_token_id)
