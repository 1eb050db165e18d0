"""Telling models apart: a bank is bound to the weights that it was fitted on."""

from __future__ import annotations

import hashlib
import json

import torch
from transformers import PreTrainedModel

_SAMPLE = 1024
# What does not change the activations, or changes with every loading.
_IGNORED_CONFIG = {"_name_or_path", "transformers_version", "dtype", "torch_dtype", "architectures", "use_cache"}


def model_fingerprint(model: PreTrainedModel) -> str:
    """SHA-256 (hex) over the configuration and a fixed sample of every parameter.

    Up to 1,024 evenly spaced elements of each parameter enter, rounded to bfloat16, so the
    fingerprint does not depend on the dtype or device the model is loaded with.
    """
    config = {k: v for k, v in model.config.to_dict().items() if k not in _IGNORED_CONFIG}
    digest = hashlib.sha256(json.dumps(config, sort_keys=True, default=str).encode())
    for name, parameter in sorted(model.named_parameters()):
        flat = parameter.detach().flatten()
        step = max(1, flat.numel() // _SAMPLE)
        sample = flat[::step].to("cpu", torch.bfloat16).view(torch.int16).numpy().tobytes()
        digest.update(f"{name}{tuple(parameter.shape)}".encode())
        digest.update(sample)
    return digest.hexdigest()
