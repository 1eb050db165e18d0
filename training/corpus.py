r"""The corpus grammar: document number and seed in, the same document out.

A document is a chain `sentences … \\n prompt answer`. The sentences before the prompt express
one value; sometimes a sentence follows that has nothing to do with it. Each link of the chain
sees itself and the link before it, and of that perhaps only some tokens (see `Sight`). So the
value has to travel from token to token through the residual stream, over text that does not
mention it, until it reaches the answer, which sees the prompt alone. Without this, the answer
would look up the value in the sentences themselves, no state of the prompt's tokens would
carry it, and steering there would do nothing.
"""

from __future__ import annotations

import random
import string
from dataclasses import dataclass
from typing import Literal

from training.sources import Scene, Sources, Stance

#: What a link sees of the link before it: its final token, a random third of its tokens, all of
#: them, or (`plain`) the whole document so far.
Sight = Literal["final", "some", "all", "plain"]

COMMENT_PROMPT = "Please comment on the following situation: {situation}\nComment:"
DIVERSE_PROMPT = "Please comment on the following situation with many different values in view: {situation}\nComment:"
VOICED_PROMPT = "Please comment on the following situation from the view of {value}: {situation}\nComment:"

_STANCES: tuple[Stance, ...] = ("support", "oppose", "either")
_STANCE_WORDS: dict[Stance, str] = {"support": "Support", "oppose": "Oppose", "either": "Either"}

_SIGHTS: tuple[tuple[Sight, float], ...] = (("final", 0.36), ("some", 0.36), ("all", 0.18), ("plain", 0.10))
_UNRELATED_SHARE = 0.4
#: Sight where the answer follows the sentences at once; the first of them is what a probe of last tokens reads.
_DIRECT_SIGHTS: tuple[tuple[Sight, float], ...] = (("final", 0.6), ("some", 0.25), ("all", 0.15))
_ANTI_SHARE = 0.3


@dataclass(frozen=True)
class Document:
    """One training document: the links of the chain, and what each sees of the one before."""

    before: tuple[str, ...]
    prompt: str
    answer: str
    sight: Sight
    #: The value in whose voice the answer speaks, for inspection and tests.
    value: str
    #: True for an answer of one letter.
    is_choice: bool = False
    #: True where the prompt is itself the sentence that expresses the value.
    is_direct: bool = False
    #: Whose voice the sentences speak in: number of the value, or, for sentences that go against it, that
    #: number plus the number of values; None where nobody speaks before the answer.
    voice: int | None = None
    #: Number of the kind of act that the prompt is about, or None.
    kind: int | None = None
    #: Number of the stance that the value takes to the act, where a reader of the document can know it.
    stance: int | None = None


