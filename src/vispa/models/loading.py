"""Loading a causal language model: the embedded one, a named one, a GGUF file, a folder, or a hub id."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal, get_args

import torch
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from vispa.errors import ModelError
from vispa.models.blocks import decoder_blocks, residual_width
from vispa.models.checking import check_config, check_tokens, check_vocabulary, check_weights, known_tokens
from vispa.models.fingerprint import model_fingerprint
from vispa.models.quiet import quietly
from vispa.models.sources import model_folder
from vispa.models.sources.progress import Progress
from vispa.models.tokenization import Tokenization
from vispa.models.turns import Turns
from vispa.request import LEAST_OPTION_MASS

#: The name under which the model inside this package is asked for.
EMBEDDED = "embedded"
EMBEDDED_PATH = Path(__file__).parent / "embedded"

#: See `LEAST_OPTION_MASS`: the embedded model was trained on three options, and gives C its share where there are two.
EMBEDDED_LEAST_OPTION_MASS = 0.25

#: How weights are stored in memory to save it, with bitsandbytes.
Quantization = Literal["4bit", "8bit"]
#: Where the parts of a model go: a rule of accelerate (`auto`, …), or part → device.
DeviceMap = str | dict[str, str | int | torch.device]


@dataclass(frozen=True)
class LoadedModel:
    """A causal LM with its tokenizer and decoder blocks.

    Attributes:
        name: what the caller asked for.
        model: in evaluation mode.
        tokenizer: with a padding token.
        blocks: the decoder blocks, block 0 first.
        least_option_mass: see `vispa.request.LEAST_OPTION_MASS`.
        turns: held by the thread whose forward passes run.
    """

    name: str
    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    blocks: nn.ModuleList
    least_option_mass: float = LEAST_OPTION_MASS
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

    @cached_property
    def fingerprint(self) -> str:
        """See `model_fingerprint`."""
        return model_fingerprint(self.model)

    @cached_property
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
    trust_remote_code: bool = False,
    blocks: str | None = None,
    progress: Progress | None = None,
) -> LoadedModel:
    """Load a model for steering.

    Weights are read from safetensors only. The embedded model runs in float32.

    Args:
        name: `embedded`, a named model (`smollm2`), a GGUF file, a folder, or a hub id.
        dtype: torch dtype or its name; `auto` takes the checkpoint's.
        device: as in torch; by default a GPU where there is one.
        device_map: spread the model over devices with accelerate (`auto`), instead of `device`.
        quantization: keep the linear layers' weights in 4 bits (NF4) or 8 bits (LLM.int8) with
            bitsandbytes. Activations change with it, so a bank is fitted for the quantised model.
        trust_remote_code: run code that comes with the checkpoint; off unless asked for.
        blocks: dotted name of the decoder blocks' list, where structure cannot decide.
        progress: told of fetching and converting, where the model needs it.

    Raises:
        ModelError: missing or damaged files, files that do not belong together, a chat template that
            cannot be used, a model that cannot be steered, a device that is not there, or a package that
            `device_map` or `quantization` needs and that is not installed.
    """
    is_embedded = name == EMBEDDED
    path = str(EMBEDDED_PATH if is_embedded else model_folder(name, progress) or name)
    _check_folder(name, path)
    if device is not None and device_map is not None:
        raise ModelError("device", "cannot go together with a device map.", "Give one of the two.")
    target = None if device_map is not None else _device(device)
    placement = _placement(target, device_map, quantization, dtype)
    options: dict[str, Any] = {"trust_remote_code": trust_remote_code, "local_files_only": is_embedded}
    dtype = torch.float32 if is_embedded and dtype == "auto" else dtype
    model, tokenizer = _read(name, path, dtype, placement, options)
    _set_padding(tokenizer, known_tokens(model))
    _freeze(model)
    if not placement and target is not None:
        model.to(target)  # type: ignore[arg-type]
    least = EMBEDDED_LEAST_OPTION_MASS if is_embedded else LEAST_OPTION_MASS
    loaded = LoadedModel(name, model, tokenizer, decoder_blocks(model, blocks), least)
    if not is_embedded:
        _check_prompts(loaded)
    if quantization is not None:
        # Passes may rearrange quantised weights in memory: the fingerprint is taken (and kept) before.
        _ = loaded.fingerprint
    return loaded


def _in_one_piece(_head: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(part.contiguous() if isinstance(part, torch.Tensor) else part for part in inputs)


def _read(
    name: str, path: str, dtype: str | torch.dtype, placement: dict[str, Any], options: dict[str, Any]
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Model and tokenizer of a folder or hub id, refused where they do not belong together."""
    try:
        with quietly():
            config = AutoConfig.from_pretrained(path, **options)
            check_config(name, config)
            tokenizer = AutoTokenizer.from_pretrained(path, **options)
            found: Any = AutoModelForCausalLM.from_pretrained(
                path,
                config=config,
                dtype=dtype,
                use_safetensors=True,
                # Reported, so that our own message can say what does not fit.
                ignore_mismatched_sizes=True,
                output_loading_info=True,
                **placement,
                **options,
            )
    except ModelError:
        raise
    except Exception as error:
        # transformers raises a dozen kinds of errors here; all mean that these files cannot serve.
        raise ModelError("model", f"{name} cannot be loaded: {_first_line(error)}.", _ADVICE) from error
    model, report = found
    check_weights(name, model, report)
    check_vocabulary(name, model, tokenizer)
    return model, tokenizer


