"""The encoders that learned to read values: what ships with the package, and how it becomes an encoder with heads."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from vispa.errors import VispaError
from vispa.files.writing import replacing
from vispa.models.encoder import BUNDLED, BUNDLED_SHA256, Encoder, TransformerEncoder, bundled_encoder
from vispa.once import once
from vispa.selection.head import LinearHead
from vispa.selection.unlabelled import arrays, numbers, stored

if TYPE_CHECKING:
    from collections.abc import Mapping

    import torch

#: What the name of an adapted encoder ends with.
SUFFIX = "+values"
#: Name of the bundled encoder after its adaptation.
ADAPTED = f"{BUNDLED}{SUFFIX}"
#: Name of the larger encoder after its own.
ADAPTED_MPNET = f"all-mpnet-base-v2{SUFFIX}"
ADAPTER_FILE = Path(__file__).parent / "adapter.safetensors"
#: Names of adapted encoders → what ships of them.
ADAPTER_FILES = {ADAPTED: ADAPTER_FILE, ADAPTED_MPNET: ADAPTER_FILE.with_name("adapter_mpnet.safetensors")}

_FORMAT = "vispa-adapter-2"


@dataclass(frozen=True)
class Adapted:
    """An adapted encoder with its heads for the built-in values.

    Attributes:
        encoder: of texts and of values' definitions.
        relevance: probability that a value is at stake.
        stance: probability that a value at stake is promoted rather than violated.
    """

    encoder: Encoder
    relevance: LinearHead
    stance: LinearHead


@dataclass(frozen=True)
class Adaptation:
    """What ships of an adapted encoder.

    Attributes:
        encoder_sha256: of the weights of the encoder that changes.
        factors: name of a linear module → up [out, rank] and down [rank, in], whose product is added to its weight.
        relevance: see `Adapted`, as `stance`.
        stance: see there.
    """

    encoder_sha256: str
    factors: Mapping[str, tuple[torch.Tensor, torch.Tensor]]
    relevance: LinearHead
    stance: LinearHead


def load_adapted(path: Path = ADAPTER_FILE, device: str | None = None) -> Adapted:
    """What the package ships in a file, one for each device in a process.

    Weights that the adaptation of the bundled encoder leaves alone are the bundled encoder's.

    Args:
        path: of the file.
        device: that a larger encoder runs on, by default a GPU where there is one; the bundled one stays on the
            processor.

    Raises:
        ModelError: the encoder is not installed, or cannot be fetched.
        VispaError: the file is damaged, or made for other weights.
    """
    return _adapted(path, device)


# Without defaults: whether the default is meant or named, it is the same one.
@once
def _adapted(path: Path, device: str | None) -> Adapted:
    found = adaptation(path)
    encoder = _encoder(found.encoder_sha256, device)
    if encoder is None:
        raise VispaError(f"{path} was made for another encoder; install the package anew.")
    changes = {module: up @ down for module, (up, down) in found.factors.items()}
    return Adapted(encoder.adapted(encoder.name + SUFFIX, changes), found.relevance, found.stance)


@once
def adaptation(path: Path) -> Adaptation:
    """What a file holds, without its encoder.

    Raises:
        VispaError: the file is damaged.
    """
    from safetensors import SafetensorError, safe_open
    from safetensors.torch import load_file

    try:
        with safe_open(path, "pt") as file:
            about = file.metadata()
        tensors = {name: tensor.float() for name, tensor in load_file(path).items()}
        values = tuple(json.loads(about["values"]))
        base = about["encoder_sha256"] if about["format"] == _FORMAT else ""
        relevance, stance = (
            LinearHead(values, tensors[f"{head}.weight"].numpy(), tensors[f"{head}.bias"].numpy())
            for head in ("relevance", "stance")
        )
        known = stored({name: tensor.numpy() for name, tensor in tensors.items()}, json.loads(about["unlabelled"]))
        ends = (".down", ".up")
        modules = {name.rsplit(".", 1)[0] for name in tensors if name.endswith(ends)}
        factors = {module: (tensors[f"{module}.up"], tensors[f"{module}.down"]) for module in sorted(modules)}
    except (OSError, SafetensorError, KeyError, ValueError, TypeError) as error:
        raise VispaError(f"{path} is damaged ({error}); install the package anew.") from error
    return Adaptation(base, factors, replace(relevance, unlabelled=known), stance)


def _encoder(sha256: str, device: str | None) -> TransformerEncoder | None:
    """The encoder with these weights; None where it is none that is known."""
    if sha256 == BUNDLED_SHA256:
        return bundled_encoder()
    from vispa.models.named_encoder import MPNET_SHA256, arithmetic, mpnet_encoder

    return mpnet_encoder(*arithmetic(device)) if sha256 == MPNET_SHA256 else None


def save_adapted(
    path: Path,
    factors: Mapping[str, tuple[torch.Tensor, torch.Tensor]],
    relevance: LinearHead,
    stance: LinearHead,
    about: Mapping[str, str],
    encoder_sha256: str = BUNDLED_SHA256,
) -> None:
    """Write what `load_adapted` reads.

    Args:
        path: of the safetensors file.
        factors: name of a linear module of the encoder → the factors, up [out, rank] and down [rank, in], whose
            product is added to its weight; kept in float16.
        relevance: the head of the built-in values, with what others are compared with.
        stance: of the same values.
        about: what else the file says of itself.
        encoder_sha256: of the weights of the encoder that changes.
    """
    import torch
    from safetensors.torch import save_file

    assert relevance.unlabelled is not None
    tensors = {name: torch.tensor(array) for name, array in arrays(relevance.unlabelled).items()}
    for module, (up, down) in factors.items():
        tensors[f"{module}.up"], tensors[f"{module}.down"] = up.half().contiguous(), down.half().contiguous()
    for name, head in (("relevance", relevance), ("stance", stance)):
        tensors[f"{name}.weight"] = torch.tensor(head.weight, dtype=torch.float16)
        tensors[f"{name}.bias"] = torch.tensor(head.bias)
    metadata = {
        **about,
        "format": _FORMAT,
        "encoder_sha256": encoder_sha256,
        "values": json.dumps(relevance.values),
        "unlabelled": json.dumps(numbers(relevance.unlabelled)),
    }
    with replacing(path) as temporary:
        save_file(tensors, temporary, metadata=metadata)
