"""What a request asks of steering is checked before it is taken in: later there is nobody to tell that it cannot be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from vispa.errors import InputError
from vispa.generation.vllm.asked import ARGUMENT, Asked, asked
from vispa.generation.vllm.settings import BANK_VARIABLE, settings_of
from vispa.generation.vllm.tables import remains_of


def admitted(argument: object, ids: Sequence[int], length: int, config: Any) -> tuple[Asked, str | None]:
    """How a request is steered that may be taken in.

    Args:
        argument: the request's own, under `ARGUMENT`.
        ids: of its prompt; none where that is embeddings.
        length: of its prompt, in tokens.
        config: a `vllm.config.VllmConfig`.

    Returns:
        What workers are told, and what sets its keys and values apart in the prefix cache (`Asked.salt`).

    Raises:
        InputError: there is no bank here, the argument cannot be, a steer would do nothing, or vLLM as it was started
            cannot steer the request.
        NumericalError: a shift that depends on no prompt is no finite number in the model's type.
    """
    settings = settings_of(config)
    if settings is None:
        raise InputError(
            ARGUMENT, "is asked for without a bank.", f"Name its file with --vispa-bank, or in {BANK_VARIABLE}."
        )
    vocabulary = settings.vocabulary()
    given = asked(argument)
    if remains_of(given.steers, vocabulary.default) != 1:
        _check_ages(config)
    fixed = vocabulary.is_fixed(given.steers)
    given = replace(given, whole=given.reading or not fixed)
    if fixed:
        # Refused here: in a worker, one that is not finite would end what all are served by.
        vocabulary.fixed_amounts(given.steers, given.orthogonal, config.model_config.dtype)
    for steer in given.steers:
        if steer.weight and not vocabulary.acts(steer):
            problem = f"names {steer.value}, toward which nothing is steered here: at no block does its direction "
            advice = "Leave it out, or serve with a bank whose recipe steers toward it."
            raise InputError(ARGUMENT, problem + "separate well enough, or the recipe's amount is 0.", advice)
    setting, limit = longest_whole(config)
    if given.whole and length > limit:
        problem = f"measures a prompt of {length} tokens, and one pass takes {limit}."
        raise InputError(ARGUMENT, problem, f"Give a shorter one, or raise {setting}.")
    return given, given.salt(vocabulary.default, ids)


def prompt_length(request: Any) -> int:
    """Tokens of a prompt, which may be given as ids or as embeddings, a tensor [T, H].

    Args:
        request: of vLLM's engine.
    """
    embeddings = getattr(request, "prompt_embeds", None)
    ids = request.prompt_token_ids or ()
    # A tensor is neither true nor false.
    return len(ids) if len(ids) or embeddings is None else len(embeddings)


def longest_whole(config: Any) -> tuple[str, int]:
    """The setting that says how many tokens of one prompt a pass takes at most, and so many.

    Args:
        config: a `vllm.config.VllmConfig`.
    """
    scheduler, speculative = config.scheduler_config, config.speculative_config
    # The places of drafts come out of a pass.
    drafts = int(getattr(speculative, "max_num_new_slots_for_drafting", 0) or 0)
    limits = {
        "max_num_batched_tokens": scheduler.max_num_batched_tokens - drafts,
        "max_num_scheduled_tokens": getattr(scheduler, "max_num_scheduled_tokens", None),
        "long_prefill_token_threshold": getattr(scheduler, "long_prefill_token_threshold", None),
    }
    # Unset, or 0, they say nothing.
    found = {name: int(limit) for name, limit in limits.items() if limit}
    setting = min(found, key=found.__getitem__)
    return setting, found[setting]


def check_beams(request: Any) -> None:
    """Refuse a beam search that is to be steered: vLLM gives what its beams are made of no arguments.

    Args:
        request: of vLLM's server, with `vllm_xargs` or without.

    Raises:
        InputError: it names steers, whatever they say.
    """
    if ARGUMENT in (getattr(request, "vllm_xargs", None) or {}):
        raise InputError(ARGUMENT, "cannot steer a beam search.", "Leave out use_beam_search, or the steers.")


def _check_ages(config: Any) -> None:
    """Refuse steers that fade where nobody knows in time how many tokens of a text there are.

    Raises:
        InputError: drafts are judged while the next pass is made up, which counts all of them as text.
    """
    if config.speculative_config is not None and config.scheduler_config.async_scheduling:
        raise InputError(
            "half_life", "cannot be counted where vllm drafts tokens and schedules asynchronously.",
            "Start vllm with --no-async-scheduling or without drafts, or name a recipe that does not fade.",
        )  # fmt: skip
