"""Loading a causal language model: the embedded one, a named one, a GGUF file, a folder, or a hub id."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import AutoModelForCausalLM, PreTrainedModel, PreTrainedTokenizerBase

from vispa.errors import ModelError
from vispa.files.visible import is_blank
from vispa.models.blocks import decoder_blocks, residual_width
from vispa.models.checking import check_config, check_tokens, check_vocabulary, check_weights
from vispa.models.fingerprint import model_fingerprint
from vispa.models.placement import DeviceMap, Quantization, check_dtype, chosen_dtype, placement, use_threads
from vispa.models.pretrained import Checkpoint, expanded
from vispa.models.sources import model_folder
from vispa.models.sources.named import resembling
from vispa.models.sources.progress import Progress
from vispa.models.tokenization import Tokenization
from vispa.models.turns import Turns
from vispa.once import once_property
from vispa.request import DEFAULT_OPTION_READING, EMBEDDED, LEAST_OPTION_MASS, OptionReadingName

EMBEDDED_PATH = Path(__file__).parent / "embedded"

#: See `LEAST_OPTION_MASS`: the embedded model was trained on three options, and gives C its share where there are two.
EMBEDDED_LEAST_OPTION_MASS = 0.25
#: It was trained to answer with a letter, mostly in one order: read in one order alone, answers follow the order.
EMBEDDED_OPTION_READING: OptionReadingName = "cyclic"

_ADVICE = (
    "Name a model of `vispa models list`, a folder with config.json, tokenizer and *.safetensors, or a hub id that can "
    "be reached."
)


@dataclass(frozen=True)
class LoadedModel:
    """A causal LM with its tokenizer and decoder blocks.

    Attributes:
        name: what the caller asked for.
        model: in evaluation mode.
        tokenizer: with a padding token.
        blocks: the decoder blocks, block 0 first.
        least_option_mass: see `vispa.request.LEAST_OPTION_MASS`.
        option_reading: how the model is best asked which option it favours.
        turns: held by the thread whose forward passes run.
    """

    name: str
    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    blocks: nn.ModuleList
    least_option_mass: float = LEAST_OPTION_MASS
    option_reading: OptionReadingName = "letters"
    turns: Turns = field(default_factory=Turns, repr=False, compare=False)

    @contextmanager
    def passes(self) -> Iterator[None]:
        """The model to oneself for the forward passes of one batch, hooks included, without gradients.

        Other threads wait until the context ends, those that came first going first. The output
        head gets its input in one piece: a last hidden state that is sliced out of a prompt's
        would make the head's product copy its weights once a row.

        Example:
            >>> with loaded.passes():
            ...     logits = loaded.model(input_ids=ids, logits_to_keep=1).logits
        """
        with self.turns, torch.inference_mode():
            head = self.model.get_output_embeddings()  # type: ignore[no-untyped-call]
            handle = head.register_forward_pre_hook(_in_one_piece) if isinstance(head, nn.Module) else None
            try:
                yield
            finally:
                if handle is not None:
                    handle.remove()

    @property
    def hidden_size(self) -> int:
        """Width of the residual stream."""
        return residual_width(self.model)

    @property
    def device(self) -> torch.device:
        """Where inputs go: the device of the first weights that lie on one (parts may lie elsewhere)."""
        return next((p.device for p in self.model.parameters() if not p.is_meta), torch.device("cpu"))

    @property
    def is_embedded(self) -> bool:
        """Whether this is the model that ships with the package."""
        return self.name == EMBEDDED

    @once_property
    def fingerprint(self) -> str:
        """See `model_fingerprint`."""
        return model_fingerprint(self.model)

    @once_property
    def tokenization(self) -> Tokenization:
        """Text as token ids; see `vispa.models.encoding` for prompts."""
        return Tokenization(self.tokenizer)


def load_model(
    name: str = EMBEDDED,
    *,
    dtype: str | torch.dtype = "auto",
    device: str | None = None,
    device_map: DeviceMap | None = None,
    quantization: Quantization | None = None,
    threads: int | None = None,
    trust_remote_code: bool = False,
    blocks: str | None = None,
    progress: Progress | None = None,
) -> LoadedModel:
    """Load a model for steering.

    Weights are read from safetensors only. The embedded model runs in float32.

    Args:
        name: `embedded`, a named model (`smollm2`), a GGUF file, a folder, or a hub id.
        dtype: torch dtype or its name; `auto` takes the checkpoint's, or float32 on a processor that is
            slow at bfloat16.
        device: as in torch; by default a GPU where there is one.
        device_map: spread the model over devices with accelerate (`auto`), instead of `device`.
        quantization: keep the linear layers' weights in 4 bits (NF4) or 8 bits (LLM.int8) with
            bitsandbytes. Activations change with it, so a bank is fitted for the quantised model.
        threads: of the processor, for all that torch computes in this process; by default as many as torch takes.
        trust_remote_code: run code that comes with the checkpoint; off unless asked for.
        blocks: dotted name of the decoder blocks' list, where structure cannot decide.
        progress: told of fetching and converting, where the model needs it.

    Raises:
        ModelError: missing or damaged files, files that do not belong together, a chat template that
            cannot be used, a model that cannot be steered, a device that is not there, a type that weights
            cannot have, or a package that `device_map` or `quantization` needs and that is not installed.
    """
    if is_blank(name):
        raise ModelError("model", "is empty.", _ADVICE)
    check_dtype(dtype)
    if threads is not None:
        use_threads(threads)
    name = expanded(name)
    is_embedded = name == EMBEDDED
    path = str(EMBEDDED_PATH if is_embedded else model_folder(name, progress) or name)
    options = {"trust_remote_code": trust_remote_code, "local_files_only": is_embedded}
    checkpoint = Checkpoint(name, path, options, advice=resembling(name) + _ADVICE)
    target, placed = placement(device, device_map, quantization, dtype)
    placed["dtype"] = torch.float32 if is_embedded and dtype == "auto" else chosen_dtype(dtype, target)
    model, tokenizer, report = checkpoint.read(AutoModelForCausalLM, partial(check_config, name), **placed)
    check_weights(name, model, report)
    check_vocabulary(name, model, tokenizer)
    if target is not None:
        model.to(target)  # type: ignore[arg-type]
    least = EMBEDDED_LEAST_OPTION_MASS if is_embedded else LEAST_OPTION_MASS
    reading = EMBEDDED_OPTION_READING if is_embedded else DEFAULT_OPTION_READING
    loaded = LoadedModel(name, model, tokenizer, decoder_blocks(model, blocks), least, reading)
    if not is_embedded:
        _check_prompts(loaded)
    if quantization is not None:
        # Passes may rearrange quantised weights in memory: the fingerprint is taken (and kept) before.
        _ = loaded.fingerprint
    return loaded


def _in_one_piece(_head: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(part.contiguous() if isinstance(part, torch.Tensor) else part for part in inputs)


def _check_prompts(loaded: LoadedModel) -> None:
    """Refuse a chat template that cannot be used, and tokens before or around texts that the weights do not know."""
    tokenization = loaded.tokenization
    check_tokens(loaded.name, loaded.model, tokenization.start)
    if tokenization.scaffold is not None:
        tokenization.scaffold.check()
        check_tokens(loaded.name, loaded.model, tokenization.encode(tokenization.scaffold.written, ()))
