"""Starting vLLM for a model that transformers has loaded, and a bank."""

from __future__ import annotations

import json
import os
import weakref
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from vispa.errors import InputError, ModelError
from vispa.files.visible import first_line
from vispa.generation.vllm.asked import ARGUMENT, recipe_text
from vispa.generation.vllm.settings import Settings
from vispa.models.loading import LoadedModel
from vispa.steering.bank import VectorBank
from vispa.steering.recipe import Recipe

#: Environment variable with further arguments of vLLM's engine, as JSON such as `{"tensor_parallel_size": 2}`.
ARGUMENTS_VARIABLE = "VISPA_VLLM"

# Room for keys and values on a processor, in bytes; elsewhere vLLM takes what is left.
_KEYS_AND_VALUES = 1 << 30
# How much room there is, and what is logged, change no text.
_OF_THE_MACHINE = ("gpu_memory_utilization", "kv_cache_memory_bytes", "disable_log_stats")


def started(loaded: LoadedModel, bank: VectorBank | None, recipe: Recipe | None) -> Any:
    """A `vllm.LLMEngine` that runs the model, steered by the bank; it has tested itself.

    Args:
        loaded: the model; its folder or hub id is what vLLM loads.
        bank: its directions; without one, nothing is steered.
        recipe: of steers that name none; the bank's by default.

    Raises:
        InputError: vLLM is not installed, or an argument of its engine cannot be.
        ModelError: vLLM cannot run the model, or not with the weights that were loaded; or steering does not reach it.
    """
    _check_weights(loaded)
    try:
        from vllm import EngineArgs, LLMEngine
        from vllm.platforms import current_platform
    except ImportError as error:
        problem = f"vllm needs a package that is missing ({error.name})."
        raise InputError("engine", problem, "Install it with `pip install 'vispa[vllm]'`.") from error
    from vispa.generation.vllm.plugin import register

    register()
    arguments = _arguments(loaded, processor=current_platform.is_cpu())
    folder = None if bank is None else TemporaryDirectory(prefix="vispa-", ignore_cleanup_errors=True)
    if bank is not None and folder is not None:
        file = Path(folder.name) / "bank.safetensors"
        bank.save(file)
        settings = Settings(str(file), recipe_text(recipe or bank.recipe), checked=True)
        arguments["additional_config"] = {ARGUMENT: vars(settings)}
    if current_platform.is_cpu():
        # In this process, so that what goes wrong is said here.
        os.environ.setdefault("VLLM_ENABLE_V1_MULTIPROCESSING", "0")
    try:
        engine = LLMEngine.from_engine_args(EngineArgs(**arguments))
        if bank is not None:
            # A process that has not loaded the plug-in does not know the name.
            engine.collective_rpc("vispa_readings", args=(["last"],))
    except Exception as error:
        advice = f"See vLLM's messages above; {ARGUMENTS_VARIABLE} takes arguments of its engine as JSON."
        raise ModelError("engine", f"vllm cannot serve {loaded.name}: {first_line(error)}.", advice) from error
    if folder is not None:
        # The front and the workers read the bank's file when they first need it.
        weakref.finalize(engine, folder.cleanup)
    return engine


def _check_weights(loaded: LoadedModel) -> None:
    """Refuse a model that was quantised as it was loaded: vLLM reads the weights of its files, which are others.

    Raises:
        ModelError: it was.
    """
    model = loaded.model
    if not (getattr(model, "is_quantized", False) or getattr(model.config, "quantization_config", None)):
        return
    if not _is_quantised_on_disk(loaded):
        problem = f"{loaded.name} is quantised as it is loaded, and vllm would run its files' weights as they are."
        raise ModelError("quantization", problem, "Leave it out, or use engine transformers.")


def _is_quantised_on_disk(loaded: LoadedModel) -> bool:
    """Whether its files hold quantised weights themselves, which vLLM then reads as they are."""
    try:
        found, _ = type(loaded.model.config).get_config_dict(loaded.model.name_or_path or "", local_files_only=True)
    except (OSError, ValueError):
        return False
    return bool(found.get("quantization_config"))


def _arguments(loaded: LoadedModel, *, processor: bool) -> dict[str, Any]:
    path = loaded.model.name_or_path
    if not path:
        raise ModelError("model", f"{loaded.name} has no folder that vllm could load.", "Load it from one.")
    own: dict[str, Any] = {
        "model": path, "skip_tokenizer_init": True, "dtype": str(loaded.model.dtype).removeprefix("torch."),
        "enforce_eager": True, "generation_config": "vllm", "disable_log_stats": True,
    }  # fmt: skip
    if processor and "VLLM_CPU_KVCACHE_SPACE" not in os.environ:
        own["kv_cache_memory_bytes"] = _KEYS_AND_VALUES
    return own | _given()


def arguments_that_count() -> dict[str, Any]:
    """What of the caller's own arguments may change a text: a run is not gone on from with others.

    Raises:
        InputError: they are no JSON object.
    """
    return {name: one for name, one in sorted(_given().items()) if name not in _OF_THE_MACHINE}


def _given() -> dict[str, Any]:
    given = os.environ.get(ARGUMENTS_VARIABLE, "")
    try:
        return {} | (json.loads(given) if given else {})
    except (ValueError, TypeError) as error:
        problem = f"is no JSON object ({first_line(error)})."
        raise InputError(ARGUMENTS_VARIABLE, problem, 'Give one such as {"max_model_len": 4096}.') from error
