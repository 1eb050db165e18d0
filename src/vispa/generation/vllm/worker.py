"""A worker of vLLM whose model is steered."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from functools import partial
from typing import Any

import torch

from vispa.errors import BankError, InputError
from vispa.generation.vllm.asked import ARGUMENT, FAILED, Asked, checked
from vispa.generation.vllm.hooks import OPERATION, install
from vispa.generation.vllm.runners import follow
from vispa.generation.vllm.self_test import check_shifts
from vispa.generation.vllm.settings import Settings
from vispa.generation.vllm.steps import Steps
from vispa.generation.vllm.tables import Tables
from vispa.models.blocks import decoder_blocks, residual_width
from vispa.steering.readings import Reading

_logger = logging.getLogger(__name__)

# Environment variable by which vLLM's server has a front end that is not Python's.
_RUST_FRONT = "VLLM_USE_RUST_FRONTEND"

# Rows of each table beside those that requests at work may need.
_SPARE = 512


class SteeredWorker:
    """Steers what a worker's model runs; nothing is served before the self-test.

    It stands in for four of the worker's methods, and adds two that `collective_rpc` calls by name.

    Args:
        worker: before its model is loaded.
        settings: what to steer with.

    Raises:
        RuntimeError: a way of running the model in which tokens could not be followed.
    """

    def __init__(self, worker: Any, settings: Settings) -> None:
        self._worker, self._settings = worker, settings
        self._config = worker.vllm_config
        self._load, self._warm, self._execute, self._sample = (
            worker.load_model, worker.compile_or_warm_up_model, worker.execute_model, worker.sample_tokens
        )  # fmt: skip
        worker.load_model, worker.compile_or_warm_up_model = self.load, self.warm
        worker.execute_model, worker.sample_tokens = self.execute, self.sample
        worker.vispa_told, worker.vispa_readings = self.told, self.readings
        self._check_ways()
        self._looks = False  # Whether anything is measured or read in the step at work.
        self._steps: Steps
        self._tables: Tables

    @property
    def _compiled(self) -> bool:
        """Whether layers run otherwise than line by line; graphs are captured without a compiler too."""
        compilation = self._config.compilation_config
        return int(compilation.mode or 0) != 0 or bool(compilation.cudagraph_mode)

    def _check_ways(self) -> None:
        parallel, compilation = self._config.parallel_config, self._config.compilation_config
        ways = {
            "pipeline parallel": parallel.pipeline_parallel_size > 1,
            "parallel in the prompt": getattr(parallel, "prefill_context_parallel_size", 1) > 1,
            # Of two, or of any number.
            "micro-batches": bool(getattr(parallel, "enable_dbo", False) or getattr(parallel, "use_ubatching", False)),
            "sequence parallel": bool(getattr(compilation.pass_config, "enable_sp", False)),
            # Where this package starts vLLM, it is the front itself.
            "behind a front end of Rust, which checks no steers": not self._settings.checked and _has_rust_front(),
        }
        if found := [way for way, used in ways.items() if used]:
            raise RuntimeError(f"vispa steers no model that runs {' and '.join(found)}")
        if self._compiled and compilation.splitting_ops and OPERATION not in compilation.splitting_ops:
            # What is measured in a prompt runs between the captured pieces.
            compilation.splitting_ops.append(OPERATION)

    def load(self, *arguments: Any, **named: Any) -> None:
        """Load the model, and let all of its layers' outputs through the tables."""
        self._load(*arguments, **named)
        worker, runner = self._worker, self._worker.model_runner
        device, dtype = torch.device(worker.device), self._config.model_config.dtype
        layers = decoder_blocks(runner.get_model())
        vocabulary = self._settings.vocabulary(device)
        self._check_bank(vocabulary.bank, len(layers), residual_width(runner.get_model()))
        scheduler = self._config.scheduler_config
        # Five rows hold all that a request can get.
        rows = 1 + 5 * scheduler.max_num_seqs + _SPARE
        self._tables = Tables(
            len(layers), vocabulary.bank.width or 0, rows, device=device, dtype=dtype, lazy=not self._compiled
        )
        # Padding to the sizes of graphs goes a little beyond the most tokens of a pass.
        most = 2 * max(scheduler.max_num_batched_tokens, scheduler.max_num_seqs)
        self._steps = Steps(vocabulary, self._tables, most, device, dtype)
        self._steps.captured = self._compiled
        context = self._config.compilation_config.static_forward_context if self._compiled else None
        install(layers, self._steps.shifted, context)
        name = follow(runner, self._steps.tokens, lambda: self._looks)
        _logger.info("vispa steers %d layers, model runner %s", len(layers), name)

    def _check_bank(self, bank: Any, layers: int, width: int) -> None:
        place = self._settings.bank
        if len(bank.residual_norm) != layers or bank.width != width:
            shape = f"{len(bank.residual_norm)} blocks of width {bank.width}"
            raise BankError(place, f"is of a model of {shape}, this one has {layers} of {width}.", "Fit one for it.")
        if self._settings.checked or self._worker.rank != 0:
            return
        from vispa.models.loading import load_model

        found = load_model(self._config.model_config.model, device="cpu").fingerprint
        bank.require(model_fingerprint=found, taxonomy_fingerprint=bank.info.taxonomy_fingerprint)

    @torch.inference_mode()
    def warm(self, *arguments: Any, **named: Any) -> Any:
        """Warm the model up, then test that it is steered.

        Raises:
            RuntimeError: it is not.
        """
        found = self._warm(*arguments, **named)
        norms = self._steps.bank.residual_norm
        check_shifts(self._worker.model_runner, self.execute, self.sample, self._steps, self._tables, norms)
        return found

    @torch.inference_mode()
    def execute(self, scheduler_output: Any, *arguments: Any, **named: Any) -> Any:
        """One step of the worker."""
        self._begin(scheduler_output)
        self._looks = self._steps.looks(scheduler_output.num_scheduled_tokens)
        try:
            found = self._execute(scheduler_output, *arguments, **named)
        finally:
            self._looks = False
            self._steps.end()
        return self._with_failed(found)

    def _begin(self, scheduler_output: Any) -> None:
        new: list[tuple[str, Asked]] = []
        for one in scheduler_output.scheduled_new_reqs:
            argument = (getattr(one.sampling_params, "extra_args", None) or {}).get(ARGUMENT)
            if argument is None:
                continue
            try:
                new.append((one.req_id, checked(argument)))
            except InputError as error:
                self._steps.refuse(one.req_id, str(error))
        self._steps.begin(scheduler_output.finished_req_ids, new)

    @torch.inference_mode()
    def sample(self, *arguments: Any, **named: Any) -> Any:
        """The tokens that a step ends with."""
        return self._with_failed(self._sample(*arguments, **named))

    def _with_failed(self, output: Any) -> Any:
        """What a step gives, once it gives something, with the requests that could not be steered in it."""
        failed = self._steps.failed
        if output is None or not failed:
            return output
        self._steps.failed = {}
        if hasattr(output, "get_output"):
            # It comes later, while other steps run.
            output.get_output = partial(_marked, output.get_output, failed)
            return output
        return _marked(lambda: output, failed)

    def told(self) -> list[tuple[int, list[tuple[int, float]], str | None]]:
        """What was measured for requests that have ended since: number, block and length, what went wrong."""
        told, self._steps.told = self._steps.told, []
        return [(number, list(amounts.items()), problem) for number, amounts, problem in told]

    def readings(self, wanted: list[Reading]) -> list[tuple[int, bytes]]:
        """What was read of prompts since, as bytes of float32 [R, L, H]; later ones are read as wanted.

        Args:
            wanted: names of R readings.
        """
        import numpy as np

        readout = self._steps.readout
        found, readout.found, readout.readings = readout.found, {}, tuple(wanted)
        return [
            (number, np.stack([blocks[block] for block in sorted(blocks)], axis=1).astype(np.float32).tobytes())
            for number, blocks in found.items()
        ]


def _marked(get: Callable[[], Any], failed: dict[str, str]) -> Any:
    output = get()
    setattr(output, FAILED, failed)
    return output


def _has_rust_front() -> bool:
    return os.environ.get(_RUST_FRONT, "") not in ("", "0")
