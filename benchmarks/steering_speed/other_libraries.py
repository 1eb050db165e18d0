"""Steering with one vector by other libraries, where they are installed and work here."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import torch

from vispa.models.batching import pad_left
from vispa.models.encoding import Prompt, raw_prompt
from vispa.models.loading import LoadedModel

Vectors = Mapping[int, torch.Tensor]
Generate = Callable[[LoadedModel, Sequence[Prompt], Vectors, int], list[str]]


def transformers_batch(loaded: LoadedModel, prompts: Sequence[Prompt], new_tokens: int) -> list[str]:
    """Greedy texts of all prompts in one batch, padded on the left, by transformers' `generate`."""
    ids, mask, _ = pad_left(loaded, [prompt.ids for prompt in prompts])
    output: Any = loaded.model.generate(  # type: ignore[operator]
        ids, attention_mask=mask, max_new_tokens=new_tokens, do_sample=False
    )
    texts = loaded.tokenizer.batch_decode(output[:, ids.shape[1] :], skip_special_tokens=True)
    return [text.strip() for text in texts]


def _steering_vectors(loaded: LoadedModel, prompts: Sequence[Prompt], vectors: Vectors, new_tokens: int) -> list[str]:
    library = import_module("steering_vectors")
    added = {block: vector.to(loaded.device, loaded.model.dtype) for block, vector in vectors.items()}
    with library.SteeringVector(added).apply(loaded.model):
        return transformers_batch(loaded, prompts, new_tokens)


def _repeng(loaded: LoadedModel, prompts: Sequence[Prompt], vectors: Vectors, new_tokens: int) -> list[str]:
    library = import_module("repeng")
    added = {block: vector.to(loaded.device, loaded.model.dtype) for block, vector in vectors.items()}
    control = library.ControlModel(loaded.model, list(added))
    try:
        control.set_raw_control(added)
        return transformers_batch(loaded, prompts, new_tokens)
    finally:
        control.unwrap()


LIBRARIES: dict[str, Generate] = {"steering-vectors": _steering_vectors, "repeng": _repeng}


def usable_libraries(loaded: LoadedModel, vectors: Vectors) -> tuple[dict[str, Generate], dict[str, str]]:
    """Those that steer this model here, and for the others why not."""
    usable, reasons = {}, {}
    for name, steer in LIBRARIES.items():
        try:
            version(name)
            steer(loaded, [raw_prompt(loaded, "One.")], vectors, 2)
        except PackageNotFoundError:
            reasons[name] = "is not installed"
        except Exception as error:  # Whatever a library does wrong here is the row's text.
            reasons[name] = f"{version(name)} does not run here ({type(error).__name__}: {str(error).splitlines()[0]})"
        else:
            usable[name] = steer
    return usable, reasons
