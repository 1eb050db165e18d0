"""The benchmarks run, and the two sides of each agree; their times are not looked at."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks import published_procedure as published
from benchmarks import ray_scale, second_reader, serving, update_speed, vllm_sizes, vllm_speed
from benchmarks.measure import Spread, Timer, Times, in_new_process, peak_allocation, peak_resident
from benchmarks.steering_speed.__main__ import PARTS, main
from benchmarks.steering_speed.memory import measure_memory
from benchmarks.steering_speed.setting import Setting, Sizes
from vispa.errors import ModelError

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def setting() -> Setting:
    return Setting.load("random", Sizes.small())


@pytest.mark.parametrize("name", [name for name in PARTS if name != "d"])
def test_both_sides_agree(setting: Setting, name: str) -> None:
    part = PARTS[name](setting, Timer(1, CPU))
    assert part.lines
    assert all(part.checks.values()), part.lines
    # Part e has no second opinion, and parts f and g none where nothing else is installed.
    assert part.checks or name in "efg"


def test_rows_that_arrive_in_requests_get_the_texts_of_the_offline_batch(capsys: pytest.CaptureFixture[str]) -> None:
    ratio = serving.main(["--rows", "6", "--each", "2", "--clients", "2", "--tokens", "3", "--rounds", "1"])
    assert ratio.median > 0
    assert "6 of 6 texts the same" in capsys.readouterr().out


def test_steering_adds_little_more_than_its_shifts(setting: Setting) -> None:
    """The shifts that are kept, and little besides."""
    figures = measure_memory(setting, Timer(1, CPU), resident=False).figures
    assert figures["expected bytes"] == 8 * len(setting.steered_blocks()) * 64 * 4 * 2
    assert 0 < figures["added tensor bytes"] <= 3 * figures["expected bytes"]


def test_command_line_writes_figures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "figures.json"
    arguments = ["--model", "embedded", "--small", "--rounds", "2", "--parts", "a", "--json", str(file)]
    assert main(arguments) == 0
    report = json.loads(file.read_text(encoding="utf-8"))
    assert report["machine"]["rounds"] == 2
    ratio = report["parts"]["a"]["figures"]["published / ours"]
    assert 0 < ratio["lowest"] <= ratio["median"] <= ratio["highest"]
    assert report["parts"]["a"]["checks"] == {"same texts, ours and published": True, "same epsilon": True}
    printed = capsys.readouterr().out
    assert "same texts, ours and published: 4 of 4" in printed
    assert torch.__version__ in printed


@pytest.mark.parametrize(
    "arguments", [["--parts", "a,z"], ["--rounds", "0"], ["--clock", "cpu", "--device", "cuda"], ["--model", "gpt"]]
)
def test_unusable_arguments_are_refused(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 2


# ---------------------------------------------------------------- setting


def test_no_row_can_end_early(setting: Setting) -> None:
    assert setting.loaded.tokenizer.eos_token_id is None
    assert setting.loaded.model.generation_config.eos_token_id is None


def test_prompts_come_from_all_parts_of_the_file_and_start_again(setting: Setting) -> None:
    few, many = setting.prompts(4), setting.prompts(256)
    assert len(set(few)) == 4
    assert len(many) == 256
    assert many[:80] == many[80:160]


def test_published_procedure_leaves_the_model_as_it_was(setting: Setting) -> None:
    probes = {1: published.BlockProbe(torch.eye(64)[0], 1.0, 0.0)}
    ids = torch.tensor([[1, 7, 9]])
    published.calibrate(setting.loaded, ids, probes, 0.9)
    published.greedy(setting.loaded, ids, {1: torch.ones(64)}, 2)
    published.read_one_by_one(setting.loaded, ["One."])
    assert not any(block._forward_hooks for block in setting.loaded.blocks)


# ---------------------------------------------------------------- measuring


def test_sides_take_turns_and_swap_their_order() -> None:
    calls: list[str] = []

    def side(name: str) -> str:
        calls.append(name)
        return name.upper()

    times, results = Timer(3, CPU).alternate({"a": lambda: side("a"), "b": lambda: side("b")})
    assert "".join(calls) == "ab" + "ab" + "ba" + "ab"
    assert results == {"a": "A", "b": "B"}
    assert {len(numbers) for numbers in times.seconds.values()} == {3}


def test_ratios_are_taken_within_rounds() -> None:
    times = Times({"slow": (2.0, 30.0, 8.0), "fast": (1.0, 10.0, 2.0)})
    assert times.ratio("slow", "fast") == Spread(3.0, 2.0, 4.0)


def test_processor_clock_does_not_count_waiting() -> None:
    import time

    times, _ = Timer(1, CPU, "cpu").alternate({"wait": lambda: time.sleep(0.2)})
    assert times.seconds["wait"][0] < 0.1


def test_peak_allocation_counts_what_is_held_at_a_time() -> None:
    def work() -> None:
        one = torch.ones(1000, 1000)
        two = one + 1
        del one
        three = two + 1
        del two, three

    assert peak_allocation(work, CPU) == pytest.approx(8_000_000, rel=0.01)


def test_new_process_holds_nothing_of_this_one() -> None:
    ballast = torch.ones(100_000_000)  # 400 MB
    here, there = peak_resident(), in_new_process(peak_resident)
    assert ballast.numel() and 0 <= there <= here
    assert not here or here - there >= 300_000_000


def test_a_model_that_cannot_be_fetched_is_skipped_with_a_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(name: str, **_options: object) -> None:
        raise ModelError("model", f"{name} cannot be fetched.", "Connect to a network.")

    monkeypatch.setattr("benchmarks.steering_speed.setting.load_model", refuse)
    assert main(["--model", "smollm2", "--small"]) == 0
    assert capsys.readouterr().out.startswith("not measured: model: smollm2 cannot be fetched.")


@pytest.mark.parametrize(
    ("engine", "variable", "script", "package"),
    [
        ("llama.cpp", "LLAMA_CPP", "yardstick_llama_cpp.py", "xllamacpp"),
        ("vLLM", "VLLM", "yardstick_vllm.py", "vllm"),
    ],
)
def test_another_engine_runs_in_its_own_interpreter(
    setting: Setting, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, engine: str, variable: str, script: str,
    package: str,
) -> None:  # fmt: skip
    stand_in = tmp_path / "python"
    stand_in.write_text(f"#!{sys.executable}\n{STAND_IN.replace('SCRIPT', script)}", encoding="utf-8")
    stand_in.chmod(0o755)
    # An interpreter of its own that has no such package, whatever the tests' has.
    bare = tmp_path / "bare"
    bare.write_text(f'#!/bin/sh\nexec {sys.executable} -S "$@"\n', encoding="utf-8")
    bare.chmod(0o755)
    monkeypatch.setenv(f"{variable}_MODEL", "a model")
    for interpreter, line in (
        (str(stand_in), f"{engine} (a model): 2 (2..2) s, 8 tokens/s"),
        (str(bare), f"{engine}: does not run here (ModuleNotFoundError: No module named '{package}')"),
        (str(tmp_path / "none"), f"{engine}: does not run here ("),
        ("", f"{engine}: not measured: set {variable}_PYTHON to its interpreter"),
    ):
        monkeypatch.setenv(f"{variable}_PYTHON", interpreter)
        lines = PARTS["g"](setting, Timer(3, CPU)).lines
        assert any(found.startswith(line) for found in lines), lines


STAND_IN = """
import json, sys
job = json.load(sys.stdin)
assert sys.argv[1].endswith("SCRIPT"), sys.argv
assert len(job["prompts"]) == 4 and job["new_tokens"] == 4 and job["model"] == "a model", job
assert job["dtype"] == "float32", job
print("a word of the engine's own")
print([2.0] * job["rounds"])
"""


def test_workers_over_ray_write_what_one_process_does(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("ray", reason="Ray is not installed.")
    found = ray_scale.main(["--items", "33", "--workers", "1", "--kill", "0", "--k", "1", "--tokens", "2"])
    assert found["ray / one process"].median > 0
    assert "33 items, each once, the same bytes" in capsys.readouterr().out


def test_an_update_gives_the_bytes_of_a_full_fit(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "figures.json"
    ratio = update_speed.main(["--pairs", "2", "--rounds", "1", "--json", str(file)])
    report = json.loads(file.read_text(encoding="utf-8"))
    assert report["command"] == "python -m benchmarks.update_speed --pairs 2 --rounds 1"
    assert report["same_bytes"] is True and report["update_to_full_fit"]["median"] == ratio.median
    assert set(report["seconds"]) == {"update", "full fit"} and report["versions"]["torch"]
    assert ratio.median > 0
    assert "the same bytes: True" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("one", "other", "common"),
    [
        ((), (1,), 0),
        ((1, 2), (1, 2), 2),
        ((1, 2, 3), (1, 9, 3), 1),
        (tuple(range(30)), tuple(range(30)), 16),
        ((1, 2), (1, 2, 3), 2),
        ((1, 2, 3), (1, 2), 2),
    ],
)
def test_texts_are_compared_up_to_the_first_token_that_differs(
    one: tuple[int, ...], other: tuple[int, ...], common: int
) -> None:
    assert vllm_speed._common_beginning(one, other) == common


# ---------------------------------------------------------------- a second reader


def test_a_second_reader_is_measured_like_a_selector(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "figures.json"
    second_reader.main(["--selectors", "embedding", "--limit", "60", "--json", str(file)])
    rows = [line for line in capsys.readouterr().out.splitlines() if " reader's |" in line]
    report = json.loads(file.read_text(encoding="utf-8"))
    assert len(rows) == 4 and set(report) == {"the other reader", "embedding"}
    for reader in ("first", "second"):
        for by_reader in report.values():
            figures = by_reader[reader]
            assert set(figures) == set(second_reader.COLUMNS) and figures["auc_by_value"]["n"] == 60
        # Readers agree with each other better than a selector with either.
        other, selector = (
            report[name][reader]["precision_at_6"]["estimate"] for name in ("the other reader", "embedding")
        )
        assert 0.5 < selector < other < 1


@pytest.mark.parametrize("seed", range(3))
def test_a_reader_tells_itself(seed: int) -> None:
    scale = np.random.default_rng(seed).choice(3, size=(40, 31), p=[0.7, 0.2, 0.1]).astype(float)
    scores = second_reader.in_random_order(scale, seed)
    assert np.array_equal(np.floor(scores), scale) and len(np.unique(scores)) == scores.size
    own = second_reader.told(scores, scale)
    assert own["auc_by_value"].estimate == own["auc_by_situation"].estimate == 1
    best = np.minimum((scale > 0).sum(1), 6).mean() / 6
    assert own["precision_at_6"].estimate == pytest.approx(best)


# ---------------------------------------------------------------- vLLM at a model's size


@pytest.mark.parametrize(("side", "different"), [("unsteered", 1), ("named", 31), ("distinct", 100), ("measured", 31)])
def test_sides_have_as_many_steers_as_they_say(side: str, different: int) -> None:
    found = [vllm_sizes.steers(side, row) for row in range(100)]
    assert len({repr(one) for one in found}) == different
    assert all((one is None) is (side == "unsteered") for one in found)
    assert all(one.whole is (side == "measured") for one in found if one is not None)


@pytest.mark.parametrize("size", ["tiny", "smollm2"])
def test_banks_fit_their_models(size: str, tmp_path: Path) -> None:
    vllm_sizes.write_config(size, tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    bank = vllm_sizes.random_bank(size)
    assert config["hidden_size"] == bank.width and config["num_hidden_layers"] == len(bank.residual_norm)
    assert config["architectures"] == ["LlamaForCausalLM"] and len(bank.info.values) == 31
