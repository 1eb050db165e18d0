"""Which texts of the domains' suites come near others: `python -m training.near_copies [--data DIR] [--domains law]`.

Situations, questions and explanations are compared with what the embedded model and the selectors learned from, with
what they are measured on, and, with `--data`, with every text of VITAL and Modular Pluralism in a folder: by the share
of common words; situations and questions with each other and with situations and questions by their embeddings too.
Then come single sentences, options and targets that stand in one of those texts word for word
(`training.shared_sentences`). What is printed is reworded, or goes into `domains/left_out.csv`, by hand, after a look.
"""

from __future__ import annotations

import argparse
import csv
import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
from sklearn.feature_extraction.text import CountVectorizer

from training.domain_suites import DOMAINS, load_written
from training.readings import READ_ONCE, SPLITS
from training.shared_sentences import LEAST_OF_OPTION, shared, suite_sentences
from training.sources import load_sources
from training.told_values import BETWEEN, TOLD_VALUES
from vispa.models.encoder import load_encoder
from vispa.selection.labelled import load_situations

#: Cosine and share of common words from which on two texts are near.
COSINE, WORDS = 0.85, 0.6


def own_situations() -> set[str]:
    """What the embedded model and the selectors learned from as situations, and what selectors are measured on."""
    sources = load_sources()
    texts = {text for path in (*SPLITS.values(), READ_ONCE) for text in load_situations(path).texts}
    return texts | {scene.text.replace("{someone}", "someone") for scene in (*sources.acts, *sources.situations)}


def own_sentences() -> set[str]:
    """Everything else that the embedded model and the encoder that reads values learned from."""
    sources = load_sources()
    voices = (one for voice in sources.voices.values() for one in (voice.comment_sentences(), voice.anti_comments))
    personas = (*sources.persona_sentences.values(), *sources.anti_persona_sentences.values())
    return {text for texts in (*voices, *personas, told_texts()) for text in texts}


def told_texts(path: Path = TOLD_VALUES) -> set[str]:
    """Values as `name: definition` that the encoder learned to read."""
    with path.open(encoding="utf-8", newline="") as file:
        return {text for row in csv.DictReader(file) for text in row["values"].split(BETWEEN)}


def published(folder: Path, *fields: str) -> set[str]:
    """Texts in some fields of every JSON file in a folder; of a question what stands before its options."""
    found: set[str] = set()
    for path in sorted(folder.rglob("*.json")):
        for row in json.loads(path.read_text(encoding="utf-8")):
            found |= set(_strings(row.get(name) for name in fields))
    return {text.removeprefix("Question: ").split("\nOptions:")[0].strip() for text in found}


def _strings(values: Iterable[object]) -> Iterator[str]:
    for value in values:
        if isinstance(value, str):
            yield value
        elif isinstance(value, list):
            yield from _strings(value)


def common_words(ours: Sequence[str], others: Sequence[str]) -> Iterator[tuple[int, int, float]]:
    """Places of near texts, and the share of their words that both have."""
    counter = CountVectorizer(binary=True, token_pattern=r"\w+", dtype=np.int32).fit([*ours, *others])
    first, second = counter.transform(ours), counter.transform(others)
    sizes = [np.asarray(one.sum(1)).ravel() for one in (first, second)]
    both = (first @ second.T).tocoo()
    shares = both.data / (sizes[0][both.row] + sizes[1][both.col] - both.data)
    for place in np.flatnonzero(shares >= WORDS):
        yield int(both.row[place]), int(both.col[place]), float(shares[place])


def alike(ours: Sequence[str], others: Sequence[str]) -> Iterator[tuple[int, int, float]]:
    """Places of near texts, and the cosine of their embeddings."""
    encoder = load_encoder()
    cosines = encoder.encode(ours) @ encoder.encode(others).T
    for place, other in np.argwhere(cosines >= COSINE):
        yield int(place), int(other), float(cosines[place, other])


def suite_texts(domains: Iterable[str]) -> tuple[dict[str, str], dict[str, str]]:
    """Situations and questions of domains, and explanations, by what they are called."""
    texts: dict[str, str] = {}
    explanations: dict[str, str] = {}
    for domain in domains:
        written = load_written(domain)
        texts |= {f"{domain} {item}": text for item, text in written.situations.items()}
        texts |= {f"{domain} {item}": question for item, (question, *_) in written.questions.items()}
        for item, names in written.names.items():
            explanations |= {f"{domain} {item} {name}": text for name, text in names.items()}
    return texts, explanations


def main() -> None:
    """Print near texts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder of VITAL and Modular Pluralism")
    parser.add_argument("--domains", default=",".join(DOMAINS))
    arguments = parser.parse_args()
    domains = arguments.domains.split(",")
    ours, explanations = suite_texts(domains)
    situations, others = own_situations(), own_sentences()
    if arguments.data:
        situations |= published(arguments.data, "situation", "question")
        others |= published(arguments.data, "explanation", "options", "vrd")
    print(f"{len(ours)} situations and questions beside {len(situations)}", end=", ")
    print(f"{len(explanations)} explanations beside {len(others)} more", flush=True)
    known, everything = sorted(situations), sorted(situations | others)
    texts, every = list(ours.values()), ours | explanations
    for place, other, share in common_words(list(every.values()), everything):
        print(
            f"{list(every)[place]}: words {share:.2f}: {list(every.values())[place]} | {everything[other]}", flush=True
        )
    for first, second, share in (*common_words(texts, texts), *alike(texts, texts)):
        if first < second:
            print(
                f"{list(ours)[first]}, {list(ours)[second]}: {share:.2f}: {texts[first]} | {texts[second]}", flush=True
            )
    for place, other, share in alike(texts, known):
        print(f"{list(ours)[place]}: cosine {share:.2f}: {texts[place]} | {known[other]}")
    sentences, options = suite_sentences(domains)
    for name, words in (*shared(sentences, everything), *shared(options, everything, LEAST_OF_OPTION)):
        print(f"{name}: word for word: {words}")


if __name__ == "__main__":
    main()
