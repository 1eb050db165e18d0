"""Sentence encoders that are fetched by name: larger than the bundled one, and better at telling values."""

from __future__ import annotations

import torch

from vispa.models.encoder import MPNET, TransformerEncoder
from vispa.models.placement import usable_device
from vispa.models.processor import has_fast_bfloat16
from vispa.models.sources.named import named_model

#: Of the weights of all-mpnet-base-v2.
MPNET_SHA256 = "78c0197b6159d92658e319bc1d72e4c73a9a03dd03815e70e555c5ef05615658"


def arithmetic(device: str | None) -> tuple[torch.device, torch.dtype]:
    """Where a larger encoder runs and in what: bfloat16 on processors that are good at it, else float32.

    Args:
        device: as in torch; by default a GPU where there is one.

    Raises:
        ModelError: the device is not there.
    """
    found = usable_device(device)
    return found, torch.bfloat16 if found.type == "cpu" and has_fast_bfloat16() else torch.float32


def mpnet_encoder(place: torch.device, dtype: torch.dtype) -> TransformerEncoder:
    """all-mpnet-base-v2, fetched if it is not there.

    Args:
        place: that it runs on.
        dtype: of its weights.

    Raises:
        ModelError: it cannot be fetched, or its weights are others.
    """
    model = named_model(MPNET)
    return TransformerEncoder(model.label, model.get(), MPNET_SHA256, device=str(place), dtype=dtype)
