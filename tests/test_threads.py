"""Many threads on one model: every door gives what it gives alone, and nobody waits for ever."""

from __future__ import annotations

import copy
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import numpy as np
import pytest
import torch
from engines import generate, option_masses

from vispa.generation import transformers as engine
from vispa.generation.rows import Row, Sampling
from vispa.generation.transformers import TransformersEngine
from vispa.models.batching import Budget
from vispa.models.encoder import BundledEncoder
from vispa.models.encoding import raw_prompt
from vispa.models.loading import LoadedModel
from vispa.models.turns import Turns
from vispa.pipeline import Vispa
from vispa.request import Request
from vispa.steering.activations import read_activations
from vispa.steering.fitting import fit_bank
from vispa.steering.intervention import steering
from vispa.steering.recipe import Recipe, Steer
from vispa.study.fluency import perplexities
from vispa.study.probing import probe_logits
from vispa.taxonomy import Taxonomy

THREADS, REQUESTS = 8, 64
RECIPE = Recipe("one_versus_others", (1, 2), magnitude="coefficient", amount=3.0, minimal_quality=0.0)


class LengthSelector:
    name = "length"

    def __init__(self, taxonomy: Taxonomy) -> None:
        self.taxonomy = taxonomy

    def scores(self, texts: Sequence[str], progress: object = None) -> np.ndarray:
        return np.array([[(len(text) * (n + 3)) % 11 / 11 for n in range(3)] for text in texts], dtype=np.float32)


@pytest.fixture(scope="module")
def make_vispa(make_model: Callable[..., LoadedModel], small_taxonomy: Taxonomy) -> Callable[[], Vispa]:
    def make() -> Vispa:
        loaded = make_model("llama")
        bank = fit_bank(loaded, small_taxonomy, recipe=RECIPE)
        return Vispa(loaded, bank, LengthSelector(small_taxonomy), taxonomy=small_taxonomy)

    return make


def request(number: int) -> Request:
    text = f"Returning {number} lost umbrellas to a shop that never missed them"
    if number % 3 == 0:
        return Request(text, k=2, diversity=0.3 * (number % 2))
    if number % 3 == 1:
        return Request(text, k=3, mode="steerable", toward="right to rest")
    return Request(text, k=2, mode="distributional", options=("Yes", "No"), passages=number % 2 == 0)


def test_requests_in_threads_equal_the_serial_run(make_vispa: Callable[[], Vispa]) -> None:
    """The second half of each mode is sampled."""

    def answers(vispa: Vispa, run: Callable[..., Iterator[object]]) -> list[dict[str, object]]:
        def answer(number: int) -> dict[str, object]:
            temperature = 1.0 if number >= REQUESTS // 2 else 0.0
            found = vispa.respond_one(request(number), max_new_tokens=4, temperature=temperature, seed=number % 5)
            return found.model_dump(exclude={"provenance": {"timings"}})

        return list(run(answer, range(REQUESTS)))  # type: ignore[arg-type]

    with ThreadPoolExecutor(THREADS) as pool:
        threaded = answers(make_vispa(), pool.map)
    assert threaded == answers(make_vispa(), map)


@contextmanager
def watched(loaded: LoadedModel) -> Iterator[list[bool]]:
    """Whether the model was held at each forward pass."""
    held: list[bool] = []
    handle = loaded.model.base_model.register_forward_pre_hook(lambda *_: held.append(loaded.turns.is_mine))
    try:
        yield held
    finally:
        handle.remove()


def doors(loaded: LoadedModel, taxonomy: Taxonomy) -> dict[str, Callable[[], object]]:
    bank = fit_bank(loaded, taxonomy, recipe=RECIPE)
    rows = [Row(raw_prompt(loaded, "Well,"), (Steer("calm"),))]
    return {
        "texts": lambda: generate(loaded, rows, Sampling(2), bank),
        "options": lambda: option_masses(loaded, ["Answer:"], [2]),
        "activations": lambda: read_activations(loaded, ["A stone."]),
        "perplexity": lambda: perplexities(loaded, [rows[0].prompt], [" so be it"]),
        "probes": lambda: probe_logits(TransformersEngine(loaded, bank), rows, 2),
    }


@pytest.mark.parametrize("door", ["texts", "options", "activations", "perplexity", "probes"])
def test_every_door_holds_the_model(llama: LoadedModel, small_taxonomy: Taxonomy, door: str) -> None:
    go = doors(llama, small_taxonomy)[door]
    with watched(llama) as held:
        go()
    assert held and all(held)
    assert not llama.turns.is_mine


def test_another_thread_waits_for_a_steered_batch(llama: LoadedModel, small_taxonomy: Taxonomy) -> None:
    plan = fit_bank(llama, small_taxonomy, recipe=RECIPE).plan(["calm"])
    prompts = ["First door."]
    alone = option_masses(llama, prompts, [3])
    with ThreadPoolExecutor(1) as pool:
        with steering(llama, plan, [[Steer("calm")]]):
            waiting = pool.submit(option_masses, llama, prompts, [3])
            time.sleep(0.1)
            assert not waiting.done()
        assert (waiting.result(timeout=20)[0] == alone[0]).all()


def test_threads_take_turns_between_batches(llama: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    """A short job that comes while a long one runs does not wait for its end."""
    monkeypatch.setattr(engine, "DECODING", Budget(rows=1))
    rows = [Row(raw_prompt(llama, f"Number {n}")) for n in range(30)]
    left: list[int] = []
    done: list[int] = []
    begun = threading.Event()

    def finished(count: int) -> None:
        done.append(count)
        begun.set()

    def short() -> None:
        begun.wait()
        generate(llama, rows[:1], Sampling(2))
        left.append(len(rows) - len(done))

    thread = threading.Thread(target=short)
    thread.start()
    generate(llama, rows, Sampling(20), progress=finished)
    thread.join()
    assert left[0] > 5


def test_turns_go_to_who_came_first() -> None:
    turns, order = Turns(), []

    def take(number: int) -> None:
        with turns:
            order.append(number)

    threads = [threading.Thread(target=take, args=(number,)) for number in range(12)]
    with turns, turns:
        for thread in threads:
            thread.start()
            time.sleep(0.01)
        assert turns.is_mine and order == []
    for thread in threads:
        thread.join(10)
    assert order == list(range(12)) and not turns.is_mine


def test_turns_are_given_back_after_an_error_and_not_shared_by_copies() -> None:
    turns = Turns()
    with pytest.raises(ValueError, match="no"), turns:
        raise ValueError("no")
    with turns:
        other = copy.deepcopy(turns)
        with ThreadPoolExecutor(1) as pool:
            assert pool.submit(lambda: other.__enter__() or other.is_mine).result(timeout=10)


def test_the_encoder_serves_threads() -> None:
    encoder = BundledEncoder()
    texts = [[f"{'Rain ' * (1 + n % 9)} on roof {n}"] * (1 + n % 3) for n in range(32)]
    encoded: Sequence[object]
    with ThreadPoolExecutor(THREADS) as pool:
        encoded = list(pool.map(encoder.encode, texts))
    for found, given in zip(encoded, texts, strict=True):
        # What is asked at the same time is read in one pass, and its last bits hang on what meets in it.
        torch.testing.assert_close(torch.tensor(found), torch.tensor(encoder.encode(given)), rtol=0, atol=1e-6)
