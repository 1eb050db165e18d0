"""Nothing is served unsteered: a start that cannot steer is refused, and so is a request."""

from __future__ import annotations

import gc
import json
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from pairs import Pair, made_pair
from small import CALIBRATED, RESIDUAL, VALUES, random_bank, small_model
from transformers import PreTrainedTokenizerFast

from vispa.errors import InputError, ModelError, TextError
from vispa.generation.rows import Row, Sampling
from vispa.generation.vllm import hooks, runners, worker
from vispa.generation.vllm.asked import ARGUMENT, Asked, asked, recipe_text
from vispa.generation.vllm.engine import VllmEngine
from vispa.generation.vllm.plugin import register
from vispa.generation.vllm.settings import Settings, settings_of
from vispa.generation.vllm.starting import _check_weights
from vispa.generation.vllm.worker import SteeredWorker
from vispa.steering.bank import VectorBank
from vispa.steering.estimators.base import Directions
from vispa.steering.recipe import Steer


def unhooked(layers: Any, *_: Any) -> None:
    """As if layers were of another class, whose output nobody looks at."""


def half_hooked(layers: Any, *others: Any) -> None:
    hooks.install(list(layers)[:2], *others)


@pytest.mark.parametrize(("install", "blocks"), [(unhooked, "0, 1, 2, 3"), (half_hooked, "2, 3")], ids=["all", "some"])
def test_shifts_that_do_not_arrive_are_refused(
    tokenizer: PreTrainedTokenizerFast, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, install: Any, blocks: str
) -> None:
    monkeypatch.setattr(worker, "install", install)
    with pytest.raises(ModelError, match=f"does not reach the model's output from block {blocks}:"):
        made_pair("llama", tokenizer, tmp_path)


@pytest.mark.parametrize("starts", [True, False])
def test_the_banks_file_goes_with_its_engine(
    tokenizer: PreTrainedTokenizerFast, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, starts: bool
) -> None:
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    if starts:
        pair = made_pair("llama", tokenizer, tmp_path)
        assert [path.name for path in (tmp_path / "temporary").glob("vispa-*/*")] == ["bank.safetensors"]
        del pair
    else:
        monkeypatch.setattr(runners, "_RUNNERS", {})
        with pytest.raises(ModelError):
            made_pair("llama", tokenizer, tmp_path)
    gc.collect()
    assert not list((tmp_path / "temporary").glob("vispa-*"))


def test_another_runner_is_refused(
    tokenizer: PreTrainedTokenizerFast, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runners, "_RUNNERS", {})
    with pytest.raises(ModelError, match="does not know the model runner"):
        made_pair("llama", tokenizer, tmp_path)


def test_a_runner_whose_steps_are_not_told_is_refused(
    tokenizer: PreTrainedTokenizerFast, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "follow", lambda *_: "deaf")
    with pytest.raises(ModelError):
        made_pair("llama", tokenizer, tmp_path)


def test_a_bank_of_another_shape_is_refused(tokenizer: PreTrainedTokenizerFast, tmp_path: Path) -> None:
    loaded = small_model("llama", tokenizer, tmp_path)
    bank = random_bank(loaded)
    parts = vars(bank.entries["mean"].directions).items()
    shorter = Directions(**{name: part if part is None else part[:, :3].clone() for name, part in parts})
    entries = {"mean": replace(bank.entries["mean"], directions=shorter)}
    bank = VectorBank(bank.info, entries, bank.residual_norm[:3].clone(), bank.recipe)
    with pytest.raises(ModelError, match="of a model of 3 blocks"):
        VllmEngine(loaded, bank)


def parallel(**how: Any) -> Any:
    """Ways of running a model, as a worker's configuration says them; one of another vLLM may lack some."""
    config = SimpleNamespace(pipeline_parallel_size=1, prefill_context_parallel_size=1, **how)
    compilation = SimpleNamespace(pass_config=SimpleNamespace(enable_sp=False), mode=0, cudagraph_mode=0)
    return SimpleNamespace(parallel_config=config, compilation_config=compilation)


def check_ways(config: Any, *, checked: bool = False) -> None:
    steered = object.__new__(SteeredWorker)
    steered._config, steered._settings = config, Settings("a", checked=checked)
    steered._check_ways()


@pytest.mark.parametrize(
    "how",
    [
        {"enable_dbo": True},
        {"enable_dbo": True, "use_ubatching": True},
        {"enable_dbo": False, "use_ubatching": True},
        {"use_ubatching": True},
    ],
)
def test_micro_batches_are_refused(how: dict[str, Any]) -> None:
    with pytest.raises(RuntimeError, match="micro-batches"):
        check_ways(parallel(**how))


@pytest.mark.parametrize("how", [{}, {"enable_dbo": False}, {"enable_dbo": False, "use_ubatching": False}])
def test_whole_batches_are_taken(how: dict[str, Any]) -> None:
    check_ways(parallel(**how))


@pytest.mark.parametrize(("size", "refused"), [(0, False), (1, False), (2, True), (4, True)])
def test_micro_batches_as_vllm_says_them(size: int, refused: bool) -> None:
    from vllm.config import ParallelConfig

    config = parallel()
    config.parallel_config = ParallelConfig(ubatch_size=size)
    with pytest.raises(RuntimeError, match="micro-batches") if refused else nullcontext():
        check_ways(config)


@pytest.mark.parametrize(("told", "checked", "refused"), [("1", False, True), ("1", True, False), ("0", False, False)])
def test_another_front_end_is_refused(monkeypatch: pytest.MonkeyPatch, told: str, checked: bool, refused: bool) -> None:
    """It hands requests on unchecked; but where this package starts vLLM, no server is in front."""
    monkeypatch.setenv("VLLM_USE_RUST_FRONTEND", told)
    with pytest.raises(RuntimeError, match="front end of Rust") if refused else nullcontext():
        check_ways(parallel(), checked=checked)


