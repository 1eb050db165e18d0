"""Files of contrastive pairs as people write them by hand and with other programs."""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest import write_taxonomy

from vispa.errors import TaxonomyError
from vispa.taxonomy import ContrastivePair, Taxonomy


@pytest.mark.parametrize("header", ["positive,negative", "positive, negative", " question_1 , question_2"])
@pytest.mark.parametrize(
    "again", ["I rest.,I shout.", '"I rest.", "I shout."', "i REST. ,I  shout.", "\tI rest.,I\u00a0shout."]
)
def test_a_pair_stands_there_once(tmp_path: Path, header: str, again: str) -> None:
    path = write_taxonomy(tmp_path) / "pairs" / "calm.csv"
    path.write_text(f"{header}\nI rest.,I shout.\nI sit.,I shout.\n{again}\n", encoding="utf-8")
    with pytest.raises(TaxonomyError, match=r"calm\.csv line 4: holds the pair of line 2 again"):
        Taxonomy.load(tmp_path)


@pytest.mark.parametrize("more", ["I rest.,I run.", "I shout.,I rest.", "I rest!,I shout."])
def test_pairs_may_share_a_sentence(tmp_path: Path, more: str) -> None:
    path = write_taxonomy(tmp_path) / "pairs" / "calm.csv"
    path.write_text(f'positive, negative\n"I rest.", "I shout."\n{more}\n')
    first, _ = Taxonomy.load(tmp_path).pairs("calm")
    assert first == ContrastivePair("I rest.", "I shout.")


@pytest.mark.parametrize("header", ["positive;negative", "positive\tnegative", '"question_1";"question_2"'])
def test_pairs_of_another_delimiter(tmp_path: Path, header: str) -> None:
    path = write_taxonomy(tmp_path) / "pairs" / "calm.csv"
    path.write_text(f"{header}\nI rest, and sit.;I shout.\n")
    with pytest.raises(TaxonomyError, match=r"calm\.csv: has a single column.*Separate fields with commas"):
        Taxonomy.load(tmp_path)


def test_published_files_are_taken_as_they_are(tmp_path: Path) -> None:
    (tmp_path / "calm_context_controlled.csv").write_text("positive,negative\nI rest.,I shout.\nI rest.,I shout.\n")
    assert len(Taxonomy.load(tmp_path).pairs("calm")) == 2
