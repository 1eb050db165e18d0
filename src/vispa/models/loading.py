"""Loading a causal language model: the embedded one, a folder, or a hub id."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from vispa.errors import ModelError
from vispa.models.blocks import decoder_blocks
from vispa.models.fingerprint import model_fingerprint

#: The name under which the model inside this package is asked for.
EMBEDDED = "embedded"
EMBEDDED_PATH = Path(__file__).parent / "embedded"


@dataclass(frozen=True)
class LoadedModel:
    """A causal LM with its tokenizer and decoder blocks.

    Attributes:
        name: what the caller asked for.
        model: in evaluation mode.
        tokenizer: with a padding token.
        blocks: the decoder blocks, block 0 first.
    """

    name: str
    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    blocks: nn.ModuleList

    @property
    def hidden_size(self) -> int:
        """Width of the residual stream."""
        return int(self.model.config.get_text_config().hidden_size)

    @property
    def is_embedded(self) -> bool:
        """Whether this is the model that ships with the package."""
        return self.name == EMBEDDED

    @cached_property
    def fingerprint(self) -> str:
        """See `model_fingerprint`."""
        return model_fingerprint(self.model)


def load_model(
    name: str = EMBEDDED,
    *,
    dtype: str | torch.dtype = "auto",
    device: str | None = None,
    trust_remote_code: bool = False,
    blocks: str | None = None,
) -> LoadedModel:
    """Load a model for steering.

    Weights are read from safetensors only. The embedded model runs in float32.

    Args:
        name: `embedded`, a folder, or a hub id.
        dtype: torch dtype or its name; `auto` takes the checkpoint's.
        device: as in torch; by default a GPU where there is one.
        trust_remote_code: run code that comes with the checkpoint; off unless asked for.
        blocks: dotted name of the decoder blocks' list, where structure cannot decide.

    Raises:
        ModelError: missing or damaged files, or a model that cannot be steered.
    """
    is_embedded = name == EMBEDDED
    path = str(EMBEDDED_PATH) if is_embedded else name
    _check_folder(name, path)
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    options: dict[str, Any] = {"trust_remote_code": trust_remote_code, "local_files_only": is_embedded}
    try:
        config = AutoConfig.from_pretrained(path, **options)
        if getattr(config, "is_encoder_decoder", False):
            raise ModelError(
                "model", f"{name} is an encoder-decoder model.", "Steering needs a decoder-only causal LM."
            )
        tokenizer = AutoTokenizer.from_pretrained(path, **options)
        model = AutoModelForCausalLM.from_pretrained(
            path,
            config=config,
            dtype=torch.float32 if is_embedded and dtype == "auto" else dtype,
            use_safetensors=True,
            **options,
        )
    except ModelError:
        raise
    except Exception as error:
        # transformers raises a dozen kinds of errors here; all mean that these files cannot serve.
        raise ModelError("model", f"{name} cannot be loaded: {_first_line(error)}.", _ADVICE) from error
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    _freeze(model).to(device)
    return LoadedModel(name, model, tokenizer, decoder_blocks(model, blocks))


def _freeze(model: nn.Module) -> nn.Module:
    return model.eval().requires_grad_(False)


_ADVICE = "Name a folder with config.json, tokenizer and *.safetensors, a hub id that can be reached, or `embedded`."


def _check_folder(name: str, path: str) -> None:
    folder = Path(path)
    looks_local = name.startswith((".", "/", "~")) or folder.exists() or name.count("/") > 1
    if looks_local and not folder.is_dir():
        raise ModelError("model", f"{name} is not a folder.", _ADVICE)
    if looks_local and not (folder / "config.json").is_file():
        raise ModelError("model", f"{name} holds no config.json.", _ADVICE)


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return (lines[0] if lines else type(error).__name__).rstrip(".")
