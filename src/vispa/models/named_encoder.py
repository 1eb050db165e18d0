"""Sentence encoders that are fetched by name: larger than the bundled one, and better at telling values."""

from __future__ import annotations

import torch

from vispa.models.encoder import MPNET, TransformerEncoder
from vispa.models.placement import usable_device
from vispa.models.processor import has_fast_bfloat16
from vispa.models.sources.named import named_model
from vispa.models.sources.progress import Progress

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


def mpnet_encoder(device: str | None = None) -> TransformerEncoder:
    """all-mpnet-base-v2, fetched if it is not there.

    Args:
        device: see `arithmetic`.

    Raises:
        ModelError: it cannot be fetched, its weights are others, or the device is not there.
    """
    place, dtype = arithmetic(device)
    return load_mpnet(device=str(place), dtype=dtype)


def load_mpnet(
    *, device: str = "cpu", dtype: torch.dtype = torch.float32, progress: Progress | None = None
) -> TransformerEncoder:
    """all-mpnet-base-v2 in a type of one's own; see `mpnet_encoder`.

    Args:
        device: that it runs on.
        dtype: of its weights.
        progress: told of fetching it.
    """
    model = named_model(MPNET)
    return TransformerEncoder(model.label, model.get(progress), MPNET_SHA256, device=device, dtype=dtype)
