"""Activations that vLLM reads, for fitting."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from vispa.errors import NumericalError
from vispa.generation.vllm.asked import ARGUMENT, Asked
from vispa.generation.vllm.running import Running
from vispa.generation.vllm.starting import ARGUMENTS_VARIABLE, started
from vispa.models.context import context_length
from vispa.models.encoding import raw_prompt
from vispa.models.loading import LoadedModel
from vispa.once import once_property
from vispa.steering.activations import MAX_TOKENS, check_finite, read_activations
from vispa.steering.bank import VectorBank
from vispa.steering.bank_parts import BankInfo, Entry
from vispa.steering.estimators.base import Directions
from vispa.steering.readings import Reading
from vispa.steering.recipe import Recipe
from vispa.versions import versions

# Sentences whose activations wait on a worker until they are fetched.
_SENTENCES = 128
_RECIPE = Recipe("none", blocks=(0,), magnitude="coefficient", amount=1.0, minimal_quality=0.0)


class VllmActivations:
    """See `ActivationSource`: residual streams as vLLM computes them.

    vLLM starts when something is first read. It reads what `read_activations` reads, up to the rounding of its own
    kernels. As before an engine is used, it is tested first whether what is added after every block arrives at the
    model's end: what is read there is then the residual stream of the block.

    Args:
        loaded: the model; vLLM loads its own weights from the same place.
    """

    engine = "vllm"

    def __init__(self, loaded: LoadedModel) -> None:
        self._loaded = loaded

    @property
    def facts(self) -> Mapping[str, object]:
        """See `ActivationSource`."""
        from vllm.platforms import current_platform

        return {
            "device": str(current_platform.device_type),
            "dtype": str(self._loaded.model.dtype),
            "arguments": os.environ.get(ARGUMENTS_VARIABLE, ""),
            # On a processor vLLM takes over the threads of whoever starts it.
            "threads": torch.get_num_threads(),
            "binding": os.environ.get("VLLM_CPU_OMP_THREADS_BIND", ""),
            "versions": versions(self.engine),
        }

    @once_property
    def _running(self) -> Running:
        bank = _bank_of_nothing(self._loaded)
        return Running(started(self._loaded, bank, _RECIPE), _RECIPE)

    def read(
        self, texts: Sequence[str], *, readings: Sequence[Reading], progress: Callable[[int], None] | None = None
    ) -> dict[Reading, torch.Tensor]:
        """See `ActivationSource.read`.

        Raises:
            InputError: vLLM is not installed.
            ModelError: vLLM cannot run the model, or its blocks are not where they are looked for.
            NumericalError: an activation is NaN or infinite, or one did not come.
        """
        # vLLM goes on by a token after what it reads.
        longest = min(MAX_TOKENS, (context_length(self._loaded.model.config) or MAX_TOKENS + 1) - 1)
        blocks, width = len(self._loaded.blocks), self._loaded.hidden_size
        parts = [torch.empty(0, len(readings), blocks, width)]
        self._fetched(readings)
        for start in range(0, len(texts), _SENTENCES):
            part = texts[start : start + _SENTENCES]
            asked = [(raw_prompt(self._loaded, text, max_tokens=longest).ids, self._params()) for text in part]
            self._running.run(asked, progress)
            found = self._fetched(readings)
            numbers = [params.extra_args[ARGUMENT]["number"] for _, params in asked]
            if missing := [number for number in numbers if number not in found]:
                raise NumericalError(f"vLLM did not tell the activations of {len(missing)} of {len(asked)} sentences.")
            streams = [np.frombuffer(found[number], np.float32) for number in numbers]
            parts.append(torch.from_numpy(np.stack(streams)).reshape(len(asked), len(readings), blocks, width))
        states = torch.cat(parts)
        check_finite(states.flatten(1, 2), texts, [*range(blocks)] * len(readings))
        return {reading: states[:, place].contiguous() for place, reading in enumerate(readings)}

    def _params(self) -> Any:
        from vllm import SamplingParams

        asked = Asked(number=next(self._running.numbers), reading=True)
        return SamplingParams(
            max_tokens=1, temperature=0.0, detokenize=False, extra_args={ARGUMENT: asked.as_argument()}
        )

    def _fetched(self, readings: Sequence[Reading]) -> dict[int, bytes]:
        """What was read since, by the number of its prompt; what comes is read as wanted."""
        # Every worker has the whole residual stream.
        return dict(self._running.engine.collective_rpc("vispa_readings", args=(list(readings),))[0])


def _bank_of_nothing(loaded: LoadedModel) -> VectorBank:
    """A bank that nobody steers by, of the shape and lengths by which the workers' self-test goes."""
    (states,) = read_activations(loaded, ("Once upon a time",), readings=("sink_free_mean",)).values()
    shape = (1, len(loaded.blocks))
    unit = torch.nn.functional.one_hot(torch.zeros(shape, dtype=torch.long), loaded.hidden_size).float()
    directions = Directions(vectors=unit, quality=torch.ones(shape), separation=torch.ones(shape))
    info = BankInfo(loaded.name, loaded.fingerprint, "0" * 64, ("none",), {})
    return VectorBank(info, {"none": Entry(directions, "last", "pairs")}, states[0].norm(dim=-1), _RECIPE)
