"""Finding the decoder blocks of a causal language model, whatever its architecture."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from torch import nn
from transformers import PreTrainedModel

from vispa.errors import ModelError

# What configurations call the number of blocks and the width of the residual stream; the first
# name that is there counts. Most architectures answer to the first one, by their own or by an alias.
_COUNT_NAMES = ("num_hidden_layers", "n_layer", "n_layers", "num_layers")
_WIDTH_NAMES = ("hidden_size", "n_embd", "d_model", "dim")


def decoder_blocks(model: nn.Module, name: str | None = None) -> nn.ModuleList:
    """The list of decoder blocks, block 0 first.

    Blocks are found by structure: the outermost `ModuleList` with as many entries as the
    configuration has hidden layers. The entries need not be of one class: hybrid models mix
    attention and recurrent blocks. In a model of several parts (text beside images) the
    part that transformers names as its decoder is searched first.

    Args:
        model: a causal language model of transformers.
        name: dotted name of the list (`model.layers`), where structure cannot decide.

    Raises:
        ModelError: an encoder-decoder model, an unknown `name`, no such list, or several.
    """
    config = getattr(model, "config", None)
    check_decoder_only(config, type(model).__name__)
    lists = {path: module for path, module in model.named_modules() if isinstance(module, nn.ModuleList)}
    if name is not None:
        if name not in lists:
            raise ModelError(
                "blocks", f"{name!r} is not a list of modules of the model.", f"Its lists: {_outer(lists)}."
            )
        return lists[name]
    counts = _counts(config)
    decoder = _decoder_path(model)
    inside = {path: blocks for path, blocks in lists.items() if f"{path}.".startswith(decoder)}
    for searched in (inside, lists):
        for count in counts:
            found = _outermost(path for path, blocks in searched.items() if len(blocks) == count)
            if len(found) == 1:
                return lists[found[0]]
            if found:
                raise ModelError(
                    "model",
                    f"{type(model).__name__} has {len(found)} lists of {count} modules ({', '.join(found)}).",
                    "Name the list of decoder blocks by hand.",
                )
    raise ModelError(
        "model",
        f"{type(model).__name__} has no list of {' or '.join(map(str, counts)) or 'a known number of'} decoder blocks.",
        f"Name the list by hand; its lists: {_outer(lists)}.",
    )


def check_decoder_only(config: Any, name: str) -> None:
    """Refuse a model that reads with one stack of blocks and writes with another.

    Args:
        config: of the model.
        name: of the model, for the message.

    Raises:
        ModelError: it is an encoder-decoder model.
    """
    if getattr(config, "is_encoder_decoder", False):
        raise ModelError("model", f"{name} is an encoder-decoder model.", "Steering needs a decoder-only causal LM.")


def residual_width(model: nn.Module) -> int:
    """Width H of the residual stream.

    Read from the configuration of the text model; where that has no known name for it, from the
    input embeddings.

    Raises:
        ModelError: neither says.
    """
    config = _text_config(getattr(model, "config", None))
    for name in _WIDTH_NAMES:
        width = getattr(config, name, None)
        if isinstance(width, int):
            return width
    weight = getattr(model.get_input_embeddings(), "weight", None) if isinstance(model, PreTrainedModel) else None
    if weight is None:
        raise ModelError("model", f"{type(model).__name__} does not say how wide it is.", "Use another architecture.")
    return int(weight.shape[-1])


def _text_config(config: Any) -> Any:
    """The language model's part of a configuration."""
    return config.get_text_config() if hasattr(config, "get_text_config") else config


def _counts(config: Any) -> list[int]:
    """Numbers of blocks that the configuration names, without repetition."""
    found = (getattr(_text_config(config), name, None) for name in _COUNT_NAMES)
    return list(dict.fromkeys(count for count in found if isinstance(count, int)))


def _decoder_path(model: nn.Module) -> str:
    """Dotted path of the part that transformers names as the decoder, with a dot at its end."""
    decoder = model.get_decoder() if isinstance(model, PreTrainedModel) else model  # type: ignore[no-untyped-call]
    path = next((path for path, module in model.named_modules() if module is decoder), "")
    return f"{path}." if path else ""


def _outermost(paths: Iterable[str]) -> list[str]:
    """Those of the dotted paths that have the fewest parts."""
    ordered = sorted(paths, key=lambda path: path.count("."))
    return [path for path in ordered if path.count(".") == ordered[0].count(".")]


def _outer(lists: dict[str, nn.ModuleList]) -> str:
    """Names of the lists that are not inside another one, for a message."""
    outer = [path for path in lists if not any(path.startswith(f"{other}.") for other in lists)]
    return ", ".join(outer) or "none"
