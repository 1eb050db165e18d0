"""The type of numbers that `auto` takes: bfloat16 only where the processor is good at it; threads."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from vispa.errors import ModelError
from vispa.files.folders import CACHE_VARIABLE
from vispa.models import placement, processor
from vispa.models.loading import LoadedModel, load_model

X86 = {"architecture": "x86_64", "cpu_name": "a processor", "avx512_bf16": True, "amx_bf16": False}


@pytest.fixture
def times(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[dict[torch.dtype, float]]:
    """Seconds that a product takes in each type, on a processor with the instructions and an empty cache folder."""
    taken = {torch.bfloat16: 1.0, torch.float32: 2.0}
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: X86)
    monkeypatch.setattr(processor, "_seconds", taken.__getitem__)
    processor.has_fast_bfloat16.cache_clear()
    yield taken
    processor.has_fast_bfloat16.cache_clear()


def again() -> bool:
    """As a later process finds it."""
    processor.has_fast_bfloat16.cache_clear()
    return processor.has_fast_bfloat16()


@pytest.mark.parametrize(("seconds", "fast"), [(1.0, True), (3.0, False)])
def test_the_verdict_is_measured_once(times: dict[torch.dtype, float], seconds: float, fast: bool) -> None:
    times[torch.bfloat16] = seconds
    assert again() is fast
    times.clear()
    assert again() is fast


def test_without_the_instructions_nothing_is_measured(
    times: dict[torch.dtype, float], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    times.clear()
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {**X86, "avx512_bf16": False})
    assert not again()
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize("found", ["", "[]", '{"a processor', '{"other": false}'])
def test_a_damaged_verdict_is_measured_anew(times: dict[torch.dtype, float], tmp_path: Path, found: str) -> None:
    path = tmp_path / "cache" / "processor.json"
    path.parent.mkdir()
    path.write_text(found)
    assert again()
    assert True in json.loads(path.read_text()).values()


def test_a_folder_that_cannot_be_written_to_stops_nothing(
    times: dict[torch.dtype, float], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "file" / "cache"))
    assert again()


def test_a_real_product_takes_time() -> None:
    assert 0 < processor._seconds(torch.float32) < 5


@pytest.mark.parametrize("fast", [True, False])
def test_auto_takes_what_the_processor_is_good_at_and_others_are_obeyed(
    fast: bool, llama: LoadedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    llama.model.save_pretrained(tmp_path)
    llama.tokenizer.save_pretrained(tmp_path)
    load_model(str(tmp_path), dtype="bfloat16", device="cpu").model.save_pretrained(tmp_path)
    monkeypatch.setattr(placement, "has_fast_bfloat16", lambda: fast)
    assert load_model(str(tmp_path), device="cpu").model.dtype == (torch.bfloat16 if fast else torch.float32)
    for dtype in (torch.float16, torch.bfloat16, torch.float32):
        assert load_model(str(tmp_path), dtype=dtype, device="cpu").model.dtype == dtype
    assert placement.chosen_dtype("auto", torch.device("cuda")) == placement.chosen_dtype("auto", None) == "auto"


# ---------------------------------------------------------------- threads


@pytest.fixture
def restored_threads() -> Iterator[int]:
    before = torch.get_num_threads()
    yield before
    torch.set_num_threads(before)


def test_threads_are_those_asked_for(restored_threads: int) -> None:
    cores = os.cpu_count() or 1
    for count in (1, cores):
        load_model(threads=count)
        assert torch.get_num_threads() == count
    load_model()
    assert torch.get_num_threads() == cores


@pytest.mark.parametrize("count", [0, -1, 1.5, True, "2", (os.cpu_count() or 1) + 1, 10_000])
def test_threads_that_cannot_be(count: object, restored_threads: int) -> None:
    with pytest.raises(ModelError, match=r"threads: is .*Give a whole number from 1 to \d+"):
        load_model(threads=count)  # type: ignore[arg-type]
    assert torch.get_num_threads() == restored_threads
