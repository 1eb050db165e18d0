"""An encoder with low-rank changes that can be trained in its upper layers (LoRA, arXiv 2106.09685).

The layers below are frozen, so that what they make of a text is computed once and kept: an epoch then costs half.
A library for such adapters would run the whole model for every batch.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from vispa.models.encoder import TransformerEncoder

# The linear modules of a layer, by the kind of model: attention and feed-forward.
_FEED_FORWARD = ("intermediate.dense", "output.dense")
_MODULES = {
    "bert": (
        "attention.self.query",
        "attention.self.key",
        "attention.self.value",
        "attention.output.dense",
        *_FEED_FORWARD,
    ),
    "mpnet": ("attention.attn.q", "attention.attn.k", "attention.attn.v", "attention.attn.o", *_FEED_FORWARD),
}
_LONGEST = 128
_BATCH = 64


class LowRank(nn.Module):
    """A frozen linear module plus `up @ down`, which is nothing at first."""

    def __init__(self, linear: nn.Linear, rank: int, scale: float) -> None:
        """Take the place of `linear`.

        Args:
            linear: stays as it is.
            rank: of the change.
            scale: of the change, so that one learning rate serves both factors.
        """
        super().__init__()
        self.linear, self.scale = linear, scale
        self.down = nn.Parameter(torch.randn(rank, linear.in_features) / linear.in_features**0.5)
        self.up = nn.Parameter(torch.zeros(linear.out_features, rank))

    def forward(self, inputs: Tensor) -> Tensor:
        """The changed module's outputs."""
        change = nn.functional.linear(nn.functional.linear(inputs, self.down), self.up)
        changed: Tensor = self.linear(inputs) + self.scale * change
        return changed


class Tower:
    """Texts to unit vectors, in two steps: the frozen layers, and those that are trained.

    Attributes:
        name: of the encoder.
        sha256: of its weights.
        parameters: what is trained.
        device: where it is trained.
    """

    def __init__(
        self, encoder: TransformerEncoder, first: int, rank: int, scale: float, dropout: float, *,
        half: bool = False, device: str = "cpu",
    ) -> None:  # fmt: skip
        """Put low-rank changes into an encoder, which is changed in place.

        Args:
            encoder: of its own, not one that others use.
            first: the lowest layer that is trained.
            rank: of the changes.
            scale: see `LowRank`.
            dropout: of the layers while they train.
            half: multiply in bfloat16; what is trained stays in float32.
            device: where it is trained, as in torch.
        """
        self.device = torch.device(device)
        self._half = half
        self.name, self.sha256 = encoder.name, encoder.sha256
        self._tokenizer, self._model, self._first = encoder._tokenizer, encoder._model, first
        self._model.requires_grad_(False)
        self._layers = list(self._model.encoder.layer)
        self._changes: dict[str, LowRank] = {}
        for number in range(first, len(self._layers)):
            for name in _MODULES[self._model.config.model_type]:
                parent, _, leaf = name.rpartition(".")
                holder = self._layers[number].get_submodule(parent)
                change = LowRank(getattr(holder, leaf), rank, scale)
                setattr(holder, leaf, change)
                self._changes[f"encoder.layer.{number}.{name}"] = change
            for module in self._layers[number].modules():
                if isinstance(module, nn.Dropout):
                    module.p = dropout
        self._model.to(device)
        self.parameters = [p for change in self._changes.values() for p in (change.up, change.down)]

    def factors(self) -> dict[str, tuple[Tensor, Tensor]]:
        """Name of a module of the encoder → up and down, whose product is its change."""
        return {
            name: (change.scale * change.up.detach().cpu(), change.down.detach().cpu())
            for name, change in self._changes.items()
        }

    def train(self, on: bool) -> None:
        """With dropout or without."""
        self._model.train(on)

    @torch.no_grad()
    def lower(self, texts: Sequence[str], *, on: bool = False) -> list[Tensor]:
        """What the frozen layers make of each text, [tokens, H]; `on` while training goes on."""
        self.train(on)
        tokens = self._tokenizer(list(texts), truncation=True, max_length=_LONGEST)["input_ids"]
        out: list[Tensor] = [torch.empty(0)] * len(texts)
        for batch in batches([len(row) for row in tokens]):
            rows = [torch.tensor(tokens[i], device=self.device) for i in batch]
            ids = nn.utils.rnn.pad_sequence(rows, batch_first=True)
            states = self._run(self._model.embeddings(input_ids=ids), _mask(rows), 0, self._first)
            for row, i in enumerate(batch):
                out[i] = states[row, : len(rows[row])].clone()
        return out

    def upper(self, states: Sequence[Tensor]) -> Tensor:
        """Unit vectors [N, H] from what `lower` gave."""
        mask = _mask(states)
        padded = nn.utils.rnn.pad_sequence(list(states), batch_first=True)
        hidden = self._run(padded, mask, self._first, len(self._layers))
        pooled = (hidden * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
        return nn.functional.normalize(pooled, dim=-1)

    @torch.no_grad()
    def embeddings(self, states: Sequence[Tensor]) -> Tensor:
        """Like `upper`, for many texts, without dropout or gradients; on the processor."""
        self.train(False)
        out = torch.empty(len(states), self._model.config.hidden_size)
        for batch in batches([len(row) for row in states]):
            out[torch.from_numpy(batch)] = self.upper([states[i] for i in batch]).cpu()
        return out

    def _run(self, hidden: Tensor, mask: Tensor, first: int, end: int) -> Tensor:
        added = (1 - mask)[:, None, None, :] * torch.finfo(hidden.dtype).min
        options = {"attention_mask": added}
        if self._model.config.model_type == "mpnet":
            # What its model hands to all layers: how far tokens stand apart.
            options["position_bias"] = self._model.encoder.compute_position_bias(hidden)
        with torch.autocast(hidden.device.type, torch.bfloat16, enabled=self._half):
            for layer in self._layers[first:end]:
                out = layer(hidden, **options)
                hidden = out[0] if isinstance(out, tuple) else out
        return hidden.float()


def batches(lengths: Sequence[float] | np.ndarray, size: int = _BATCH) -> Iterator[np.ndarray]:
    """Places of texts of like length, shortest first."""
    order = np.argsort(lengths, kind="stable")
    yield from np.split(order, range(size, len(order), size))


def _mask(rows: Sequence[Tensor]) -> Tensor:
    lengths = torch.tensor([len(row) for row in rows])
    return (torch.arange(int(lengths.max()))[None] < lengths[:, None]).float().to(rows[0].device)
