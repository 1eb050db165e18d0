"""Low-rank adapters (LoRA, arXiv 2106.09685) of many values at once: in a batch every row has its own.

As in peft, which reads what is made here (`Adapters.state`), a linear layer W gives W x + (alpha / rank) B A x.
Held as stacks over values, the adapters of all values are trained, and asked, in the same forward pass.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import nn

from vispa.models.loading import LoadedModel

#: What alpha is as a multiple of the rank.
ALPHA = 2.0


@dataclass(frozen=True)
class Adapters:
    """Adapters of V values at every linear layer of the decoder blocks.

    Attributes:
        rank: of each.
        down: name of the layer → A, [V, rank, inputs] float32.
        up: name of the layer → B, [V, outputs, rank] float32.
    """

    rank: int
    down: dict[str, torch.Tensor]
    up: dict[str, torch.Tensor]

    @classmethod
    def new(cls, loaded: LoadedModel, values: int, rank: int, seed: int = 0) -> Adapters:
        """Adapters that change nothing yet, drawn as peft draws them: A uniform in ± 1/√inputs, B zero."""
        chance = torch.Generator().manual_seed(seed)
        down, up = {}, {}
        for name, layer in adapted_layers(loaded).items():
            drawn = torch.rand(values, rank, layer.in_features, generator=chance)
            down[name] = ((2 * drawn - 1) / layer.in_features**0.5).to(loaded.device)
            up[name] = torch.zeros(values, layer.out_features, rank, device=loaded.device)
        return cls(rank, down, up)

    @property
    def parameters(self) -> list[torch.Tensor]:
        """All numbers."""
        return [*self.down.values(), *self.up.values()]

    @property
    def bytes(self) -> int:
        """Of all values together, in single precision."""
        return 4 * sum(one.numel() for one in self.parameters)

    def copy(self) -> Adapters:
        """The same numbers, apart."""
        down, up = ({name: one.detach().clone() for name, one in side.items()} for side in (self.down, self.up))
        return Adapters(self.rank, down, up)

    def state(self, value: int) -> dict[str, torch.Tensor]:
        """The numbers of one value by the names that peft gives them."""
        sides = {"lora_A": self.down, "lora_B": self.up}
        return {
            f"base_model.model.{name}.{side}.weight": one[value].detach().clone()
            for side, stack in sides.items()
            for name, one in stack.items()
        }


def adapted_layers(loaded: LoadedModel) -> dict[str, nn.Linear]:
    """The linear layers of the decoder blocks by their names in the model: attention and feed-forward alike."""
    inside = {id(one) for one in loaded.blocks.modules() if isinstance(one, nn.Linear)}
    return {name: one for name, one in loaded.model.named_modules() if isinstance(one, nn.Linear) and id(one) in inside}


@contextmanager
def adapted(
    loaded: LoadedModel, adapters: Adapters, values: Sequence[int | None], strengths: Sequence[float]
) -> Iterator[None]:
    """Adapt row i of each forward pass to `values[i]`, by `strengths[i]` of what was trained, while the context lasts.

    Args:
        loaded: the model; left as it was.
        adapters: of V values.
        values: of the B rows; None leaves a row as it is.
        strengths: factors, of the B rows.
    """
    places = torch.tensor([value or 0 for value in values], device=loaded.device)
    factors = [ALPHA * (value is not None) * strength for value, strength in zip(values, strengths, strict=True)]
    scale = torch.tensor(factors, device=loaded.device)[:, None, None]

    def hook(down: torch.Tensor, up: torch.Tensor) -> Callable[..., torch.Tensor]:
        def added(_layer: nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> torch.Tensor:
            inner = torch.bmm(inputs[0].float(), down[places].transpose(1, 2)) * scale
            return output + torch.bmm(inner, up[places].transpose(1, 2)).to(output.dtype)

        return added

    layers = adapted_layers(loaded)
    handles = [
        layer.register_forward_hook(hook(adapters.down[name], adapters.up[name])) for name, layer in layers.items()
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
