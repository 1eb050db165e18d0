"""What a batch's settings say of what was loaded, where the machine decides over what was left open."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from copy import copy, deepcopy
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from vispa.errors import InputError
from vispa.generation.transformers import TransformersEngine
from vispa.items.answering import batch_settings
from vispa.items.begun import check_begun, settings_path
from vispa.items.differing import differences
from vispa.items.loaded import as_loaded
from vispa.models.loading import LoadedModel
from vispa.pipeline import Vispa
from vispa.readers.local import LocalChat
from vispa.request import Sampling
from vispa.steering.fitting import fit_bank
from vispa.taxonomy import Taxonomy

#: As a command gives them that leaves type and device open.
OPEN = {"dtype": "auto", "device": None}


@pytest.fixture
def vispa(llama: LoadedModel, small_taxonomy: Taxonomy) -> Vispa:
    selector: Any = SimpleNamespace(taxonomy=small_taxonomy, name="embedding:one")
    return Vispa(llama, fit_bank(llama, small_taxonomy), selector, taxonomy=small_taxonomy)


def in_type(dtype: torch.dtype) -> Callable[[Vispa, pytest.MonkeyPatch], Vispa]:
    """The same model as another machine would have read it."""

    def changed(vispa: Vispa, patches: pytest.MonkeyPatch) -> Vispa:
        other = copy(vispa)
        # Its fingerprint stays: that of a checkpoint does not hang on the type that it is read in.
        known: Any = vispa.model
        other.model = SimpleNamespace(  # type: ignore[assignment]
            fingerprint=known.fingerprint, device=known.device, blocks=known.blocks, model=SimpleNamespace(dtype=dtype)
        )
        return other

    return changed


def on_gpu(vispa: Vispa, patches: pytest.MonkeyPatch) -> Vispa:
    patches.setattr(TransformersEngine, "device", "cuda")
    patches.setattr(LoadedModel, "device", torch.device("cuda", 1))
    return vispa


def engine_on_gpu(vispa: Vispa, patches: pytest.MonkeyPatch) -> Vispa:
    """As vLLM has a device of its own."""
    patches.setattr(TransformersEngine, "device", "cuda")
    return vispa


def with_selector(name: str) -> Callable[[Vispa, pytest.MonkeyPatch], Vispa]:
    def changed(vispa: Vispa, _: pytest.MonkeyPatch) -> Vispa:
        return vispa.variant(selector=SimpleNamespace(taxonomy=vispa.taxonomy, name=name))  # type: ignore[arg-type]

    return changed


OTHERS = [
    (in_type(torch.bfloat16), "dtype (float32, now bfloat16)"),
    (in_type(torch.float16), "dtype (float32, now float16)"),
    (on_gpu, "device (cpu, now cuda)"),
    (engine_on_gpu, "engine_device (not given, now cuda)"),
    (with_selector("mpnet (bfloat16 on cpu)"), "selector_name (embedding:one, now mpnet (bfloat16 on cpu))"),
]


def begin(output: Path, settings: Mapping[str, Any]) -> None:
    output.write_text('{"id": 1, "values": []}\n')
    settings_path(output).write_text(json.dumps(settings))


@pytest.mark.parametrize(("other", "told"), OTHERS)
def test_what_the_machine_decides_is_compared_too(
    other: Callable[[Vispa, pytest.MonkeyPatch], Vispa],
    told: str,
    vispa: Vispa,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    output = tmp_path / "out.jsonl"
    before = batch_settings(vispa, OPEN, Sampling(8))
    begin(output, before)
    check_begun(output, before)
    now = batch_settings(other(vispa, monkeypatch), OPEN, Sampling(8))
    with pytest.raises(InputError) as found:
        check_begun(output, now)
    assert f"was begun with other {told}. Use the same settings" in str(found.value)
    # So are workers, of which one command leaves the same open on every machine.
    assert differences(before, now).startswith(told.split(" ", maxsplit=1)[0])


def test_another_reader_tells_its_own_numbers(vispa: Vispa, llama: LoadedModel) -> None:
    assert as_loaded(vispa) == {"dtype": "float32", "device": "cpu", "selector_name": "embedding:one"}
    coarse = replace(llama, model=deepcopy(llama.model).to(torch.bfloat16))
    other = copy(vispa)
    other.reader = LocalChat(TransformersEngine(coarse))
    assert as_loaded(other) == {**as_loaded(vispa), "reader_dtype": "bfloat16", "reader_device": "cpu"}


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        (OPEN, None),
        ({"dtype": "float32", "device": None}, None),
        ({"dtype": "float32", "device": "cpu"}, None),
        ({"dtype": "auto", "device": "cpu:0"}, None),
        ({"dtype": "bfloat16", "device": None}, "dtype (bfloat16, now float32)"),
        ({"dtype": "auto", "device": "cuda:1"}, "device (cuda, now cpu)"),
        ({"dtype": "float16", "device": "mps"}, "device (mps, now cpu), dtype (float16, now float32)"),
    ],
)
def test_an_output_of_an_earlier_version_is_gone_on_with_where_nothing_contradicts(
    asked: dict[str, Any], told: str | None, vispa: Vispa, tmp_path: Path
) -> None:
    output, now = tmp_path / "out.jsonl", batch_settings(vispa, OPEN, Sampling(8))
    # They wrote what was asked for, and not which selector was loaded.
    begin(output, {name: what for name, what in {**now, **asked}.items() if name != "selector_name"})
    if told is None:
        check_begun(output, now)
        return
    with pytest.raises(InputError) as found:
        check_begun(output, now)
    assert f"was begun with other {told}. Use" in str(found.value)
