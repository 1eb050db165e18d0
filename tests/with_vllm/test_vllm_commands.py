"""Commands give over vLLM what they give over transformers."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from small import small_model
from transformers import PreTrainedTokenizerFast
from typer.testing import CliRunner

from vispa.cli.main import app

TEXTS = ["May I lie to my boss?", "My sister sold our mother's ring", "Should I vote?"]
MODES = ("overton", "steerable", "distributional")


@pytest.fixture(scope="module")
def model(tokenizer: PreTrainedTokenizerFast, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    small_model("llama", tokenizer, folder)
    return folder


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """One for both engines, so that they have one bank."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VISPA_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


def run(*arguments: str) -> str:
    found = CliRunner().invoke(app, list(arguments))
    assert found.exit_code == 0, found.output
    return found.stdout


def both(*arguments: str) -> tuple[str, str]:
    theirs, ours = (run(*arguments, "--engine", engine) for engine in ("transformers", "vllm"))
    return theirs, ours


def same(one: Any, other: Any, path: str = "") -> None:
    """Texts and everything else alike, numbers but for rounding; what names the engine may differ."""
    if isinstance(one, dict):
        assert one.keys() == other.keys(), path
        for key in one.keys() - {"engine", "versions", "threads", "provenance"}:
            same(one[key], other[key], f"{path}.{key}")
    elif isinstance(one, list):
        assert len(one) == len(other), path
        for place, (left, right) in enumerate(zip(one, other, strict=True)):
            same(left, right, f"{path}[{place}]")
    elif isinstance(one, float):
        assert other == pytest.approx(one, rel=1e-3, abs=1e-3), path
    else:
        assert one == other, path


@pytest.mark.parametrize("mode", MODES)
def test_a_text_is_answered_alike(model: Path, mode: str) -> None:
    selecting = ["--k", "3"]
    asked = {
        "overton": selecting,
        "steerable": ["--toward", "honor"],
        "distributional": ["--options", "Yes|No", *selecting],
    }[mode]
    theirs, ours = both(
        "respond", TEXTS[0], "--model", str(model), "--dtype", "float32", "--max-new-tokens", "16", "--json",
        "--mode", mode, *asked,
    )  # fmt: skip
    one, other = json.loads(theirs), json.loads(ours)
    assert "vllm" in ours and "vllm" not in theirs
    same(one, other)


def test_many_texts_are_answered_alike(model: Path, tmp_path: Path) -> None:
    source = tmp_path / "texts.txt"
    source.write_text("\n".join(TEXTS * 2))
    for engine in ("transformers", "vllm"):
        run(
            "batch", str(source), "-o", str(tmp_path / engine), "--model", str(model), "--dtype", "float32", "--k", "2",
            "--max-new-tokens", "12", "--engine", engine,
        )  # fmt: skip
    theirs, ours = (
        [json.loads(line) for line in (tmp_path / engine).read_text().splitlines()]
        for engine in ("transformers", "vllm")
    )
    assert len(theirs) == len(TEXTS) * 2
    same(theirs, ours)


def test_sizes_are_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from benchmarks import vllm_sizes

    monkeypatch.setenv("VLLM_ENABLE_V1_MULTIPROCESSING", "0")
    file = tmp_path / "figures.json"
    vllm_sizes.main(
        [
            "tiny", "--rows", "4", "--prompt", "5", "--tokens", "3", "--rounds", "2", "--eager", "--dtype", "float32",
            "--arguments", os.environ["VISPA_VLLM"], "--json", str(file),
        ]
    )  # fmt: skip
    figures = json.loads(file.read_text())
    assert {len(seconds) for seconds in figures["seconds"].values()} == {2}
    shown = capsys.readouterr().out
    for side in ("named", "distinct", "measured"):
        assert figures[f"{side} / unsteered"]["lowest"] > 0
        assert f"{side} / unsteered: " in shown
