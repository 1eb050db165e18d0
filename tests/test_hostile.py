"""Hostile input to every command: refused in one line that names what is wrong, before any model is loaded."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hostile.cases import Case
from hostile.doors import CALLS, REQUESTS
from hostile.files import make
from hostile.makers import MAKERS
from hostile.stage import check, run
from hostile.tables import TABLES
from random_banks import random_bank_of
from transformers.utils import logging

import vispa.models.loading
import vispa.pipeline
import vispa.steering.bank_cache
from vispa.cli.main import app
from vispa.errors import InputError
from vispa.models.loading import LoadedModel, load_model
from vispa.pipeline import Vispa
from vispa.request import EMBEDDED
from vispa.selection.embedding import EmbeddingSelector
from vispa.steering.bank import VectorBank
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
    monkeypatch.setenv("VISPA_MODEL", EMBEDDED)
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
        return random_bank_of(model, taxonomy)

    for module in (vispa.pipeline, vispa.steering.bank_cache):
        monkeypatch.setattr(module, "cached_bank", bank)
    monkeypatch.setattr(vispa.models.loading, "load_model", load)
    monkeypatch.setattr(vispa.pipeline, "load_model", load)
    return names


@pytest.mark.parametrize("case", CASES)
def test_hostile_input(case: Case, tmp_path: Path, loaded: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    check(case, run(case, tmp_path, monkeypatch))
    assert case.loads or not loaded, f"loaded {loaded}"


def test_there_are_cases_of_every_command() -> None:
    words = {case.arguments[0] for cases in TABLES.values() for case in cases}
    assert {command.name for command in app.registered_commands} <= words
    assert {group.name for group in app.registered_groups} <= words
    assert len(CASES) >= 300


@pytest.fixture(scope="module")
def vispa_of_python() -> Vispa:
    model, taxonomy = load_model(EMBEDDED), Taxonomy.built_in()
    return Vispa(model, random_bank_of(model, taxonomy), EmbeddingSelector(taxonomy), taxonomy=taxonomy)


@pytest.mark.parametrize(("fields", "words"), REQUESTS, ids=[words for _, words in REQUESTS])
def test_hostile_requests(fields: dict[str, Any], words: str, vispa_of_python: Vispa) -> None:
    with pytest.raises(InputError, match=re.escape(words)):
        vispa_of_python.respond(**{"text": "Feeding ducks", **fields})


@pytest.mark.parametrize("temperature", [5e-324, 1e-30, 1e300])
def test_temperatures_at_the_ends(temperature: float, vispa_of_python: Vispa) -> None:
    found = vispa_of_python.respond("Feeding ducks", values="karma", max_new_tokens=8, temperature=temperature)
    greedy = vispa_of_python.respond("Feeding ducks", values="karma", max_new_tokens=8)
    assert (found.comments[0].text == greedy.comments[0].text) == (temperature < 1)


@pytest.mark.parametrize(("call", "words"), CALLS, ids=[words for _, words in CALLS])
def test_hostile_calls(call: Callable[[], object], words: str) -> None:
    with pytest.raises(InputError, match=re.escape(words)):
        call()


ENDLESS = [["respond"], ["select"], ["respond", "-", "--json"]]


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="no /dev/zero")
@pytest.mark.parametrize("arguments", ENDLESS)
def test_an_endless_input_ends(arguments: list[str]) -> None:
    with Path("/dev/zero").open("rb") as endless:
        found = subprocess.run(
            [sys.executable, "-m", "vispa", *arguments], stdin=endless, capture_output=True, timeout=60, check=False
        )
    assert (found.returncode, found.stdout) == (2, b"")
    assert found.stderr == b"vispa: text: is larger than 1 MiB. Give a smaller one.\n"


def test_nobody_to_ask_is_no_fault(tmp_path: Path) -> None:
    bank = make(tmp_path, "a.safetensors", MAKERS["bank-sound"])
    found = subprocess.run(
        f'"{sys.executable}" -m vispa bank remove "{bank}" <&-',
        shell=True,
        capture_output=True,
        timeout=120,
        check=False,
    )
    assert found.returncode == 1 and bank.is_file()
    assert found.stderr.endswith(b"vispa: aborted.\n")
