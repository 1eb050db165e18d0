"""The built-in taxonomy, and every way in which a user's own can be wrong."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest
from conftest import write_taxonomy

from vispa.errors import InputError, TaxonomyError
from vispa.taxonomy import ContrastivePair, Taxonomy

FIRST = {"i", "me", "my", "mine", "myself", "we", "us", "our", "ours", "ourselves"}
THIRD = {
    **dict.fromkeys(("he", "him", "his", "himself"), "he"),
    **dict.fromkeys(("she", "her", "hers", "herself"), "she"),
    **dict.fromkeys(("they", "them", "their", "theirs", "themselves"), "they"),
}


def words(sentence: str) -> list[str]:
    return re.findall(r"[a-z']+", sentence.lower())


def has_first_person(sentence: str) -> bool:
    return any(word.split("'")[0] in FIRST for word in words(sentence))


@pytest.fixture(scope="module")
def taxonomy() -> Taxonomy:
    return Taxonomy.built_in()


@pytest.fixture(scope="module")
def all_pairs(taxonomy: Taxonomy) -> list[tuple[str, ContrastivePair]]:
    return [(slug, pair) for slug in taxonomy for pair in taxonomy.pairs(slug)]


def test_thirty_one_values_in_five_families(taxonomy: Taxonomy) -> None:
    families = Counter(value.family for value in taxonomy.values)
    assert sorted(families.values()) == [4, 4, 6, 7, 10]
    assert {value.slug for value in taxonomy.values if value.polarity == "avoid"} == {"toxicity", "harmfulness"}
    for value in taxonomy.values:
        assert value.definition and value.theory and value.source
        assert 2 <= len(value.aliases) <= 3


def test_every_value_has_a_hundred_pairs_of_four_kinds(taxonomy: Taxonomy) -> None:
    for slug in taxonomy:
        kinds = Counter((pair.person, pair.form) for pair in taxonomy.pairs(slug))
        assert kinds == {(p, f): 25 for p in ("first", "third") for f in ("statement", "question")}, slug
        assert len({pair.scene for pair in taxonomy.pairs(slug)}) >= 8, slug


def test_no_sentence_occurs_twice(all_pairs: list[tuple[str, ContrastivePair]]) -> None:
    counts = Counter(" ".join(words(s)) for _, pair in all_pairs for s in (pair.positive, pair.negative))
    assert [sentence for sentence, count in counts.items() if count > 1] == []


def test_pairs_match_in_pronoun_and_form(all_pairs: list[tuple[str, ContrastivePair]]) -> None:
    for slug, pair in all_pairs:
        sides = (pair.positive, pair.negative)
        assert all(s.endswith("?" if pair.form == "question" else ".") for s in sides), (slug, pair)
        assert all(has_first_person(s) == (pair.person == "first") for s in sides), (slug, pair)
        if pair.person == "third":
            # The subject's pronoun comes first; who else is in the scene may differ.
            found = [next((THIRD[word] for word in words(s) if word in THIRD), None) for s in sides]
            assert found[0] == found[1] or None in found, (slug, pair)


def test_pairs_keep_length_and_scene(all_pairs: list[tuple[str, ContrastivePair]]) -> None:
    shares: dict[str, list[float]] = {}
    for slug, pair in all_pairs:
        positive, negative = words(pair.positive), words(pair.negative)
        assert 0.5 <= len(positive) / len(negative) <= 2, (slug, pair)
        common = len(set(positive) & set(negative)) / min(len(set(positive)), len(set(negative)))
        # All words may be shared where their order makes the difference (one for fifty, fifty for one).
        assert common >= 0.2 and positive != negative, (slug, pair)
        shares.setdefault(slug, []).append(common)
    for slug, found in shares.items():
        assert sum(found) / len(found) >= 0.45, slug


def test_names_are_found_by_label_and_alias(taxonomy: Taxonomy) -> None:
    assert taxonomy["Spirituality"].slug == "spiritual"
    assert taxonomy["honesty"].slug == "truthfulness"
    assert taxonomy["Long-Term_Orientation"].slug == "long-term_orientation"
    assert "kindness" in taxonomy and "nonsense" not in taxonomy


def test_unknown_value_offers_the_nearest(taxonomy: Taxonomy) -> None:
    with pytest.raises(InputError, match="Did you mean benevolence"):
        taxonomy["benevolense"]


def test_avoided_values_express_the_negative_sentences(taxonomy: Taxonomy) -> None:
    positive, _ = taxonomy.sentences("toxicity")
    assert positive[0] == taxonomy.pairs("toxicity")[0].negative
    positive, _ = taxonomy.with_polarity("paper").sentences("toxicity")
    assert positive[0] == taxonomy.pairs("toxicity")[0].positive
    assert taxonomy.fingerprint != taxonomy.with_polarity("paper").fingerprint


# ---------------------------------------------------------------- a user's own


def test_own_layout(tmp_path: Path) -> None:
    taxonomy = Taxonomy.load(write_taxonomy(tmp_path))
    assert list(taxonomy) == ["calm", "thrift", "candor"]
    assert len(taxonomy.pairs("candor")) == 8


def test_published_layout(tmp_path: Path) -> None:
    for slug in ("power_distance", "serenity"):
        (tmp_path / f"{slug}_context_controlled.csv").write_text(
            'question_1,question_2\n"I bow, always.",I nod.\nHe kneels.,He stands.\n', encoding="utf-8-sig"
        )
    taxonomy = Taxonomy.load(tmp_path)
    assert taxonomy.pairs("power_distance")[0] == ContrastivePair("I bow, always.", "I nod.")
    assert taxonomy["power_distance"].family == "Cultural dimensions"
    assert taxonomy["serenity"].label == "serenity"


def broken(folder: Path, what: str) -> Path:
    write_taxonomy(folder)
    pairs, values = folder / "pairs" / "calm.csv", folder / "values.toml"
    edits = {
        "header": lambda: pairs.write_text("good,bad\na,b\n"),
        "empty sentence": lambda: pairs.write_text("positive,negative\nI rest.,I shout.\nI sleep.,\n"),
        "equal sentences": lambda: pairs.write_text("positive,negative\nI rest.,I rest.\n"),
        "no pair": lambda: pairs.write_text("positive,negative\n"),
        "empty file": lambda: pairs.write_text(""),
        "not UTF-8": lambda: pairs.write_bytes(b"positive,negative\n\xff,b\n"),
        "missing pairs": pairs.unlink,
        "bad TOML": lambda: values.write_text("[calm"),
        "no value": lambda: values.write_text(""),
        "not a table": lambda: values.write_text("calm = 3\n"),
        "missing field": lambda: values.write_text('[calm]\nlabel = "calm"\nfamily = "x"\n'),
        "unknown field": lambda: values.write_text(
            '[calm]\nlabel = "calm"\nfamily = "x"\ndefinition = "y"\ncolour = "z"\n'
        ),
        "polarity": lambda: values.write_text(
            '[calm]\nlabel = "calm"\nfamily = "x"\ndefinition = "y"\npolarity = "up"\n'
        ),
        "aliases": lambda: values.write_text('[calm]\nlabel = "calm"\nfamily = "x"\ndefinition = "y"\naliases = "z"\n'),
        "same name": lambda: values.write_text(values.read_text() + 'aliases = ["calm"]\n'),
    }
    edits[what]()
    return folder


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("header", "calm.csv: has the header good,bad"),
        ("empty sentence", "calm.csv line 3: column negative is empty"),
        ("equal sentences", "calm.csv line 2: both sentences are the same"),
        ("no pair", "calm.csv: holds no pair"),
        ("empty file", r"calm.csv: has the header \(none\)"),
        ("not UTF-8", "calm.csv: is not UTF-8 .byte 18"),
        ("missing pairs", "calm.csv: is missing"),
        ("bad TOML", "values.toml: cannot be read"),
        ("no value", "values.toml: defines no value"),
        ("not a table", r"values.toml \[calm\]: is not a table"),
        ("missing field", "field definition is missing"),
        ("unknown field", "field colour is unknown"),
        ("polarity", "polarity is 'up'"),
        ("aliases", "aliases is not a list"),
        ("same name", "the name 'calm' also belongs to"),
    ],
)
def test_each_fault_has_a_clear_error(tmp_path: Path, what: str, message: str) -> None:
    with pytest.raises(TaxonomyError, match=message):
        taxonomy = Taxonomy.load(broken(tmp_path, what))
        taxonomy.pairs("calm")


def test_a_folder_without_a_taxonomy(tmp_path: Path) -> None:
    with pytest.raises(TaxonomyError, match="holds neither"):
        Taxonomy.load(tmp_path)
    with pytest.raises(TaxonomyError, match="is not a folder"):
        Taxonomy.load(tmp_path / "missing")
