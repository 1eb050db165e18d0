"""A `~` at the beginning of a model's path is the user's home, whatever loads the model."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from test_languages import random_encoder
from test_nli import save_model

from vispa.errors import ModelError
from vispa.files.folders import cache_folder
from vispa.models.encoder import SentenceTransformersEncoder
from vispa.models.loading import LoadedModel, load_model
from vispa.models.nli import NliClassifier
from vispa.models.pretrained import expanded


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize("name", ["smollm2", "of/hub", "./~", "a~b", ""])
def test_other_names_stay(name: str) -> None:
    assert expanded(name) == name


def test_a_language_model_is_found(home: Path, llama: LoadedModel) -> None:
    llama.model.save_pretrained(home / "llama")
    llama.tokenizer.save_pretrained(home / "llama")
    assert load_model("~/llama", device="cpu").name == str(home / "llama")


@pytest.mark.parametrize(
    ("save", "load"),
    [
        (save_model, lambda name: NliClassifier(name, contrast=True, cut="only_first", device="cpu")),
        (random_encoder, SentenceTransformersEncoder),
    ],
)
def test_what_selectors_read_with_is_found(
    home: Path, save: Callable[[Path], object], load: Callable[[str], object]
) -> None:
    save(home / "mine")
    assert load("~/mine")


@pytest.mark.parametrize(
    ("load", "field"),
    [
        (load_model, "model"),
        (lambda name: NliClassifier(name, contrast=True, cut="only_first", field="judge"), "judge"),
        (SentenceTransformersEncoder, "encoder"),
    ],
)
@pytest.mark.parametrize(
    ("name", "problem"),
    [("~/nowhere", "(is not a folder|cannot be loaded)"), ("~nobody-of-that-name/x", "is in a home that is not known")],
)
def test_what_is_not_there_is_refused(
    home: Path, name: str, problem: str, load: Callable[[str], object], field: str
) -> None:
    with pytest.raises(ModelError, match=rf"^{field}: .*nowhere|of-that-name.* {problem}"):
        load(name)


@pytest.mark.parametrize(("given", "expected"), [("~/vc", "vc"), ("~", ""), ("~/a/../vc", "a/../vc")])
def test_the_cache_may_be_in_the_home(home: Path, monkeypatch: pytest.MonkeyPatch, given: str, expected: str) -> None:
    monkeypatch.setenv("VISPA_CACHE", given)
    assert cache_folder() == home / expected


@pytest.mark.parametrize("given", ["/a/~/b", "~nobody-has-this-name/vc", "relative/~"])
def test_other_places_of_the_cache_stay(monkeypatch: pytest.MonkeyPatch, given: str) -> None:
    monkeypatch.setenv("VISPA_CACHE", given)
    assert cache_folder() == Path(given)
