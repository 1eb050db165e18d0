"""Whether a model's parts belong together: configuration, weights and tokenizer."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

from vispa.errors import ModelError
from vispa.models.blocks import check_decoder_only

# Tables that are computed and not trained; older checkpoints hold them.
_COMPUTED = re.compile(r"(rotary_emb\.inv_freq|masked_bias|attn\.bias|attention\.bias)$")
# Matrices are padded by a few percent at most; a smaller vocabulary is another model's.
_LEAST_KNOWN = 0.5
_ADVICE = "Give config.json, weights and tokenizer of one and the same model."


def check_config(name: str, config: PreTrainedConfig) -> None:
    """Refuse a model that does not read from left to right.

    Raises:
        ModelError: an encoder, or an encoder with a decoder.
    """
    from transformers.models.auto.modeling_auto import MODEL_FOR_MASKED_LM_MAPPING_NAMES

    check_decoder_only(config, name)
    if config.model_type in MODEL_FOR_MASKED_LM_MAPPING_NAMES and not getattr(config, "is_decoder", False):
        raise ModelError(
            "model", f"{name} is an encoder ({config.model_type}).", "Steering needs a decoder-only causal LM."
        )


def check_weights(
    name: str, model: PreTrainedModel, report: Mapping[str, Iterable[Any]], *, field: str = "model"
) -> None:
    """Refuse weights that are not those of the configuration.

    Heads tied to the embedding need no weights of their own. Weights of parts that the language
    model does not have at all (a tower for images) may lie beside it.

    Args:
        name: of the model.
        model: as transformers has made it.
        report: its loading info: missing, unexpected and mismatched keys.
        field: what the caller named the model in, for the message.

    Raises:
        ModelError: a weight is missing, left over, or of another shape.
    """
    mismatched = [f"{key} is {list(found)}, not {list(made)}" for key, found, made in report["mismatched_keys"]]
    kinds = {
        "missing": sorted(map(str, report["missing_keys"])),
        "of another shape": sorted(mismatched),
        "left over": sorted(key for key in map(str, report["unexpected_keys"]) if _is_ours(model, key)),
    }
    problems = "; ".join(f"{kind}: {_some(keys)}" for kind, keys in kinds.items() if keys)
    if problems:
        raise ModelError(field, f"the weights of {name} do not fit its config.json. {problems}.", _ADVICE)


def check_vocabulary(name: str, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> None:
    """Refuse a tokenizer that is another model's.

    Raises:
        ModelError: texts can have tokens that the weights do not know, it knows too few of theirs,
            or not the one that ends a text.
    """
    rows, numbers = known_tokens(model), set(tokenizer.get_vocab().values())
    if len(numbers) < rows * _LEAST_KNOWN:
        raise ModelError("model", f"the tokenizer of {name} has {len(numbers)} of the {rows} tokens.", _ADVICE)
    # No text has a special token in it: some tokenizers hold more of them than the weights.
    check_tokens(name, model, numbers - {n for n, token in tokenizer.added_tokens_decoder.items() if token.special})
    unknown = sorted(end for end in _ends(model.config) if end < rows and end not in numbers)
    if unknown:
        raise ModelError("model", f"the tokenizer of {name} has no token {unknown[0]}, which ends its texts.", _ADVICE)


def check_tokens(name: str, model: PreTrainedModel, tokens: Iterable[int]) -> None:
    """Refuse tokens that the weights do not know.

    Raises:
        ModelError: there is one.
    """
    rows, highest = known_tokens(model), max(tokens, default=-1)
    if highest >= rows:
        problem = f"the tokenizer of {name} has a token {highest}, its weights end with {rows - 1}."
        raise ModelError("model", problem, _ADVICE)


def known_tokens(model: PreTrainedModel) -> int:
    """Number of tokens that a model has weights for."""
    weight = model.get_input_embeddings().weight
    assert isinstance(weight, torch.Tensor)
    return weight.shape[0]


def _ends(config: PreTrainedConfig) -> list[int]:
    configured = getattr(config.get_text_config(), "eos_token_id", None)
    return [end for end in (configured if isinstance(configured, list) else [configured]) if isinstance(end, int)]


def _is_ours(model: PreTrainedModel, key: str) -> bool:
    """Whether a weight belongs to a part that the model has."""
    if _COMPUTED.search(key):
        return False
    parts = key.split(".")
    module: nn.Module = model
    depth = 0
    while depth < len(parts) - 1 and isinstance(getattr(module, parts[depth], None), nn.Module):
        module = getattr(module, parts[depth])
        depth += 1
    # What hangs directly on the model or its base is a part of its own.
    return depth > 0 and module is not model.base_model


def _some(keys: list[str]) -> str:
    return ", ".join(keys[:2]) + (f" and {len(keys) - 2} more" if len(keys) > 2 else "")
