"""Hostile input to every command: refused in one line that names what is wrong, before any model is loaded."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import torch
from hostile.cases import Case
from hostile.stage import check, run
from hostile.tables import TABLES
from transformers.utils import logging

import vispa.models.loading
import vispa.pipeline
import vispa.steering.bank_cache
from vispa.models.loading import EMBEDDED, LoadedModel, load_model
from vispa.steering.bank import VectorBank
from vispa.steering.bank_parts import BankInfo, Entry
from vispa.steering.estimators.base import Directions
from vispa.steering.recipe import Recipe
from vispa.taxonomy import Taxonomy

CASES = [
    pytest.param(case, id=f"{table}-{number}-{case.name}")
    for table, cases in TABLES.items()
    for number, case in enumerate(cases)
]
#: A model or bank that every case may use: loaded or made once.
_embedded: dict[str, LoadedModel] = {}


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """No default of the machine's own, no network, and a cache that the case's folder does not see."""
    for name in [name for name in os.environ if name.startswith("VISPA_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("VISPA_CACHE", str(tmp_path_factory.getbasetemp() / "hostile-cache"))
    monkeypatch.setenv("XDG_CONFIG_HOME", "/nonexistent")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("COLUMNS", "200")
    # As `main` does by a variable, which is read when transformers is imported.
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]


@pytest.fixture
def loaded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the models that a case loads; the embedded one is loaded once for all."""
    names: list[str] = []

    def load(name: str = EMBEDDED, **options: Any) -> LoadedModel:
        names.append(name)
        plain = name == EMBEDDED and options.get("device") is None and options.get("dtype") == "auto"
        if not plain:
            return load_model(name, **options)
        if name not in _embedded:
            _embedded[name] = load_model(name)
        return _embedded[name]

    def bank(model: LoadedModel, taxonomy: Taxonomy, **_: Any) -> VectorBank:
        return _random_bank(model, taxonomy)

    for module in (vispa.pipeline, vispa.steering.bank_cache):
        monkeypatch.setattr(module, "cached_bank", bank)
    monkeypatch.setattr(vispa.models.loading, "load_model", load)
    monkeypatch.setattr(vispa.pipeline, "load_model", load)
    return names


def _random_bank(model: LoadedModel, taxonomy: Taxonomy) -> VectorBank:
    """A bank without a fit, which takes half a minute."""
    vectors = torch.randn(len(taxonomy), len(model.blocks), model.hidden_size, generator=torch.Generator())
    quality = torch.ones(vectors.shape[:2])
    entry = Entry(Directions(vectors=vectors, quality=quality, separation=quality), "last", "pairs")
    info = BankInfo(
        model=model.name,
        model_fingerprint=model.fingerprint,
        taxonomy_fingerprint=taxonomy.fingerprint,
        values=tuple(taxonomy),
        versions={},
    )
    recipe = Recipe("mean", (1,), magnitude="residual", amount=0.1)
    return VectorBank(info, {"mean": entry}, torch.ones(len(model.blocks)), recipe)


@pytest.mark.parametrize("case", CASES)
def test_hostile_input(case: Case, tmp_path: Path, loaded: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    check(case, run(case, tmp_path, monkeypatch))
    assert case.loads or not loaded, f"loaded {loaded}"
