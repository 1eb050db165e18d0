"""Finding the decoder blocks of a causal language model, whatever its architecture."""

from __future__ import annotations

from torch import nn

from vispa.errors import ModelError


def decoder_blocks(model: nn.Module, name: str | None = None) -> nn.ModuleList:
    """The list of decoder blocks, block 0 first.

    Blocks are found by structure: a `ModuleList` with as many entries as the configuration has
    hidden layers, all of one class; the outermost such list.

    Args:
        model: a causal language model of transformers.
        name: dotted name of the list (`model.layers`), where structure cannot decide.

    Raises:
        ModelError: an encoder-decoder model, an unknown `name`, or no such list.
    """
    config = getattr(model, "config", None)
    if getattr(config, "is_encoder_decoder", False):
        raise ModelError(
            "model", f"{type(model).__name__} is an encoder-decoder model.", "Steering needs a decoder-only causal LM."
        )
    lists = {path: module for path, module in model.named_modules() if isinstance(module, nn.ModuleList)}
    if name is not None:
        if name not in lists:
            known = ", ".join(lists) or "none"
            raise ModelError("blocks", f"{name!r} is not a list of modules of the model.", f"Its lists: {known}.")
        return lists[name]
    text_config = config.get_text_config() if config is not None else None
    count = getattr(text_config, "num_hidden_layers", None)
    found = [
        (path.count("."), path)
        for path, blocks in lists.items()
        if len(blocks) == count and len({type(block) for block in blocks}) == 1
    ]
    if not found:
        raise ModelError(
            "model",
            f"{type(model).__name__} has no list of {count} like decoder blocks.",
            f"Name the list by hand; its lists: {', '.join(lists) or 'none'}.",
        )
    return lists[min(found)[1]]