@pytest.mark.parametrize(
    ("attributes", "said"),
    [
        ({"is_quantized": True}, {}),
        ({}, {"quantization_config": {"quant_method": "bitsandbytes", "load_in_4bit": True}}),
        ({"is_quantized": True}, {"quantization_config": {"quant_method": "bitsandbytes", "load_in_8bit": True}}),
    ],
)
@pytest.mark.parametrize("on_disk", [False, True])
def test_models_that_are_quantised_as_they_are_loaded_are_refused(
    tokenizer: PreTrainedTokenizerFast, tmp_path: Path, attributes: Any, said: Any, on_disk: bool
) -> None:
    """Files that hold quantised weights are what vLLM reads too."""
    loaded = small_model("llama", tokenizer, tmp_path)
    _check_weights(loaded)
    vars(loaded.model).update(attributes)
    vars(loaded.model.config).update(said)
    if on_disk:
        file = tmp_path / "config.json"
        file.write_text(json.dumps(json.loads(file.read_text()) | {"quantization_config": {"quant_method": "fp8"}}))
        _check_weights(loaded)
        return
    for start in (_check_weights, lambda loaded: VllmEngine(loaded, random_bank(loaded))):
        with pytest.raises(ModelError, match=r"quantization: .* is quantised as it is loaded"):
            start(loaded)


def outputs_of(pair: Pair, argument: object, ids: list[int]) -> Any:
    from vllm import SamplingParams

    params = SamplingParams(
        temperature=0, max_tokens=8, detokenize=False, ignore_eos=True, stop_token_ids=[2],
        extra_args={ARGUMENT: argument},
    )  # fmt: skip
    (output,) = pair.vllm.running.run([(ids, params)])
    return tuple(output.outputs[0].token_ids)


def test_requests_name_values_in_a_text(pair: Pair) -> None:
    """As over HTTP in `vllm_xargs`."""
    prompt = pair.vllm.raw_prompt("What do you say?")
    for text, steers in (
        (VALUES[0], (Steer(VALUES[0]),)),
        (f"{VALUES[0]}:1.5, {VALUES[3]}:-1", (Steer(VALUES[0], 1.5), Steer(VALUES[3], -1.0))),
    ):
        (theirs,) = pair.transformers.generate([Row(prompt, steers)], Sampling(8))
        assert outputs_of(pair, text, list(prompt.ids)) == theirs.ids


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("honesty:1.0", "not in the bank"),
        (f"{VALUES[0]}:much", "weight"),
        (f"{VALUES[0]}:nan", "finite"),
        (f"{VALUES[0]}:3e38", "The shift .* is not finite"),
        (f"{VALUES[1]}:0.5,{VALUES[0]}:-3e38", "The shift .* is not finite"),
        (f"{VALUES[0]}:1e39", "finite number"),
        (":1", "Give names"),
        ("", "Give names"),
        (7, "Give names"),
        ({"steers": []}, "Give names"),
    ],
)
def test_arguments_that_cannot_be_are_refused(pair: Pair, argument: object, message: str) -> None:
    with pytest.raises(TextError, match=message):
        outputs_of(pair, argument, [1, 5, 6])
    # Whoever comes next is answered.
    assert outputs_of(pair, VALUES[0], [1, 5, 6])


def test_prompts_too_long_to_be_measured_are_refused(pair: Pair) -> None:
    row = Row(pair.vllm.raw_prompt("long " * 40), (Steer(VALUES[0], recipe=CALIBRATED),))
    with pytest.raises(TextError, match="max_num_batched_tokens"):
        pair.vllm.generate([row], Sampling(4))
    assert pair.vllm.generate([Row(row.prompt, (Steer(VALUES[0]),))], Sampling(4))[0].tokens


def test_values_without_a_bank_are_refused(tokenizer: PreTrainedTokenizerFast, tmp_path: Path) -> None:
    plain = VllmEngine(small_model("llama", tokenizer, tmp_path))
    with pytest.raises(InputError, match="need a bank"):
        plain.generate([Row(plain.raw_prompt("Hello"), (Steer(VALUES[0]),))], Sampling(2))
    with pytest.raises(TextError, match="without a bank"):
        outputs_of(Pair(plain, plain), VALUES[0], [1, 5, 6])  # type: ignore[arg-type]
    assert plain.generate([Row(plain.raw_prompt("Hello"))], Sampling(2))[0].tokens


def test_vllm_takes_the_bank_as_an_option() -> None:
    from vllm.engine.arg_utils import AsyncEngineArgs
    from vllm.utils.argparse_utils import FlexibleArgumentParser

    register()
    parser = AsyncEngineArgs.add_cli_args(FlexibleArgumentParser())
    given = ["--vispa-bank", "a.safetensors", "--additional-config", '{"other": 1}']
    found = AsyncEngineArgs.from_cli_args(parser.parse_args(given))
    assert isinstance(found, AsyncEngineArgs)
    assert found.additional_config == {"other": 1, ARGUMENT: {"bank": "a.safetensors"}}
    assert settings_of(found) == Settings("a.safetensors")
    assert settings_of(AsyncEngineArgs.from_cli_args(parser.parse_args([]))) is None


def test_what_a_request_says_survives_the_way() -> None:
    one = Asked((Steer("karma", -0.5, CALIBRATED), Steer("honor")), True, (3, 9), 40, 7, whole=True)
    assert asked(json.loads(json.dumps(one.as_argument()))) == one
    assert recipe_text(RESIDUAL) != recipe_text(CALIBRATED)
