"""Serving the adapters of many values against their vectors: one batch in which every row has its own value."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

import torch

from benchmarks.fine_tuning.adapters import ALPHA, Adapters, adapted_layers
from benchmarks.fine_tuning.writing import AdaptedEngine, AdaptedRow
from benchmarks.measure import Spread, Timer, machine_facts
from vispa.generation.rows import Row, Sampling
from vispa.models.batching import pad_left
from vispa.models.encoding import Prompt
from vispa.models.loading import LoadedModel, load_model
from vispa.steering.bank import VectorBank
from vispa.steering.recipe import Steer
from vispa.study.expression import asked_situations

#: Sides, in words.
SIDES = {
    "vectors": "vectors, this engine",
    "adapters": "adapters, this engine",
    "peft": "adapters, peft in transformers' `generate` (`adapter_names`)",
    "plain": "neither, transformers' `generate`",
}


def with_peft(loaded: LoadedModel, adapters: Adapters, values: Sequence[str]) -> Any:
    """The model in peft with one adapter a value; its linear layers are wrapped from now on.

    Args:
        loaded: the model.
        adapters: of the values.
        values: their slugs, the adapters' names.
    """
    from peft import LoraConfig, get_peft_model, set_peft_model_state_dict

    names = list(adapted_layers(loaded))
    config = LoraConfig(r=adapters.rank, lora_alpha=int(ALPHA * adapters.rank), target_modules=names)
    model: Any = get_peft_model(loaded.model, config, adapter_name=values[0])
    for value in values[1:]:
        model.add_adapter(value, config)
    for place, value in enumerate(values):
        set_peft_model_state_dict(model, adapters.state(place), adapter_name=value)
    return model.eval()


def random_adapters(loaded: LoadedModel, values: int, rank: int, scale: float = 0.02) -> Adapters:
    """Adapters that change something: how quickly they are served does not hang on what they learnt.

    Args:
        loaded: the model.
        values: how many.
        rank: of each.
        scale: standard deviation of the numbers of B.
    """
    adapters = Adapters.new(loaded, values, rank)
    chance = torch.Generator().manual_seed(1)
    for name, up in adapters.up.items():
        adapters.up[name] = (torch.randn(up.shape, generator=chance) * scale).to(up.device)
    return adapters


def measure_serving(
    name: str, bank: VectorBank, values: Sequence[str], situation: str, *, rank: int, tokens: int, rounds: int
) -> dict[str, Any]:
    """Rows a processor second of each side: a comment a value on one situation, all in one batch, none ending early.

    Args:
        name: of the model.
        bank: its directions.
        values: slugs.
        situation: commented on.
        rank: of the adapters.
        tokens: of each comment.
        rounds: timed ones, the sides in turn.
    """
    ours, theirs = _endless(name), _endless(name)
    adapters = random_adapters(ours, len(values), rank)
    prompt = asked_situations(ours, [situation])[0].plain
    sampling = Sampling(tokens)
    steered = AdaptedEngine(ours, None, bank)
    served = AdaptedEngine(ours, adapters)

    def write(engine: AdaptedEngine, rows: Sequence[Row]) -> list[tuple[int, ...]]:
        return [one.ids for one in engine.generate(rows, sampling)]

    plain = _generating(theirs, theirs.model, prompt, len(values), tokens)
    times, texts = _timer(ours, rounds).alternate({"plain": plain})
    model = with_peft(theirs, adapters, values)
    found, more = _timer(ours, rounds).alternate(
        {
            "vectors": lambda: write(steered, [Row(prompt, (Steer(value),)) for value in values]),
            "adapters": lambda: write(served, [AdaptedRow(prompt, adapter=place) for place in range(len(values))]),
            "peft": _generating(theirs, model, prompt, len(values), tokens, adapter_names=list(values)),
        }
    )
    seconds = {**found.seconds, **times.seconds}
    rates = {side: asdict(Spread.of([len(values) / one for one in seconds[side]])) for side in SIDES}
    same = sum(one == other for one, other in zip(more["adapters"], more["peft"], strict=True))
    assert all(len(one) == tokens for each in (texts, more) for side in each.values() for one in side)
    return {
        "values": len(values), "tokens": tokens, "rank": rank, "rounds": rounds, "rows_a_second": rates,
        "vectors_to_peft": asdict(found.ratio("peft", "vectors")),
        "vectors_to_adapters": asdict(found.ratio("adapters", "vectors")),
        "same_texts_peft": same, "machine": machine_facts(ours.model),
    }  # fmt: skip


def _timer(loaded: LoadedModel, rounds: int) -> Timer:
    return Timer(rounds, loaded.device, "wall" if loaded.device.type == "cuda" else "cpu")


def _endless(name: str) -> LoadedModel:
    """The model without an end token, in single precision."""
    loaded = load_model(name, dtype="float32")
    loaded.tokenizer.eos_token = None
    loaded.model.generation_config.eos_token_id = None
    return loaded


def _generating(
    loaded: LoadedModel, model: Any, prompt: Prompt, rows: int, tokens: int, **options: Any
) -> Callable[[], list[tuple[int, ...]]]:
    """Greedy continuation of a batch by transformers' `generate`."""
    ids, mask, _ = pad_left(loaded, [prompt.ids] * rows)

    def generate() -> list[tuple[int, ...]]:
        with torch.inference_mode():
            out = model.generate(
                input_ids=ids, attention_mask=mask, do_sample=False, max_new_tokens=tokens,
                pad_token_id=loaded.tokenizer.pad_token_id, **options,
            )  # fmt: skip
        return [tuple(row) for row in out[:, ids.shape[1] :].tolist()]

    return generate
