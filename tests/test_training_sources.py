"""The authored material of the corpus: complete, unambiguous, and apart from what it is judged on."""

from __future__ import annotations

import csv
import re
from collections import Counter
from pathlib import Path

import pytest

from training.corpus import Grammar
from training.judge import Judge
from training.sources import ACTS, SITUATIONS, Sources, load_acts, load_sources

UNSEEN = Path(__file__).parents[1] / "benchmarks" / "data" / "unseen_situations.csv"
#: Fewest sentences of each part of a voice.
FEWEST = {
    "principles": 14,
    "support": 12,
    "oppose": 12,
    "mixed": 8,
    "personas": 16,
    "anti_personas": 12,
    "anti_comments": 10,
}


@pytest.fixture(scope="module")
def sources() -> Sources:
    return load_sources()


def test_every_voice_is_complete(sources: Sources) -> None:
    assert len(sources.voices) == 31
    for slug, voice in sources.voices.items():
        for part, fewest in FEWEST.items():
            assert len(getattr(voice, part)) >= fewest, (slug, part)


def test_every_entry_is_one_plain_sentence(sources: Sources) -> None:
    for slug, voice in sources.voices.items():
        for part in FEWEST:
            for sentence in getattr(voice, part):
                assert re.fullmatch(r"[A-Z][A-Za-z0-9 ,;:'-]+\.", sentence), (slug, part, sentence)
                assert 4 <= len(sentence.split()) <= 20, (slug, part, sentence)


def test_no_sentence_belongs_to_two_voices(sources: Sources) -> None:
    counts = Counter(
        sentence.lower() for voice in sources.voices.values() for part in FEWEST for sentence in getattr(voice, part)
    )
    assert [sentence for sentence, count in counts.items() if count > 1] == []


def test_acts_and_situations_are_told_once(sources: Sources) -> None:
    for scenes in (sources.acts, sources.situations):
        counts = Counter(scene.text.lower().rstrip(".?! ") for scene in scenes)
        assert [text for text, count in counts.items() if count > 1] == []
    for scene in sources.situations:
        assert scene.stances and set(scene.stances) <= set(sources.values), scene.text


def test_unseen_situations_share_no_content_word_with_the_corpus(sources: Sources) -> None:
    """At least sixty of them, stop words apart; the benchmark uses only those."""
    from benchmarks.unseen import unseen_situations

    assert len(unseen_situations(sources)) >= 60


def test_documents_depend_on_seed_and_number_alone(sources: Sources) -> None:
    one, two = Grammar(sources, 5), Grammar(sources, 5)
    assert [one.document(n) for n in (3, 99, 4)] == [two.document(n) for n in (3, 99, 4)]
    assert one.document(3) != Grammar(sources, 6).document(3)


def test_judge_knows_the_grammars_own_comments(sources: Sources) -> None:
    """Known-value text, without any model: every comment is whole and hits its own value alone."""
    import random

    judge, grammar, rng = Judge(sources), Grammar(sources, 1), random.Random(0)
    for value in sources.values:
        for _ in range(20):
            verdict = judge.judge(grammar.comment(rng, value, grammar.scene(rng)))
            assert verdict.hits(value) and not verdict.broken
            assert not any(verdict.hits(other) for other in sources.values if other != value)
        against = judge.judge(" ".join(sources.voices[value].anti_comments[:2]))
        assert against.against == {value} and not against.hits(value)


def test_judge_calls_other_text_broken(sources: Sources) -> None:
    judge = Judge(sources)
    said = sources.voices["karma"].principles[0]
    for text in ("", "Once upon a time.", f"{said} {said}", said[:-4], said.replace(" ", "  ", 1)):
        assert judge.judge(text).broken, text


def test_held_out_acts_are_not_in_the_corpus(sources: Sources) -> None:
    held_out = load_acts(UNSEEN.parent / "held_out_acts.csv")
    known = {scene.text.lower() for scene in sources.acts}
    assert len(held_out) >= 200 and not known & {scene.text.lower() for scene in held_out}


def test_csv_files_have_their_columns() -> None:
    files = {
        ACTS: {"kind", "act", "domain"},
        **{path: {"situation", "domain", "stances"} for path in SITUATIONS.glob("*.csv")},
    }
    assert len(files) > 1
    for path, columns in files.items():
        with path.open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                assert set(row) == columns and all(row.values()), (path.name, row)
