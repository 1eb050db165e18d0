"""What vLLM reads for fitting is what transformers reads."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from small import small_model
from transformers import PreTrainedTokenizerFast
from typer.testing import CliRunner

from vispa.cli.main import app
from vispa.errors import ModelError, NumericalError
from vispa.generation.vllm import worker
from vispa.generation.vllm.reading import VllmActivations
from vispa.steering.activations import read_activations
from vispa.steering.bank import VectorBank
from vispa.steering.bank_cache import bank_path, cached_bank
from vispa.steering.readings import READINGS, Reading
from vispa.steering.value_fits import ValueFits
from vispa.taxonomy import Taxonomy

# Of one token, of many, of more than are read, and one that stands there twice.
TEXTS = ["a", "Once upon a time", "He lied to her.", "Once upon a time", "long " * 300, "Where is the money? " * 7]


@pytest.mark.parametrize("kind", ["llama", "qwen3", "gemma3_text"])
def test_readings_are_those_of_transformers(
    kind: str, tokenizer: PreTrainedTokenizerFast, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = json.loads(os.environ["VISPA_VLLM"]) | {"max_num_batched_tokens": 320, "block_size": 32}
    monkeypatch.setenv("VISPA_VLLM", json.dumps(given))
    loaded = small_model(kind, tokenizer, tmp_path)
    source = VllmActivations(loaded)
    told: list[int] = []
    wanted = tuple(READINGS)
    ours = source.read(TEXTS * 40, readings=wanted, progress=told.append)
    theirs = read_activations(loaded, TEXTS * 40, readings=wanted)
    assert sum(told) == len(TEXTS) * 40
    for reading in wanted:
        lengths = theirs[reading].norm(dim=-1)
        assert ((ours[reading] - theirs[reading]).norm(dim=-1) <= 1e-4 * lengths).all(), reading
    # Asked for less, in another order, after something else.
    less = source.read(TEXTS[:2], readings=("mean",))
    torch.testing.assert_close(less["mean"], ours["mean"][:2], rtol=1e-4, atol=1e-4)
    assert list(less) == ["mean"]
    assert source.read([], readings=("last",))["last"].shape == (0, 4, 128)


def test_what_is_not_finite_or_does_not_come_is_named(
    tokenizer: PreTrainedTokenizerFast, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = VllmActivations(small_model("llama", tokenizer, tmp_path))
    assert torch.isfinite(source.read(["A lie", "a"], readings=("last",))["last"]).all()
    fetched = source._fetched

    def broken(readings: Sequence[Reading]) -> dict[int, bytes]:
        found = fetched(readings)
        for number in list(found)[1:]:
            found[number] = np.full(4 * 128, np.nan, np.float32).tobytes()
        return found

    monkeypatch.setattr(source, "_fetched", broken)
    with pytest.raises(NumericalError, match=r"text 1 \('a'\) after block 0 is not finite"):
        source.read(["A lie", "a"], readings=("last",))

    def missing(readings: Sequence[Reading]) -> dict[int, bytes]:
        return dict(list(fetched(readings).items())[1:])

    monkeypatch.setattr(source, "_fetched", missing)
    with pytest.raises(NumericalError, match="did not tell the activations of 1 of 2 sentences"):
        source.read(["A lie", "a"], readings=("last",))


def test_blocks_that_are_elsewhere_are_refused(
    tokenizer: PreTrainedTokenizerFast, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "install", lambda *_, **__: None)
    with pytest.raises(ModelError, match="does not reach the model's output"):
        VllmActivations(small_model("llama", tokenizer, tmp_path)).read(["A lie"], readings=("last",))


def fitted(folder: Path, *arguments: str) -> VectorBank:
    found = CliRunner().invoke(app, ["fit", str(folder), "--dtype", "float32", "--json", *arguments])
    assert found.exit_code == 0, found.output
    return VectorBank.load(Path(json.loads(found.stdout)["path"]))


def test_a_bank_is_fitted_in_either_engine(
    tokenizer: PreTrainedTokenizerFast, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = small_model("llama", tokenizer, tmp_path / "model")
    banks = []
    for engine in ("transformers", "vllm"):
        monkeypatch.setenv("VISPA_CACHE", str(tmp_path / engine))
        banks.append(fitted(tmp_path / "model", "--engine", engine))
    theirs, ours = banks
    assert ours.info.versions["vllm"][0].isdigit() and "vllm" not in theirs.info.versions
    torch.testing.assert_close(ours.residual_norm, theirs.residual_norm, rtol=1e-4, atol=1e-4)
    for name, entry in theirs.entries.items():
        other = ours.entries[name].directions
        cosine = torch.cosine_similarity(entry.directions.vectors, other.vectors, dim=-1)
        assert float(cosine.min()) > 0.999, name
    # What one engine read is not taken for what the other reads.
    honor = Taxonomy.built_in().sentences_fingerprint("honor")
    paths = {ValueFits(loaded, source=one).path(honor) for one in (None, VllmActivations(loaded))}
    monkeypatch.setenv("VISPA_VLLM", json.dumps(json.loads(os.environ["VISPA_VLLM"]) | {"block_size": 64}))
    paths.add(ValueFits(loaded, source=VllmActivations(loaded)).path(honor))
    monkeypatch.setattr(torch, "get_num_threads", lambda: 77)
    paths.add(ValueFits(loaded, source=VllmActivations(loaded)).path(honor))
    assert len(paths) == 4


def test_a_bank_is_read_by_one_engine(
    tokenizer: PreTrainedTokenizerFast,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setenv("VISPA_CACHE", str(tmp_path / "cache"))
    loaded, taxonomy = small_model("llama", tokenizer, tmp_path / "model"), Taxonomy.built_in()
    first = cached_bank(loaded, taxonomy, estimators=("probe",))
    some = replace(first, entries={"probe": first.entries["probe"]})
    some.save(bank_path(loaded, taxonomy))
    found = fitted(tmp_path / "model", "--engine", "vllm")
    assert "was read by transformers: all is fitted anew by vllm" in caplog.text
    assert "vllm" in found.info.versions and found.entries.keys() == first.entries.keys()
    assert not torch.equal(found.entries["probe"].directions.vectors, first.entries["probe"].directions.vectors)
