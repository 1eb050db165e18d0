"""Situations whose content words the training corpus does not hold."""

from __future__ import annotations

import csv
import re
from pathlib import Path

from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

from training.sources import Sources

UNSEEN = Path(__file__).parent / "data" / "unseen_situations.csv"


def content_words(text: str) -> frozenset[str]:
    """The stems of a text's words, scikit-learn's English stop words left out."""
    return frozenset(stem(word) for word in re.findall(r"[a-z]+", text.lower()) if word not in ENGLISH_STOP_WORDS)


def stem(word: str) -> str:
    """A crude stem: English endings are cut from longer words."""
    for ending in ("izing", "ising", "ing", "ers", "er", "ed", "es", "s", "e"):
        if word.endswith(ending) and len(word) - len(ending) >= 4:
            return word[: -len(ending)]
    return word


def corpus_words(sources: Sources) -> frozenset[str]:
    """The stems of all content words that a document of the corpus can hold."""
    phrases = sources.phrases
    texts: list[str] = [*phrases.someone, *phrases.circumstances, *phrases.frames]
    texts += [wording for wordings in phrases.choice.values() for wording in wordings]
    texts += [scene.text for scene in (*sources.acts, *sources.situations)]
    for slug in sources.values:
        texts += sources.persona_sentences[slug] + sources.anti_persona_sentences[slug]
        texts += sources.voices[slug].comment_sentences() + sources.voices[slug].anti_comments
    return frozenset().union(*map(content_words, texts))


def unseen_situations(sources: Sources) -> list[str]:
    """The situations of `data/unseen_situations.csv` that share no content word with the corpus."""
    known = corpus_words(sources)
    with UNSEEN.open(encoding="utf-8", newline="") as file:
        texts = [row["situation"] for row in csv.DictReader(file)]
    return [text for text in texts if not content_words(text) & known]
