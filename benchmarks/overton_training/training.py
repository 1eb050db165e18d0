"""Training a model by GRPO (arXiv 2402.03300), through trl, to write one answer that many values speak in.

The loss is that of DAPO (arXiv 2503.14476), trl's own choice: each token of a step counts the same.
"""

from __future__ import annotations

import random
import tempfile
import time
import warnings
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.overton_training.reward import OvertonReward, means
from benchmarks.stance_shift import spoken
from training.sources import Sources
from vispa.errors import ModelError
from vispa.models.loading import LoadedModel
from vispa.modes.prompts import Prompts
from vispa.modes.templates import filled


@dataclass(frozen=True)
class Settings:
    """How training runs.

    Attributes:
        steps: of the optimiser; each sees `prompts` × `answers` answers, all drawn anew.
        prompts: situations of a step.
        answers: on each situation, which are compared with each other.
        tokens: longest answer.
        rate: step of AdamW, constant.
        penalty: on the Kullback–Leibler divergence from the model as it was, which keeps its language.
        seed: of order and answers.
    """

    steps: int = 400
    prompts: int = 8
    answers: int = 8
    tokens: int = 160
    rate: float = 5e-5
    penalty: float = 0.02
    seed: int = 0


@dataclass(frozen=True)
class Lesson:
    """A situation to write on, with the slugs of the values that are at stake in it."""

    text: str
    stake: tuple[str, ...]


@dataclass(frozen=True)
class Trained:
    """What a training came to.

    Attributes:
        course: of each step the mean reward, its parts and words of an answer.
        seconds: on the wall.
        processor_seconds: of all threads.
    """

    course: list[dict[str, float]]
    seconds: float
    processor_seconds: float


def lessons(sources: Sources, held_out: Collection[str], seed: int = 0) -> list[Lesson]:
    """What the embedded model was taught to comment on: its situations and as many of its acts, in random order.

    Args:
        sources: of the corpus.
        held_out: texts to leave out.
        seed: of drawing and order.
    """
    chance = random.Random(seed)
    acts = chance.sample(sources.acts, min(len(sources.acts), len(sources.situations)))
    left = {text.casefold() for text in held_out}
    found = [
        Lesson(one.text, tuple(one.stances))
        for one in (*sources.situations, *spoken(acts, sources, chance))
        if one.stances and one.text.casefold() not in left
    ]
    chance.shuffle(found)
    return found


def check_trl() -> None:
    """See that what training needs is there.

    Raises:
        ModelError: trl or datasets is missing.
    """
    try:
        import datasets  # noqa: F401
        import trl  # noqa: F401
    except ImportError as error:
        raise ModelError("trl", "training needs trl and datasets.", "Install vispa[study].") from error


def trained(
    loaded: LoadedModel, prompts: Prompts, reward: OvertonReward, lessons: Sequence[Lesson], settings: Settings
) -> Trained:
    """Train all weights of a model, in place; the same seed gives the same rewards.

    Args:
        loaded: the model, in float32 and for this alone: banks fitted before no longer fit.
        prompts: of the model; it is asked for many values.
        reward: of its answers.
        lessons: what it writes on, in their order.
        settings: how.

    Raises:
        ModelError: see `check_trl`.
    """
    check_trl()
    from datasets import Dataset
    from transformers import PrinterCallback
    from trl import GRPOTrainer

    course: list[dict[str, float]] = []

    def rewards(completions: Sequence[Any], stake: Sequence[Sequence[str]], **_: Any) -> list[float]:
        texts = [completion[0]["content"] for completion in completions]
        rewarded = reward(texts, stake)
        course.append({**means(rewarded), "words": sum(len(text.split()) for text in texts) / len(texts)})
        return [one.total for one in rewarded]

    rows = [
        {"prompt": [{"role": "user", "content": filled(prompts.diverse, text=one.text)}], "stake": list(one.stake)}
        for one in lessons
    ]
    started, used = time.perf_counter(), time.process_time()
    with loaded.turns, tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        # Of transformers, about names that trl still uses.
        warnings.simplefilter("ignore", FutureWarning)
        loaded.model.requires_grad_(True)
        trainer = GRPOTrainer(
            model=loaded.model,
            processing_class=loaded.tokenizer,
            reward_funcs=rewards,
            args=_arguments(settings, folder),
            train_dataset=Dataset.from_list(rows),
        )
        # It would print its own log among the tables.
        trainer.remove_callback(PrinterCallback)
        trainer.train()
        loaded.model.requires_grad_(False)
        loaded.model.train(False)
    return Trained(course, time.perf_counter() - started, time.process_time() - used)


def _arguments(settings: Settings, folder: str) -> Any:
    """What trl wants to know: float32 on the processor, nothing saved or reported."""
    from trl import GRPOConfig

    return GRPOConfig(
        output_dir=folder,
        max_steps=settings.steps,
        per_device_train_batch_size=settings.prompts * settings.answers,
        num_generations=settings.answers,
        max_completion_length=settings.tokens,
        learning_rate=settings.rate,
        lr_scheduler_type="constant",
        beta=settings.penalty,
        loss_type="dapo",
        seed=settings.seed,
        shuffle_dataset=False,
        use_cpu=True,
        bf16=False,
        gradient_checkpointing=False,
        save_strategy="no",
        report_to="none",
        logging_strategy="no",
        disable_tqdm=True,
    )
