"""Where a model's weights lie and how they are kept there: a device, a map of devices, quantization."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any, Literal, get_args

import torch

from vispa.errors import ModelError
from vispa.files.visible import first_line
from vispa.models.processor import has_fast_bfloat16
from vispa.models.threads import check_threads

#: How weights are stored in memory to save it, with bitsandbytes.
Quantization = Literal["4bit", "8bit"]
#: Where the parts of a model go: a rule of accelerate (`auto`, …), or part → device.
DeviceMap = str | dict[str, str | int | torch.device]


def check_dtype(dtype: str | torch.dtype) -> None:
    """Refuse a type that weights cannot have.

    Raises:
        ModelError: it is none of torch's types of floating point, nor `auto`.
    """
    found = getattr(torch, dtype, None) if isinstance(dtype, str) else dtype
    if dtype != "auto" and not (isinstance(found, torch.dtype) and found.is_floating_point):
        raise ModelError("dtype", f"is {str(dtype)!r}.", "Choose auto, float32, bfloat16 or float16.")


def chosen_dtype(dtype: str | torch.dtype, device: torch.device | None) -> str | torch.dtype:
    """What weights are read in: float32 for `auto` on a processor that is slow at bfloat16, else what was asked for.

    Args:
        dtype: torch dtype, its name, or `auto`.
        device: that the model is for; None where it lies on several.
    """
    if dtype != "auto" or device is None or device.type != "cpu" or has_fast_bfloat16():
        return dtype
    return torch.float32


def use_threads(count: int) -> None:
    """Let torch compute on that many threads of the processor, in this process.

    Raises:
        ModelError: it is no number from 1, or more than the processor runs at once.
    """
    check_threads(count)
    torch.set_num_threads(count)


def usable_device(device: str | None) -> torch.device:
    """The device asked for, by default a GPU where there is one.

    Raises:
        ModelError: it is not there, it holds no numbers, or torch knows none of that name.
    """
    try:
        found = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        torch.empty(0, device=found)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise ModelError(
            "device",
            f"{device!r} cannot be used: {first_line(error)}.",
            "Name one that is there, such as cpu or cuda:0.",
        ) from error
    if found.type == "meta":
        raise ModelError("device", f"{device!r} holds shapes alone.", "Name one that computes, such as cpu or cuda:0.")
    return found


def placement(
    device: str | None, device_map: DeviceMap | None, quantization: Quantization | None, dtype: str | torch.dtype
) -> tuple[torch.device | None, dict[str, Any]]:
    """Where a model goes once it is loaded, and what its loading is told of where and how weights are kept.

    Args:
        device: as in torch; by default a GPU where there is one.
        device_map: the map for accelerate, instead of `device`.
        quantization: of the linear layers' weights.
        dtype: of the computation; what `load_model` takes.

    Returns:
        The device to move the model to, or None where loading has placed it already; and arguments
        for `from_pretrained`, none for a plain model on one device.

    Raises:
        ModelError: device and map at once, a device that is not there, an unknown quantization, or
            a package that is not installed.
    """
    if device is not None and device_map is not None:
        raise ModelError("device", "cannot go together with a device map.", "Give one of the two.")
    if quantization not in (None, *get_args(Quantization)):
        raise ModelError("quantization", f"is {quantization!r}.", "Choose 4bit or 8bit, or leave it out.")
    target = usable_device(device) if device_map is None else None
    if quantization is None and device_map is None:
        return target, {}
    if quantization is None:
        _check_installed("device_map", "accelerate")
        return None, {"device_map": device_map}
    _check_installed("quantization", "bitsandbytes", "accelerate")
    # Quantised weights cannot be moved later: they are made where they stay.
    return None, {
        "device_map": {"": target} if device_map is None else device_map,
        "quantization_config": _quantization_config(quantization, dtype),
    }


def _check_installed(field: str, *packages: str) -> None:
    for package in packages:
        if find_spec(package) is None:
            raise ModelError(field, f"needs the package {package}.", f"Install it with `pip install {package}`.")


def _quantization_config(quantization: Quantization, dtype: str | torch.dtype) -> Any:
    from transformers import BitsAndBytesConfig

    options: dict[str, Any] = {"load_in_8bit": True}
    if quantization == "4bit":
        compute = torch.bfloat16 if dtype == "auto" else dtype
        options = {"load_in_4bit": True, "bnb_4bit_quant_type": "nf4", "bnb_4bit_compute_dtype": compute}
    return BitsAndBytesConfig(**options)  # type: ignore[no-untyped-call]
