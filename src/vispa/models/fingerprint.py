"""Telling models apart: a bank is bound to the weights that it was fitted on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel

from vispa.errors import ModelError

#: At most so many elements of each tensor enter.
SAMPLE = 1024
# What does not change the activations, or changes with every loading. Quantisation is seen in
# the weights; its entry in the configuration holds dtypes.
_IGNORED_CONFIG = {
    "_name_or_path",
    "transformers_version",
    "dtype",
    "torch_dtype",
    "architectures",
    "use_cache",
    "quantization_config",
}


def model_fingerprint(model: PreTrainedModel) -> str:
    """SHA-256 (hex) over the configuration and a fixed sample of every tensor of the weights.

    *Which tensors.* Parameters and persistent buffers by name, and with quantised weights their
    scales. Tensors are sampled on the device where they lie; weights that accelerate keeps in
    memory or on disk are brought in one module at a time.

    *Which elements.* A tensor of up to 1,024 elements enters whole. A larger one is cut into
    1,024 equal stretches and gives one element of each, at a place that moves from stretch to
    stretch, so that no row or column of a matrix is left out by the rhythm. Every run of
    elements two stretches long therefore holds a sampled one.

    *Which digits.* Floating-point elements enter as rounded to bfloat16 and then to float16:
    what is stored as bfloat16 or float16 gives the same digits whether it is loaded as float32,
    bfloat16 or float16, and what is stored as float32 does so loaded as float32 or bfloat16.
    (Roundings do not nest, so a float32 checkpoint loaded as float16 is another model here.)
    Integer and one-byte elements, as quantised weights have, enter as they are: a quantised
    model has a fingerprint of its own, for its activations are other ones. It is taken before the
    first pass, which may change how quantised weights lie in memory.

    Raises:
        ModelError: a weight was never loaded.
    """
    digest = hashlib.sha256(json.dumps(_relevant(model.config.to_dict()), sort_keys=True, default=str).encode())
    for name, description in sorted(_tensors(model)):
        digest.update(name.encode())
        digest.update(description)
    return digest.hexdigest()


def _relevant(config: Any) -> Any:
    """The configuration without what is ignored, at every depth: parts of a model have their own."""
    if isinstance(config, dict):
        return {str(name): _relevant(entry) for name, entry in config.items() if name not in _IGNORED_CONFIG}
    return [_relevant(entry) for entry in config] if isinstance(config, list | tuple) else config


def _tensors(model: nn.Module) -> Iterator[tuple[str, bytes]]:
    """Name and description (shape and sample) of every tensor of the weights."""
    for path, module in model.named_modules():
        with _present(module):
            for name, tensor in _own_tensors(module):
                if tensor.is_meta:
                    raise ModelError(
                        "model", f"its weight {path}.{name} is not loaded.", "Load the model with its weights."
                    )
                yield f"{path}.{name}", str(tuple(tensor.shape)).encode() + _sample(tensor)


def _own_tensors(module: nn.Module) -> Iterator[tuple[str, torch.Tensor]]:
    """A module's parameters with their scales and its persistent buffers, without its children's."""
    for name, parameter in module.named_parameters(recurse=False):
        yield name, parameter
        for scale, tensor in _scales(module, parameter):
            yield f"{name}.{scale}", tensor
    for name, buffer in module.named_buffers(recurse=False):
        if name not in module._non_persistent_buffers_set:
            yield name, buffer


def _scales(module: nn.Module, parameter: nn.Parameter) -> Iterator[tuple[str, torch.Tensor]]:
    """What bitsandbytes keeps beside its codes: without it, weights that are twice as large look the same.

    A state dict has them too, but on some processors making one changes the module.
    """
    state = getattr(parameter, "quant_state", None)
    holders = {
        "absmax": (state, "absmax"),
        "offset": (state, "offset"),
        "nested": (getattr(state, "state2", None), "absmax"),
        "scale": (parameter, "SCB"),
        # Where the first pass puts it.
        "moved": (getattr(module, "state", None), "SCB"),
    }
    for name, (holder, attribute) in holders.items():
        tensor = getattr(holder, attribute, None)
        if isinstance(tensor, torch.Tensor):
            yield name.replace("moved", "scale"), tensor


def _present(module: nn.Module) -> AbstractContextManager[Any]:
    """While it lasts, the module's own weights are in place, also where accelerate keeps them elsewhere."""
    if not hasattr(module, "_hf_hook"):
        return nullcontext()
    from accelerate.utils import align_module_device

    context: AbstractContextManager[Any] = align_module_device(module)
    return context


@torch.no_grad()
def _sample(tensor: torch.Tensor) -> bytes:
    flat = tensor.detach().reshape(-1)
    picked = flat[sample_places(flat.numel()).to(flat.device)] if flat.numel() > SAMPLE else flat
    if picked.is_floating_point() and picked.element_size() > 1:
        picked = picked.to(torch.bfloat16).to(torch.float16)
    return picked.cpu().contiguous().view(torch.uint8).numpy().tobytes()


def sample_places(count: int) -> torch.Tensor:
    """The places [1024] of the elements that a tensor of `count` > 1,024 elements is sampled at, ascending."""
    stretch = torch.arange(SAMPLE + 1) * count // SAMPLE
    width = stretch[1:] - stretch[:-1]
    # Multiples of the golden ratio's fraction spread evenly over every stretch.
    shift = (torch.arange(SAMPLE, dtype=torch.float64) * 0.6180339887498949) % 1.0
    return stretch[:-1] + (shift * width).long()
