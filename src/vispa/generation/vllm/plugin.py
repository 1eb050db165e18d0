"""The plug-in that vLLM loads in all of its processes: the front, the scheduler's, and every worker's."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import wraps
from typing import Any

from vispa.errors import InputError, NumericalError
from vispa.generation.vllm.admission import admitted, check_beams, prompt_length
from vispa.generation.vllm.asked import ARGUMENT, FAILED
from vispa.generation.vllm.settings import BANK_VARIABLE, keep_settings, settings_of

# Under the name of vLLM's own: in its processes nobody else has a place to show messages.
_logger = logging.getLogger("vllm.vispa")


def register() -> None:
    """Put vispa beside vLLM, once in a process; nothing changes where no bank is named, and no request names values."""
    from vllm.engine.arg_utils import EngineArgs
    from vllm.entrypoints.openai.chat_completion.protocol import ChatCompletionRequest
    from vllm.entrypoints.openai.completion.protocol import CompletionRequest
    from vllm.entrypoints.speech_to_text.transcription.protocol import TranscriptionRequest
    from vllm.entrypoints.speech_to_text.translation.protocol import TranslationRequest
    from vllm.v1.core.kv_cache_manager import KVCacheManager
    from vllm.v1.core.sched.scheduler import Scheduler
    from vllm.v1.engine.input_processor import InputProcessor
    from vllm.v1.worker.worker_base import WorkerBase

    _around(WorkerBase, "__init__", _beginning_worker)
    _around(InputProcessor, "process_inputs", _checking_inputs)
    for request in (CompletionRequest, ChatCompletionRequest, TranscriptionRequest, TranslationRequest):
        _around(request, "to_beam_search_params", _refusing_beams)
    _around(KVCacheManager, "allocate_slots", _keeping_whole)
    _around(Scheduler, "update_from_output", _failing_alone)
    _around(EngineArgs, "add_cli_args", _adding_argument, staticmethod)
    _around(EngineArgs, "from_cli_args", _taking_argument, classmethod)


def _around(
    owner: type,
    name: str,
    make: Callable[[Callable[..., Any]], Callable[..., Any]],
    kind: Callable[[Callable[..., Any]], Any] = lambda made: made,
) -> None:
    method = getattr(owner, name)
    method = getattr(method, "__func__", method)
    if not hasattr(method, "vispa"):
        made = wraps(method)(make(method))
        made.vispa = True  # type: ignore[attr-defined]
        setattr(owner, name, kind(made))


def _adding_argument(add: Callable[..., Any]) -> Callable[..., Any]:
    """Commands of vLLM take the bank as an option; plug-ins are loaded before its options are made."""

    def added(parser: Any, *arguments: Any, **named: Any) -> Any:
        parser = add(parser, *arguments, **named)
        about = f"Bank of directions that requests may be steered by (`vllm_xargs`); else {BANK_VARIABLE} names it."
        parser.add_argument_group("vispa").add_argument("--vispa-bank", metavar="FILE", help=about)
        return parser

    return added


def _taking_argument(take: Callable[..., Any]) -> Callable[..., Any]:
    """The option goes where all processes of an engine find it."""

    def taken(cls: Any, given: Any) -> Any:
        if (bank := getattr(given, "vispa_bank", None)) is not None:
            given.additional_config = {**(given.additional_config or {}), ARGUMENT: {"bank": bank}}
        return take(cls, given)

    return taken


def _beginning_worker(init: Callable[..., None]) -> Callable[..., None]:
    """Workers that know of a bank steer."""

    def begin(self: Any, *arguments: Any, **named: Any) -> None:
        init(self, *arguments, **named)
        settings = settings_of(self.vllm_config)
        if settings is not None:
            from vispa.generation.vllm.worker import SteeredWorker

            keep_settings(self.vllm_config, settings)
            SteeredWorker(self, settings)

    return begin


def _checking_inputs(process: Callable[..., Any]) -> Callable[..., Any]:
    """The front says what is wrong with a request, and sets its keys and values apart from those of others."""

    def checked(self: Any, *arguments: Any, **named: Any) -> Any:
        request = process(self, *arguments, **named)
        params = request.sampling_params
        argument = (getattr(params, "extra_args", None) or {}).get(ARGUMENT)
        if argument is None:
            return request
        ids = request.prompt_token_ids or []
        length = prompt_length(request)
        try:
            given, salt = admitted(argument, ids, length, self.vllm_config)
        except (InputError, NumericalError) as error:
            raise _refusal(error) from error
        params.extra_args = {**params.extra_args, ARGUMENT: given.as_argument()}
        if salt is not None:
            request.cache_salt = salt if request.cache_salt is None else f"{request.cache_salt}:{salt}"
        if given.whole:
            # All of it is read in a pass of its own kind: over what is cached, its last token alone may count as one
            # more that is generated, for which a captured graph runs, in which nothing is measured.
            params.skip_reading_prefix_cache = True
        return request

    return checked


def _refusing_beams(convert: Callable[..., Any]) -> Callable[..., Any]:
    """A beam search would be answered unsteered: its beams are requests that know nothing of `vllm_xargs`."""

    def converted(self: Any, *arguments: Any, **named: Any) -> Any:
        try:
            check_beams(self)
        except InputError as error:
            raise _refusal(error) from error
        return convert(self, *arguments, **named)

    return converted


def _refusal(error: InputError | NumericalError) -> Any:
    """What vLLM's server answers with 400."""
    from vllm.exceptions import VLLMValidationError

    return VLLMValidationError(str(error), parameter=ARGUMENT)


def _keeping_whole(allocate: Callable[..., Any]) -> Callable[..., Any]:
    """A prompt on whose last token something is measured waits until one pass has room for all of it."""

    def whole(
        self: Any, request: Any, num_new_tokens: int, num_new_computed_tokens: int = 0, *arguments: Any, **named: Any
    ) -> Any:
        params = getattr(request, "sampling_params", None)
        argument = (getattr(params, "extra_args", None) or {}).get(ARGUMENT)
        if isinstance(argument, dict) and argument.get("whole"):
            beyond = named.get("num_external_computed_tokens", 0)
            read = request.num_computed_tokens + num_new_computed_tokens + beyond + num_new_tokens
            if read < request.num_prompt_tokens:
                return None
        return allocate(self, request, num_new_tokens, num_new_computed_tokens, *arguments, **named)

    return whole


def _failing_alone(update: Callable[..., Any]) -> Callable[..., Any]:
    """A request that a worker could not steer ends as vLLM's own failures do, over HTTP with 500; the others go on."""

    def updated(self: Any, scheduler_output: Any, model_runner_output: Any) -> Any:
        failed: dict[str, str] = getattr(model_runner_output, FAILED, {})
        if not failed:
            return update(self, scheduler_output, model_runner_output)
        from vllm.v1.engine import EngineCoreOutput, EngineCoreOutputs
        from vllm.v1.request import RequestStatus

        # Before its token of this pass is taken over, which is unsteered.
        ended = self.finish_requests(failed, RequestStatus.FINISHED_ERROR)
        found = update(self, scheduler_output, model_runner_output)
        for request in ended:
            _logger.error("Request %s is not answered: %s", request.request_id, failed[request.request_id])
            output = EngineCoreOutput(
                request_id=request.request_id, new_token_ids=[], finish_reason=request.get_finished_reason(),
                events=request.take_events(), trace_headers=request.trace_headers,
            )  # fmt: skip
            if request.client_index in found:
                found[request.client_index].outputs.append(output)
            else:
                found[request.client_index] = EngineCoreOutputs(outputs=[output])
        return found

    return updated
