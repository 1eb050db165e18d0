"""Workers over Ray on several machines: nodes of a real cluster, all of them here."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from vispa.errors import InputError, VispaError
from vispa.items import workers
from vispa.items.cluster import free_places
from vispa.items.differing import differences
from vispa.items.workers import Work, Workers

ray = pytest.importorskip("ray", reason="Ray is not installed (pip install 'vispa[ray]').")
cluster_utils = pytest.importorskip("ray.cluster_utils")
# Workers have no tests in their path.
ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])

LONGEST = 300


@pytest.fixture(autouse=True)
def no_endless_waiting() -> Iterator[None]:
    """What waits for ever fails."""

    def late(*_: object) -> None:
        raise TimeoutError("still waiting")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(LONGEST)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.fixture(scope="module")
def machines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A head and another machine, with one place for a worker each; they run in a folder that is not the caller's."""
    small = {"num_cpus": 1, "object_store_memory": 80 * 2**20}
    here, started = Path.cwd(), tmp_path_factory.mktemp("started")
    (started / "recipe.toml").write_text("theirs", encoding="utf-8")
    os.chdir(started)
    made = cluster_utils.Cluster(initialize_head=True, head_node_args={**small, "include_dashboard": False})
    made.add_node(**small)
    os.chdir(here)
    yield made
    made.shutdown()


@pytest.fixture
def joined(machines: Any) -> Callable[..., Workers[Any]]:
    """Makes two workers on the cluster, as `--ray HOST:PORT` does."""
    return lambda make, count=2: Workers(make, machines.address, count, lambda why: f"failed: {why}")


def node() -> str:
    return str(ray.get_runtime_context().get_node_id())


def telling(threads: int) -> Work[tuple[int, str]]:
    """Says where each number was answered, slowly enough for both to take part."""

    def answer(kind: str, chunk: Sequence[int]) -> list[tuple[int, str]]:
        time.sleep(0.05)
        return [(number, node()) for number in chunk]

    return Work({"model": "same"}, answer)


def differing(threads: int) -> Work[int]:
    return Work(({"model": "same", "bank": f"{node()}-long"}, {"versions": {"torch": "2.1"}}), lambda _, chunk: chunk)


def refusing(first: str, threads: int) -> Work[int]:
    if node() != first:
        raise InputError("--model", "is no folder.", "Name one.")
    return Work({}, lambda _, chunk: chunk)


def reading(path: Path, threads: int) -> Work[str]:
    if not path.is_file():
        raise InputError("--recipe", f"is {str(path)!r}, and there is no such file.", "Name one.")
    return Work({}, lambda _, chunk: [path.read_text(encoding="utf-8")] * len(chunk))


def test_both_machines_answer(joined: Callable[..., Workers[Any]], machines: Any) -> None:
    chunks = [[number, -number] for number in range(20)]
    with joined(telling) as pool:
        pool.about(ready=2)
        found = list(pool.answers("", chunks))
        assert [[number for number, _ in answers] for answers in found] == chunks
        nodes = {one.node_id for one in machines.list_all_nodes()}
        assert {place for answers in found for _, place in answers} == nodes
        assert sorted(place.split("node ")[1] for place in pool.places) == sorted(f"{one[:8]})" for one in nodes)


def test_machines_that_differ_are_named_with_what_differs(joined: Callable[..., Workers[Any]], machines: Any) -> None:
    with joined(differing) as pool, pytest.raises(VispaError) as caught:
        pool.about(ready=2)
    said = str(caught.value)
    assert "bank (" in said and "model" not in said and "torch" not in said
    assert all(f"(node {one.node_id[:8]})" in said for one in machines.list_all_nodes())


def test_what_one_machine_refuses_says_which(joined: Callable[..., Workers[Any]], machines: Any) -> None:
    first, second = (one.node_id for one in machines.list_all_nodes())
    with (
        joined(partial(refusing, first)) as pool,
        pytest.raises(InputError, match=rf"--model: is no folder\. .*\(node {second[:8]}\)"),
    ):
        pool.about(ready=2)


def test_another_version_of_the_package_is_refused(
    joined: Callable[..., Workers[Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, "package_version", lambda: "0.0.0")
    with joined(telling, 1) as pool, pytest.raises(InputError, match=r"vispa \S+, and the caller's is 0\.0\.0.*node "):
        pool.about()


@pytest.mark.parametrize("there", [True, False])
def test_relative_paths_begin_in_the_callers_folder(
    there: bool, joined: Callable[..., Workers[Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also on a machine that has no such folder: nothing else is read in its place."""
    (tmp_path / "recipe.toml").write_text("mine", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    if not there:
        monkeypatch.setattr(workers, "Path", SimpleNamespace(cwd=lambda: tmp_path / "elsewhere"))
    with joined(partial(reading, Path("recipe.toml")), 1) as pool:
        if there:
            pool.about()
            assert list(pool.answers("", [[1, 2]])) == [["mine", "mine"]]
        else:
            with pytest.raises(InputError, match=r"no such file.* Its machine has no folder .*elsewhere"):
                pool.about()


def test_a_busy_cluster_is_said(joined: Callable[..., Workers[Any]], caplog: pytest.LogCaptureFixture) -> None:
    with joined(telling) as pool:
        pool.about(ready=2)
        # Ray's machines tell each other now and then.
        while free_places(pool._places):
            time.sleep(0.1)
        pool._say_room()
        assert "has room for only 0 of 2 workers now" in caplog.text


def test_a_machine_that_goes_loses_and_doubles_nothing(
    joined: Callable[..., Workers[Any]], machines: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """No other has a place for its worker; the next machine that comes has."""
    first, second = machines.list_all_nodes()
    chunks = [[number] for number in range(40)]
    with joined(telling) as pool:
        pool.about(ready=2)
        answering, found = pool.answers("", iter(chunks)), []
        for answers in answering:
            found.append(answers)
            if len(found) == 4:
                machines.remove_node(second, allow_graceful=False)
        assert [number for answers in found for number, _ in answers] == list(range(40))
        assert {place for answers in found[-9:] for _, place in answers} == {first.node_id}
        assert f"(node {second.node_id[:8]}) died" in caplog.text
        third = machines.add_node(num_cpus=1, object_store_memory=80 * 2**20)
        pool.about(ready=2)
        assert {place for answers in pool.answers("", chunks) for _, place in answers} == {first.node_id, third.node_id}
    assert ray.is_initialized() is False and first.remaining_processes_alive()


@pytest.mark.parametrize(
    ("one", "other", "said"),
    [
        ({"a": 1, "b": [1, 2]}, {"b": [1, 2], "a": 1}, ""),
        ({"a": {"b": 1}}, {"a": {"b": 2}}, "a.b (1 and 2)"),
        (({"a": 1}, {"b": "x"}), ({"a": 1}, {}), "b (x and null)"),
        (7, 8, "what is answered with (7 and 8)"),
        ({"text": "the same beginning " * 9 + "x"}, {"text": "the same beginning " * 9 + "y"}, "text (…x… and …y…)"),
        ({"f": "a" * 64}, {"f": "b" * 64}, f"f ({'a' * 12}… and {'b' * 12}…)"),
        (dict.fromkeys("abcde", 1), {}, "a (1 and null), b (1 and null), c (1 and null), d (1 and null), and 1 more"),
    ],
)
def test_what_differs_is_named(one: Any, other: Any, said: str) -> None:
    assert differences(one, other) == said