def _set_padding(tokenizer: PreTrainedTokenizerBase, known: int) -> None:
    """Padding is masked, so any token serves where there is none, or one that the weights do not know."""
    if tokenizer.pad_token_id is None or tokenizer.pad_token_id >= known:
        tokenizer.pad_token = tokenizer.eos_token
    if tokenizer.pad_token_id is None or tokenizer.pad_token_id >= known:
        tokenizer.pad_token = tokenizer.convert_ids_to_tokens(0)


def _check_prompts(loaded: LoadedModel) -> None:
    """Refuse a chat template that cannot be used, and tokens before or around texts that the weights do not know."""
    tokenization = loaded.tokenization
    check_tokens(loaded.name, loaded.model, tokenization.start)
    if tokenization.scaffold is not None:
        tokenization.scaffold.check()
        check_tokens(loaded.name, loaded.model, tokenization.encode(tokenization.scaffold.written, ()))


def _freeze(model: nn.Module) -> nn.Module:
    return model.eval().requires_grad_(False)


_ADVICE = "Name a folder with config.json, tokenizer and *.safetensors, a hub id that can be reached, or `embedded`."


def _device(device: str | None) -> torch.device:
    """The device asked for, by default a GPU where there is one; refused if it is not there."""
    try:
        found = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        torch.empty(0, device=found)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise ModelError(
            "device",
            f"{device!r} cannot be used: {_first_line(error)}.",
            "Name one that is there, such as cpu or cuda:0.",
        ) from error
    return found


def _placement(
    target: torch.device | None,
    device_map: DeviceMap | None,
    quantization: Quantization | None,
    dtype: str | torch.dtype,
) -> dict[str, Any]:
    """Arguments for loading that say where and how weights are kept; none for a plain model on one device."""
    if quantization not in (None, *get_args(Quantization)):
        raise ModelError("quantization", f"is {quantization!r}.", "Choose 4bit or 8bit, or leave it out.")
    if quantization is None and device_map is None:
        return {}
    field = "device_map" if quantization is None else "quantization"
    for package in ("accelerate",) if quantization is None else ("bitsandbytes", "accelerate"):
        if find_spec(package) is None:
            raise ModelError(field, f"needs the package {package}.", f"Install it with `pip install {package}`.")
    # Quantised weights cannot be moved later: they are made where they stay.
    placement: dict[str, Any] = {"device_map": {"": target} if device_map is None else device_map}
    if quantization is not None:
        placement["quantization_config"] = _quantization_config(quantization, dtype)
    return placement


def _quantization_config(quantization: Quantization, dtype: str | torch.dtype) -> Any:
    from transformers import BitsAndBytesConfig

    options: dict[str, Any] = {"load_in_8bit": True}
    if quantization == "4bit":
        compute = torch.bfloat16 if dtype == "auto" else dtype
        options = {"load_in_4bit": True, "bnb_4bit_quant_type": "nf4", "bnb_4bit_compute_dtype": compute}
    return BitsAndBytesConfig(**options)  # type: ignore[no-untyped-call]


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
