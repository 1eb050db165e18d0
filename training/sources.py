"""The authored material that the corpus grammar combines.

Everything is read from data files beside this module (`voices/`, `acts.csv`, `stances.toml`,
`phrases.toml`, `situations/`) and from the contrastive pairs that ship with the package.
"""

from __future__ import annotations

import csv
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

HERE = Path(__file__).resolve().parent
PACKAGE = HERE.parent / "src" / "vispa"
PAIRS = PACKAGE / "taxonomy" / "pairs"
SITUATIONS = HERE / "situations"
ACTS = HERE / "acts.csv"

Stance = Literal["support", "oppose", "either"]

#: Values whose pairs' positive sentences embody what the voice argues against.
AVOIDED = frozenset({"toxicity", "harmfulness"})

_SIGNS: dict[str, Stance] = {"+": "support", "-": "oppose", "~": "either"}


@dataclass(frozen=True)
class Voice:
    """What one value says: general principles, reasons by stance, and two kinds of speakers."""

    principles: tuple[str, ...]
    support: tuple[str, ...]
    oppose: tuple[str, ...]
    mixed: tuple[str, ...]
    personas: tuple[str, ...]
    anti_personas: tuple[str, ...]
    anti_comments: tuple[str, ...]

    def reasons(self, stance: Stance) -> tuple[str, ...]:
        """The sentences that argue for `stance`."""
        return {"support": self.support, "oppose": self.oppose, "either": self.mixed}[stance]

    def comment_sentences(self) -> tuple[str, ...]:
        """Every sentence with which a comment in this voice can be built."""
        return self.principles + self.support + self.oppose + self.mixed


@dataclass(frozen=True)
class Scene:
    """A situation with what is known of it: walk of life and the values' stances."""

    text: str
    domain: str | None
    stances: dict[str, Stance] = field(default_factory=dict)
    #: The words `someone` fills, where the text holds the slot `{someone}`.
    is_act: bool = False
    #: Number of the act's kind in `stances.toml`, or None where the situation is of no known kind.
    kind: int | None = None

    def stance(self, value: str) -> Stance:
        """How the value stands to the scene; `either` where nothing is known."""
        return self.stances.get(value, "either")


@dataclass(frozen=True)
class Phrases:
    """Word lists of `phrases.toml`."""

    someone: tuple[str, ...]
    circumstances: tuple[str, ...]
    frames: tuple[str, ...]
    choice: dict[str, tuple[str, ...]]


@dataclass(frozen=True)
class Sources:
    """All authored material, ready for the corpus grammar."""

    voices: dict[str, Voice]
    persona_sentences: dict[str, tuple[str, ...]]
    anti_persona_sentences: dict[str, tuple[str, ...]]
    acts: tuple[Scene, ...]
    situations: tuple[Scene, ...]
    phrases: Phrases
    labels: dict[str, str]
    #: How many kinds of acts there are.
    kinds: int

    @property
    def values(self) -> tuple[str, ...]:
        """Slugs of the values, in file order."""
        return tuple(self.voices)


def _toml(path: Path) -> dict[str, object]:
    with path.open("rb") as file:
        return tomllib.load(file)


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def load_voices() -> dict[str, Voice]:
    """Every `voices/{slug}.toml`, sorted by slug."""
    voices = {}
    for path in sorted((HERE / "voices").glob("*.toml")):
        table = _toml(path)
        voices[path.stem] = Voice(**{key: tuple(table[key]) for key in Voice.__annotations__})  # type: ignore[arg-type]
    return voices


def load_acts(path: Path = ACTS) -> tuple[Scene, ...]:
    """Every act of a file `kind,act,domain`, with the stances of its kind."""
    kinds = _toml(HERE / "stances.toml")
    numbers = {kind: number for number, kind in enumerate(kinds)}
    scenes = []
    for row in _rows(path):
        table = kinds[row["kind"]]
        assert isinstance(table, dict)
        stances: dict[str, Stance] = dict.fromkeys(table["supports"], "support")
        stances.update(dict.fromkeys(table["opposes"], "oppose"))
        scenes.append(Scene(row["act"], row["domain"], stances, is_act=True, kind=numbers[row["kind"]]))
    return tuple(scenes)


def load_situations() -> tuple[Scene, ...]:
    """Situations with the values' stances that the embedded model was trained on.

    Selectors learn from later and more careful labels of these and other texts (`training.readings`).
    """
    scenes = []
    for path in sorted(SITUATIONS.glob("*.csv")):
        for row in _rows(path):
            stances = {}
            for item in row["stances"].split():
                slug, _, sign = item.rpartition(":")
                stances[slug] = _SIGNS[sign]
            scenes.append(Scene(row["situation"], row["domain"], stances))
    return tuple(scenes)


def load_pairs() -> dict[str, list[tuple[str, str]]]:
    """The (positive, negative) sentences of every value, positive in the voice's sense."""
    pairs = {}
    for path in sorted(PAIRS.glob("*.csv")):
        rows = [(row["positive"], row["negative"]) for row in _rows(path)]
        pairs[path.stem] = [(n, p) for p, n in rows] if path.stem in AVOIDED else rows
    return pairs


def load_sources(labels: dict[str, str] | None = None) -> Sources:
    """Read all material.

    Args:
        labels: value slug → the words used for it in questions; by default the slug with spaces.
    """
    voices, pairs = load_voices(), load_pairs()
    phrases = _toml(HERE / "phrases.toml")
    choice = {kind: tuple(wordings) for kind, wordings in phrases["choice"].items()}  # type: ignore[attr-defined]
    lists: dict[str, tuple[str, ...]] = {key: tuple(phrases[key]) for key in ("someone", "circumstances", "frames")}  # type: ignore[arg-type]
    return Sources(
        voices=voices,
        persona_sentences={
            slug: voice.personas + voice.principles + 2 * tuple(p for p, _ in pairs.get(slug, []))
            for slug, voice in voices.items()
        },
        anti_persona_sentences={
            slug: 2 * voice.anti_personas + 2 * tuple(n for _, n in pairs.get(slug, []))
            for slug, voice in voices.items()
        },
        acts=load_acts(),
        situations=load_situations(),
        phrases=Phrases(**lists, choice=choice),
        kinds=len(_toml(HERE / "stances.toml")),
        labels=labels or {slug: slug.replace("_", " ").replace("-", " ") for slug in voices},
    )
