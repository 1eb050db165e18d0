"""Compiled layers write what layers write that run line by line, also where a process has several models."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from pairs import CHUNK, Pair, made_pair, mixed
from small import CALIBRATED, RESIDUAL
from torch import nn
from transformers import PreTrainedTokenizerFast

from vispa.generation.vllm import hooks
from vispa.generation.vllm.asked import ARGUMENT
from vispa.generation.vllm.settings import BANK_VARIABLE, Settings, keep_settings, settings_of
from vispa.steering.recipe import Recipe


@pytest.fixture(scope="module")
def pairs(tokenizer: PreTrainedTokenizerFast, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Pair]]:
    """Two compiled models of one process; code that others compiled is not looked at."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VLLM_CACHE_ROOT", str(tmp_path_factory.mktemp("compiled")))
        options: dict[str, Any] = {"enforce_eager": False, "max_num_batched_tokens": CHUNK}
        made = [made_pair(kind, tokenizer, tmp_path_factory.mktemp(kind), **options) for kind in ("llama", "qwen3")]
        for pair in made:
            assert is_compiled(pair)
        yield made


def is_compiled(pair: Pair) -> bool:
    (mode,) = pair.vllm.running.engine.collective_rpc(
        lambda worker: int(worker.vllm_config.compilation_config.mode or 0)
    )
    return bool(mode)


@pytest.mark.parametrize(
    "recipe",
    [RESIDUAL, CALIBRATED, replace(RESIDUAL, half_life=3.0), replace(CALIBRATED, scope="generated")],
    ids=["fixed", "measured", "fading", "measured for what is generated"],
)
def test_compiled_models_of_one_process_steer_apart(pairs: list[Pair], recipe: Recipe) -> None:
    """The first one used to be steered by the tables of the last one that was started."""
    for pair in (*pairs, pairs[0]):
        pair.agree(pair.rows_of(mixed(recipe)))


@pytest.mark.parametrize("recipe", [RESIDUAL, CALIBRATED], ids=["fixed", "measured"])
def test_compiled_models_read_long_prompts_in_parts(pairs: list[Pair], recipe: Recipe) -> None:
    text = "This is number {}. " + "It is a long text. " * (12 if recipe is RESIDUAL else 2)
    pairs[0].agree(pairs[0].rows_of(mixed(recipe)[:6], text))


@pytest.mark.parametrize("given", [{}, {"another": 1}])
def test_compiled_code_is_kept_by_whether_it_steers(monkeypatch: pytest.MonkeyPatch, given: dict[str, Any]) -> None:
    from vllm.config import VllmConfig

    monkeypatch.setenv(BANK_VARIABLE, "/a/bank.safetensors")
    config = VllmConfig(additional_config=given)
    before, settings = config.compute_hash(), settings_of(config)
    assert settings == Settings("/a/bank.safetensors")
    keep_settings(config, settings)
    assert config.compute_hash() != before and config.additional_config.keys() == {*given, ARGUMENT}
    monkeypatch.delenv(BANK_VARIABLE)
    assert settings_of(config) == settings


# ---------------------------------------------------------------- the operation


def passing(context: dict[str, Any]) -> AbstractContextManager[None]:
    """As if a forward pass of the model with this context were under way."""
    from vllm.forward_context import override_forward_context

    found: AbstractContextManager[None] = override_forward_context(SimpleNamespace(no_compile_layers=context))
    return found


class Layer(nn.Module):
    def __init__(self, apart: bool) -> None:
        super().__init__()
        self.apart = apart

    def forward(self, hidden: torch.Tensor, residual: torch.Tensor | None = None) -> Any:
        hidden = hidden * 2 + (0 if residual is None else residual)
        return (hidden, hidden + 1) if self.apart else hidden


@pytest.mark.parametrize("apart", [False, True])
@pytest.mark.parametrize("nothing", [False, True])
def test_compiled_layers_are_shifted(apart: bool, nothing: bool) -> None:
    layers = nn.ModuleList(Layer(apart) for _ in range(3))

    def run(hidden: torch.Tensor) -> torch.Tensor:
        outputs: Any = (hidden,)
        for layer in layers:
            found = layer(*outputs)
            outputs = found if apart else (found,)
        return sum(outputs[1:], outputs[0])

    def shift(block: int, hidden: torch.Tensor, residual: torch.Tensor | None) -> torch.Tensor:
        assert (residual is None) is not apart
        return hidden if nothing else hidden + 10.0**block

    hidden, context = torch.arange(6.0).reshape(3, 2), dict[str, Any]()
    plain = run(hidden)
    hooks.install(layers, shift, context)
    with passing(context):
        expected = run(hidden)
        assert torch.equal(expected, plain) is nothing
        torch._dynamo.reset()
        compiled = torch.compile(run, backend="aot_eager", fullgraph=True)
        assert torch.equal(compiled(hidden), expected)


def test_a_shift_goes_where_there_was_room_before() -> None:
    """The piece that is captured after it reads from one place: an operation must not make up a new one."""
    layers = nn.ModuleList([Layer(False)])
    context = dict[str, Any]()
    hooks.install(layers, lambda _, hidden, __: hidden + 1, context)
    seen: list[torch.fx.Graph] = []

    def backend(module: torch.fx.GraphModule, _: Any) -> Any:
        seen.append(module.graph)
        return module.forward

    torch._dynamo.reset()
    with passing(context):
        torch.compile(lambda hidden: layers[0](hidden) * 3, backend=backend, fullgraph=True)(torch.ones(2, 2))
    (graph,) = seen
    (node,) = [one for one in graph.nodes if "vispa" in str(one.target)]
    assert not node.users and any(
        "empty_like" in str(one.target) for one in node.args if isinstance(one, torch.fx.Node)
    )