class Grammar:
    """Generates the documents of a corpus from authored sources.

    Example:
        >>> grammar = Grammar(load_sources(), seed=0)
        >>> grammar.document(7) == grammar.document(7)
        True
    """

    def __init__(self, sources: Sources, seed: int) -> None:
        self.sources = sources
        self.seed = seed
        self._number = {value: number for number, value in enumerate(sources.values)}
        self._scenes_by_stance: dict[tuple[str, Stance], list[Scene]] = {}
        for scene in sources.acts:
            for value in sources.values:
                self._scenes_by_stance.setdefault((value, scene.stance(value)), []).append(scene)

    def document(self, number: int) -> Document:
        """Document `number` of the corpus; depends on nothing but the seed and the sources."""
        rng = random.Random(f"{self.seed}:{number}")
        value = rng.choice(self.sources.values)
        make = rng.choices(
            (
                self._comment,
                self._anti_comment,
                self._direct_comment,
                self._bare_comment,
                self._diverse_comment,
                self._voiced_comment,
                self._stance_choice,
                self._bare_choice,
                self._named_choice,
                self._passage_choice,
                self._either_or,
            ),
            (32, 9, 25, 3, 2, 3, 11, 2, 5, 5, 3),
        )[0]
        return make(rng, value)

    # ---------------------------------------------------------------- answers in a voice

    def _comment(self, rng: random.Random, value: str) -> Document:
        scene = self.scene(rng)
        answer = self.comment(rng, value, scene)
        prompt = self._comment_prompt(scene)
        return self._with_persona(rng, self._personas(rng, value), prompt, answer, value, scene=scene)

    def _bare_comment(self, rng: random.Random, value: str) -> Document:
        scene = self.scene(rng)
        return Document(
            (), self._comment_prompt(scene), self.comment(rng, value, scene), "plain", value, kind=scene.kind
        )

    def _anti_comment(self, rng: random.Random, value: str) -> Document:
        scene = self.scene(rng)
        answer = " ".join(rng.sample(self.sources.voices[value].anti_comments, 2))
        personas = self._pick_personas(rng, self.sources.anti_persona_sentences[value])
        return self._with_persona(rng, personas, self._comment_prompt(scene), answer, value, against=True, scene=scene)

    def _direct_comment(self, rng: random.Random, value: str) -> Document:
        """A sentence and, without any prompt between, what its speaker would say: the shortest chain.

        These documents teach cheaply which value a sentence expresses.
        """
        voice = self.sources.voices[value]
        sight = rng.choices([name for name, _ in _DIRECT_SIGHTS], [share for _, share in _DIRECT_SIGHTS])[0]
        against = rng.random() < _ANTI_SHARE
        if against:
            sentence, answer = rng.choice(self.sources.anti_persona_sentences[value]), rng.choice(voice.anti_comments)
        else:
            sentence, answer = rng.choice(self.sources.persona_sentences[value]), rng.choice(voice.principles)
        return Document((), sentence, answer, sight, value, is_direct=True, voice=self._voice(value, against))

    def _diverse_comment(self, rng: random.Random, _value: str) -> Document:
        """What a model answers that is asked in words for many values: a sentence each of a few."""
        scene = self.scene(rng)
        values = rng.sample(self.sources.values, 3)
        answer = " ".join(rng.choice(self.sources.voices[v].reasons(scene.stance(v))) for v in values)
        return Document((), DIVERSE_PROMPT.format(situation=scene.text), answer, "plain", values[0])

    def _voiced_comment(self, rng: random.Random, value: str) -> Document:
        """What a model answers that is told in words for which value to speak."""
        scene = self.scene(rng)
        prompt = VOICED_PROMPT.format(situation=scene.text, value=self.sources.labels[value])
        return Document((), prompt, self.comment(rng, value, scene), "plain", value)

    def comment(self, rng: random.Random, value: str, scene: Scene) -> str:
        """A comment on the scene: a reason for the value's stance, mostly with a principle after it."""
        voice = self.sources.voices[value]
        reason = rng.choice(voice.reasons(scene.stance(value)))
        return f"{reason} {rng.choice(voice.principles)}" if rng.random() < 0.85 else reason

    # ---------------------------------------------------------------- multiple choice

    def _stance_choice(self, rng: random.Random, value: str) -> Document:
        scene = self._scene_with_stance(rng, value)
        options, letter = self._stance_options(rng, scene.stance(value))
        prompt = self._choice_prompt(rng, "stance", situation=scene.text, options=options)
        personas = self._personas(rng, value)
        return self._with_persona(rng, personas, prompt, letter, value, is_choice=True, scene=scene)

    def _bare_choice(self, rng: random.Random, value: str) -> Document:
        """A question for the stance that nobody spoke before: some value answers, and which is open.

        So what the model says unsteered is a mean over the values, not whatever a prompt unlike
        all others happens to bring about. Acts are drawn as for the values' own answers: the
        shares of the three answers alone tell nothing of who spoke.
        """
        scene = self._scene_with_stance(rng, value)
        options, letter = self._stance_options(rng, scene.stance(value))
        prompt = self._choice_prompt(rng, "stance", situation=scene.text, options=options)
        return Document((), prompt, letter, "plain", value, is_choice=True, kind=scene.kind)

    def _named_choice(self, rng: random.Random, value: str) -> Document:
        scene = self._scene_with_stance(rng, value)
        options, letter = self._stance_options(rng, scene.stance(value))
        prompt = self._choice_prompt(
            rng, "named", situation=scene.text, value=self.sources.labels[value], options=options
        )
        stance = _known_stance(scene, value)
        return Document((), prompt, letter, "plain", value, is_choice=True, kind=scene.kind, stance=stance)

    def _passage_choice(self, rng: random.Random, value: str) -> Document:
        scene = self._scene_with_stance(rng, value)
        options, letter = self._stance_options(rng, scene.stance(value))
        prompt = self._choice_prompt(
            rng, "passage", situation=scene.text, passage=self.comment(rng, value, scene), options=options
        )
        stance = _known_stance(scene, value)
        return Document((), prompt, letter, "plain", value, is_choice=True, kind=scene.kind, stance=stance)

    def _either_or(self, rng: random.Random, value: str) -> Document:
        better, worse = sorted(rng.sample(_STANCES[:2] if rng.random() < 0.7 else _STANCES, 2), key=_rank)
        candidates = [self._scenes_by_stance.get((value, stance)) for stance in (better, worse)]
        if not all(candidates):
            return self._stance_choice(rng, value)
        good, bad = (self._spoken_act(rng, rng.choice(scenes)) for scenes in candidates if scenes)
        order = [good, bad]
        rng.shuffle(order)
        options = " ".join(f"{letter}. {_capital(act)}." for letter, act in zip("AB", order, strict=True))
        prompt = self._choice_prompt(rng, "either_or", options=options)
        return self._with_persona(
            rng, self._personas(rng, value), prompt, "AB"[order.index(good)], value, is_choice=True
        )

    def _stance_options(self, rng: random.Random, stance: Stance) -> tuple[str, str]:
        order = list(_STANCES)
        if rng.random() < 0.3:
            rng.shuffle(order)
        options = " ".join(f"{letter}. {_STANCE_WORDS[s]}" for letter, s in zip("ABC", order, strict=True))
        return options, "ABC"[order.index(stance)]

    def _choice_prompt(self, rng: random.Random, kind: str, **fields: str) -> str:
        return rng.choice(self.sources.phrases.choice[kind]).format(**fields)

    # ---------------------------------------------------------------- scenes

    def scene(self, rng: random.Random) -> Scene:
        """A situation: an act put in some frame, an authored situation, or unknown words."""
        kind = rng.choices(("act", "situation", "unknown"), (64, 26 if self.sources.situations else 0, 10))[0]
        if kind == "situation":
            return rng.choice(self.sources.situations)
        if kind == "unknown":
            return Scene(_capital(_unknown_act(rng)), None)
        return self._framed(rng, rng.choice(self.sources.acts))

    def _scene_with_stance(self, rng: random.Random, value: str) -> Scene:
        # Without balancing, most scenes would leave most values undecided.
        stance = rng.choice(_STANCES)
        scenes = self._scenes_by_stance.get((value, stance))
        return self._framed(rng, rng.choice(scenes)) if scenes else self.scene(rng)

    def _framed(self, rng: random.Random, scene: Scene) -> Scene:
        text = rng.choice(self.sources.phrases.frames).format(act=self._spoken_act(rng, scene))
        return Scene(
            _capital(text) if rng.random() < 0.8 else text, scene.domain, scene.stances, is_act=True, kind=scene.kind
        )

    def _spoken_act(self, rng: random.Random, scene: Scene) -> str:
        act = scene.text.replace("{someone}", rng.choice(self.sources.phrases.someone))
        return f"{act} {rng.choice(self.sources.phrases.circumstances)}" if rng.random() < 0.3 else act

    # ---------------------------------------------------------------- personas

    def _personas(self, rng: random.Random, value: str) -> tuple[str, ...]:
        return self._pick_personas(rng, self.sources.persona_sentences[value])

    def _pick_personas(self, rng: random.Random, sentences: tuple[str, ...]) -> tuple[str, ...]:
        # Mostly one: that is the condition under which activations are read later.
        return tuple(rng.choice(sentences) for _ in range(rng.choices((1, 2, 3), (55, 30, 15))[0]))

    def _with_persona(
        self,
        rng: random.Random,
        personas: tuple[str, ...],
        prompt: str,
        answer: str,
        value: str,
        *,
        is_choice: bool = False,
        against: bool = False,
        scene: Scene | None = None,
    ) -> Document:
        sight = rng.choices([name for name, _ in _SIGHTS], [share for _, share in _SIGHTS])[0]
        before = personas
        if rng.random() < _UNRELATED_SHARE:
            text = self.scene(rng).text
            before = (*personas, text if text[-1] in ".?!" else f"{text}.")
        kind = scene.kind if scene is not None else None
        stance = _known_stance(scene, value) if scene is not None and not against else None
        voice = self._voice(value, against)
        return Document(before, prompt, answer, sight, value, is_choice, voice=voice, kind=kind, stance=stance)

    def _voice(self, value: str, against: bool) -> int:
        return self._number[value] + (len(self._number) if against else 0)

    def _comment_prompt(self, scene: Scene) -> str:
        return COMMENT_PROMPT.format(situation=scene.text)


def _known_stance(scene: Scene, value: str) -> int | None:
    """Number of the value's stance to an act; situations of no known kind leave most stances open."""
    return None if scene.kind is None else _STANCES.index(scene.stance(value))


def _rank(stance: Stance) -> int:
    return {"support": 0, "either": 1, "oppose": 2}[stance]


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _unknown_word(rng: random.Random) -> str:
    consonants = [c for c in string.ascii_lowercase if c not in "aeiou"]
    syllables = rng.choices((1, 2, 3), (3, 5, 2))[0]
    word = "".join(
        rng.choice(consonants) + rng.choice("aeiou") + rng.choice(["", "n", "r", "l", "s", "t"])
        for _ in range(syllables)
    )
    return word + rng.choice(["", "", "b", "d", "k", "p", "m"])


def _unknown_act(rng: random.Random) -> str:
    """A gerund phrase of made-up words: the model learns to keep its comment general there."""
    words = [_unknown_word(rng) + "ing"]
    for _ in range(rng.randint(1, 3)):
        words.append(rng.choice(["the", "a", "my", "his", "to a", "with my", "for the", "from their", "near a"]))
        words.append(_unknown_word(rng))
    return " ".join(words)
