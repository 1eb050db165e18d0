"""The engines by name, each with what shares it among requests that run at the same time."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from typing import Any, NamedTuple

from vispa.errors import InputError, check_choice
from vispa.generation.held import HeldEngine
from vispa.generation.scheduler import Scheduler
from vispa.generation.scheduling import Schedules
from vispa.generation.transformers import TransformersEngine
from vispa.generation.vllm.engine import VllmEngine
from vispa.generation.vllm.reading import VllmActivations
from vispa.generation.vllm.scheduler import VllmScheduler
from vispa.models.loading import LoadedModel
from vispa.steering.activations import ActivationSource, TransformersActivations
from vispa.steering.bank import VectorBank
from vispa.steering.recipe import Recipe


class _Kind(NamedTuple):
    package: str
    make: Callable[[LoadedModel, VectorBank, Recipe | None], HeldEngine]
    share: Callable[[Any], Schedules]
    activations: Callable[[LoadedModel], ActivationSource] = TransformersActivations


#: Name → the library that it needs, what makes the engine, what shares it, and what reads activations for fitting.
ENGINES: dict[str, _Kind] = {
    "transformers": _Kind("transformers", TransformersEngine, lambda engine: Scheduler(engine.loaded)),
    "vllm": _Kind("vllm", VllmEngine, VllmScheduler, VllmActivations),
}


def check_engine(name: str, field: str = "engine") -> None:
    """Refuse an engine that there is not, or whose library is not installed.

    Args:
        name: of the engine.
        field: where it was named.

    Raises:
        InputError: see above.
    """
    check_choice(field, name, tuple(ENGINES))
    if find_spec(ENGINES[name].package) is None:
        raise InputError(field, f"{name} is not installed.", f"Install it with `pip install 'vispa[{name}]'`.")


def make_engine(name: str, loaded: LoadedModel, bank: VectorBank, recipe: Recipe | None) -> HeldEngine:
    """An engine by name.

    Args:
        name: one of `ENGINES`.
        loaded: the model.
        bank: its directions.
        recipe: of steers that name none; the bank's by default.

    Raises:
        InputError: there is no such engine, or it is not installed.
        ModelError: the engine cannot run the model.
    """
    check_engine(name)
    return ENGINES[name].make(loaded, bank, recipe)


def make_scheduler(engine: HeldEngine) -> Schedules:
    """What shares an engine among requests that run at the same time."""
    return ENGINES[engine.kind].share(engine)


def activation_source(name: str, loaded: LoadedModel) -> ActivationSource:
    """What reads activations for fitting in an engine.

    Args:
        name: one of `ENGINES`.
        loaded: the model.

    Raises:
        InputError: there is no such engine, or it is not installed.
    """
    check_engine(name)
    return ENGINES[name].activations(loaded)
