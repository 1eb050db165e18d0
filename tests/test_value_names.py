"""Names of values: however they are written, and each of one value alone, in the language of a taxonomy too."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest
from conftest import write_taxonomy

from vispa.errors import TaxonomyError
from vispa.files.names import is_name
from vispa.taxonomy import Taxonomy
from vispa.taxonomy.languages import built_in_languages

LABELS = {"calm": "Ruhe", "thrift": "Sparsamkeit", "candor": "Offenheit"}


def named(folder: Path, aliases: str = "", **labels: str) -> Path:
    """Three values, the first with these aliases, and what they are called in German."""
    write_taxonomy(folder)
    values = folder / "values.toml"
    values.write_text(values.read_text().replace("[calm]\n", f"[calm]\naliases = [{aliases}]\n"))
    tables = [
        f'[{slug}]\nlabel = "{label}"\ndefinition = "Der Wert {label}."\n' for slug, label in (LABELS | labels).items()
    ]
    (folder / "values.de.toml").write_text("".join(tables), encoding="utf-8")
    return folder


@pytest.mark.parametrize(
    ("labels", "name", "other"),
    [
        ({"thrift": "Ruhe"}, "Ruhe", "de"),
        ({"candor": "RUHE"}, "RUHE", "de"),
        ({"candor": "Spar-Samkeit", "thrift": "spar_samkeit"}, "Spar-Samkeit", "de"),
        ({"thrift": "Calm"}, "Calm", ""),
        ({"calm": "candor"}, "candor", ""),
        ({"thrift": "At rest"}, "At rest", ""),
        ({"candor": "Sta\u0308rke", "calm": "stärke"}, "Sta\u0308rke", "de"),
    ],
)
def test_a_name_in_another_language_is_one_values(
    tmp_path: Path, labels: dict[str, str], name: str, other: str
) -> None:
    folder = named(tmp_path, '"at rest"', **labels)
    with pytest.raises(TaxonomyError) as caught:
        Taxonomy.load(folder, "de")
    assert f"the name {name!r} also belongs to" in str(caught.value)
    assert f"values.{other}.toml [".replace("..", ".") in str(caught.value).split("belongs to")[1]
    # Nobody asks for them by these names who does not read the language.
    assert Taxonomy.load(folder)["at rest"].slug == "calm"


@pytest.mark.parametrize("label", ["Calm", "at rest", "calm"])
def test_a_value_may_be_called_the_same_in_two_languages(tmp_path: Path, label: str) -> None:
    assert Taxonomy.load(named(tmp_path, '"at rest"', calm=label), "de")[label].slug == "calm"


def test_published_values_have_names_of_their_own_too(tmp_path: Path) -> None:
    for slug in ("honor", "ehre"):
        (tmp_path / f"{slug}_context_controlled.csv").write_text("question_1,question_2\nA b.,C d.\nE f.,G h.\n")
    assert len(Taxonomy.load(tmp_path)) == 2
    with pytest.raises(TaxonomyError, match=r"honor_context.*the name 'Ehre' also belongs to .*ehre_context"):
        Taxonomy.load(tmp_path, "de")


@pytest.mark.parametrize("language", built_in_languages())
@pytest.mark.parametrize("form", ["NFC", "NFD", "NFKC", "NFKD"])
def test_a_value_is_found_however_its_name_is_written(language: str, form: str) -> None:
    taxonomy = Taxonomy.built_in(language)
    for slug in taxonomy:
        label = unicodedata.normalize(form, taxonomy.shown(slug).label)  # type: ignore[arg-type]
        for name in (label, label.upper(), label.title(), label.casefold(), f" {label.replace(' ', '_')} "):
            assert taxonomy[name].slug == slug, name


@pytest.mark.parametrize(
    ("language", "name", "slug"),
    [
        ("tr", "İYİLİKSEVERLİK", "benevolence"),
        ("tr", "İyilikseverlik", "benevolence"),
        ("tr", "I\u0307yilikseverlik", "benevolence"),
        ("tr", "IYILIKSEVERLIK", "benevolence"),
        ("de", "Konformita\u0308t", "conformity"),
        ("de", "ＫＯＮＦＯＲＭＩＴＡ\u0308Ｔ", "conformity"),
        ("en", "ｈｏｎｏｒ", "honor"),
    ],
)
def test_forms_of_letters_and_turkish_dots(language: str, name: str, slug: str) -> None:
    assert Taxonomy.built_in(language)[name].slug == slug


def test_names_without_turkish_dots_are_one_name(tmp_path: Path) -> None:
    with pytest.raises(TaxonomyError, match="'Işık' also belongs to"):
        Taxonomy.load(named(tmp_path, calm="İŞİK", thrift="Işık"), "de")


@pytest.mark.parametrize(
    ("name", "is_one"),
    [
        ("करुणा", True), ("அன்பு", True), ("ความเมตตา", True), ("দয়া", True), ("é".encode().decode(), True),
        (unicodedata.normalize("NFD", "générosité"), True), ("仁愛", True), ("self-direction", True),
        ("\u0301", False), ("a\u200b", False), ("../करुणा", False), ("करुणा/x", False), (".करुणा", False), ("", False),
    ],
)  # fmt: skip
def test_names_of_any_script(name: str, is_one: bool) -> None:
    """Vowel signs of many scripts are marks, no letters."""
    assert is_name(name) is is_one
