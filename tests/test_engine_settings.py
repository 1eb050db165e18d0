"""What of an engine's own settings counts for a run: with others it is not gone on from."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from vispa.errors import InputError
from vispa.generation.transformers import TransformersEngine
from vispa.generation.vllm.engine import VllmEngine
from vispa.generation.vllm.starting import ARGUMENTS_VARIABLE
from vispa.items.answering import batch_settings
from vispa.models.loading import LoadedModel
from vispa.pipeline import Vispa
from vispa.request import Sampling
from vispa.steering.fitting import fit_bank
from vispa.taxonomy import Taxonomy


@pytest.mark.parametrize(
    ("given", "counted"),
    [
        ("", {}),
        ('{"dtype": "bfloat16", "max_model_len": 72}', {"dtype": "bfloat16", "max_model_len": 72}),
        ('{"max_model_len": 72, "dtype": "bfloat16"}', {"dtype": "bfloat16", "max_model_len": 72}),
        ('{"gpu_memory_utilization": 0.1, "kv_cache_memory_bytes": 5}', {}),
        ('{"gpu_memory_utilization": 0.1, "enforce_eager": false}', {"enforce_eager": False}),
    ],
)
def test_arguments_of_vllm_that_may_change_a_text_are_in_the_settings_of_a_run(
    given: str, counted: dict[str, Any], llama: LoadedModel, small_taxonomy: Taxonomy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(ARGUMENTS_VARIABLE, given)
    # vLLM itself is not needed to say them.
    found = VllmEngine.__new__(VllmEngine).settings
    assert found == {"engine_arguments": counted}
    bank = fit_bank(llama, small_taxonomy)
    vispa = Vispa(llama, bank, SimpleNamespace(taxonomy=small_taxonomy, name="none"), taxonomy=small_taxonomy)
    before = batch_settings(vispa, {}, Sampling(8))
    assert vispa.engine.settings == {} and "engine_arguments" not in before
    monkeypatch.setattr(TransformersEngine, "settings", found)
    assert batch_settings(vispa, {}, Sampling(8)) == {**before, "engine_arguments": counted}


@pytest.mark.parametrize("given", ["dtype=bfloat16", "[1]", "3"])
def test_what_is_no_object_is_refused(given: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ARGUMENTS_VARIABLE, given)
    with pytest.raises(InputError, match=ARGUMENTS_VARIABLE):
        _ = VllmEngine.__new__(VllmEngine).settings
