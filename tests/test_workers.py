"""Workers over Ray: every item once, in order, whatever dies; the bytes of a run in one process."""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from typer.testing import CliRunner

from vispa.cli.main import app
from vispa.errors import InputError, VispaError
from vispa.items import answering, cluster, workers
from vispa.items.begun import settings_path
from vispa.items.worker import Worker
from vispa.items.workers import Work, Workers
from vispa.versions import package_version

ray = pytest.importorskip("ray", reason="Ray is not installed (pip install 'vispa[ray]').")
# Workers have no tests in their path.
ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])


def doubling(folder: Path, threads: int) -> Work[str]:
    """Doubles numbers; a negative one kills its worker once, and -13 whenever it is met. Kinds are said."""

    def answer(kind: str, chunk: Sequence[int]) -> list[str]:
        for number in chunk:
            if number < 0 and (number == -13 or not (folder / f"{number}").exists()):
                (folder / f"{number}").touch()
                os.kill(os.getpid(), signal.SIGKILL)
        if 1000 in chunk:
            raise ValueError("My secret: 1000")
        if 2000 in chunk:
            raise InputError("--number", "is 2000.", "Give less.")
        return [f"{kind} {2 * number}" for number in chunk]

    return Work({"factor": 2, "threads": threads}, answer, "told")


def of_one_process(threads: int) -> Work[int]:
    return Work(os.getpid(), lambda kind, chunk: list(chunk))


def dying(threads: int) -> Work[int]:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError


@pytest.fixture
def local(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Workers[Any]]:
    monkeypatch.setattr(workers, "RETRIES", 1)
    return lambda make, count: Workers(make, "local", count, lambda why: f"failed: {why}")


def test_chunks_are_answered_in_order_once_although_workers_die(
    tmp_path: Path, local: Callable[..., Workers[Any]]
) -> None:
    with local(partial(doubling, tmp_path), 3) as pool:
        about, told = pool.about()
        assert about == {"factor": 2, "threads": max(1, (os.cpu_count() or 1) // 3)} and told == "told"
        chunks = [[1, 2], [3, -4], [5], [6, 7], [-8], [9, 10], [-13, 11], [12]]
        found = list(pool.answers("twice", chunks))
        assert found[6] == ["failed: Its worker died 2 times.", "twice 22"]
        assert found[:6] + found[7:] == [[f"twice {2 * n}" for n in chunk] for chunk in chunks[:6] + chunks[7:]]
        with pytest.raises(VispaError, match=r"a worker failed \(ValueError\)") as caught:
            list(pool.answers("twice", [[1], [1000]]))
        assert "secret" not in str(caught.value)
        with pytest.raises(InputError, match="--number: is 2000"):
            list(pool.answers("twice", [[1], [2000]]))


def test_workers_that_differ_end_the_run(local: Callable[..., Workers[Any]]) -> None:
    with (
        local(of_one_process, 2) as pool,
        pytest.raises(VispaError, match=r"differ in what determines answers: what is answered with \(\d+ and \d+\)"),
    ):
        pool.about(ready=2)


def test_a_worker_that_dies_while_it_makes_ready_ends_the_run(local: Callable[..., Workers[Any]]) -> None:
    with local(dying, 1) as pool, pytest.raises(VispaError, match="died while it made ready"):
        pool.about()


TEXTS = [{"id": number, "text": text} for number, text in enumerate(["Feeding ducks", "Lying to a friend", "Rest"] * 3)]


def call(*arguments: object, code: int = 0) -> str:
    found = CliRunner().invoke(app, [str(one) for one in arguments])
    assert found.exit_code == code, found.output + repr(found.exception)
    return found.output


def test_a_batch_over_ray_has_the_bytes_of_one_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answering, "CHUNK", 2)
    items = tmp_path / "items.jsonl"
    items.write_text("".join(json.dumps(one) + "\n" for one in TEXTS), encoding="utf-8")
    fixed = ("--max-new-tokens", 4, "--k", 2, "--threads", 1)
    one, many = tmp_path / "one.jsonl", tmp_path / "many.jsonl"
    call("batch", items, "-o", one, *fixed)
    # Begun in one process, ended by workers.
    many.write_bytes(one.read_bytes()[: len(one.read_bytes()) // 3])
    settings = settings_path(one).read_bytes()
    settings_path(many).write_bytes(settings)
    said = call("batch", items, "-o", many, *fixed, "--ray", "local", "--workers", 2)
    assert "failed: 0" in said
    assert many.read_bytes() == one.read_bytes() and settings_path(many).read_bytes() == settings


def test_an_evaluation_over_ray_has_the_records_of_one_process(tmp_path: Path) -> None:
    lines = [json.dumps({**one, "explanations": ["It may help."]}) + "\n" for one in TEXTS[:3]]
    (tmp_path / "items.jsonl").write_text("".join(lines), encoding="utf-8")
    task = tmp_path / "mine.toml"
    task.write_text(
        'name = "mine"\nfile = "items.jsonl"\nmode = "overton"\nmetric = "coverage"\nsource = "x"\nlicence = "none"\n'
    )
    common = ("--task", task, "--methods", "vanilla,vispa", "--no-score", "--max-new-tokens", 4, "--threads", 1)
    call("eval", *common, "-o", tmp_path / "one")
    call("eval", *common, "-o", tmp_path / "many", "--ray", "local", "--workers", 1)
    for name in ("config.json", "environment.json", "records/vanilla.jsonl", "records/vispa.jsonl"):
        assert (tmp_path / "many" / name).read_bytes() == (tmp_path / "one" / name).read_bytes(), name


def test_a_cluster_that_does_not_start_at_once_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    tried = []

    def late(*_: object, **__: object) -> None:
        tried.append(1)
        if len(tried) != 2:
            raise Exception("The current node timed out during startup.")

    monkeypatch.setattr(ray, "init", late)
    cluster._start()
    assert len(tried) == 2
    with pytest.raises(VispaError, match="no local cluster could be started"):
        cluster._start()
    assert len(tried) == 5


def test_it_is_said_when_workers_do_not_get_ready(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Once, while they are waited for."""
    pool: Workers[Any] = Workers.__new__(Workers)
    pool._starting, pool._late, pool._places = {"asked": workers._Seat()}, 0.0, cluster.Places(2, 0, 1)
    monkeypatch.setattr(ray, "available_resources", lambda: {"CPU": 0.5})
    monkeypatch.setattr(ray, "wait", lambda asked, **how: (asked if how["timeout"] is None else [], []))
    assert pool._ended(pool._starting) == pool._ended(pool._starting) == "asked"
    assert [record.getMessage() for record in caplog.records] == [
        "--ray: 1 of 2 workers are not ready yet: they load their models, or the cluster has no free place for them "
        "(it has room for 0 more; `ray status`)."
    ]


def test_options_without_ray(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    items = tmp_path / "items.txt"
    items.write_text("Feeding ducks\n", encoding="utf-8")
    idle = said(call_failed("batch", items, "-o", tmp_path / "o", "--workers", 2))
    assert "--workers: has no effect without --ray" in idle
    monkeypatch.setattr(cluster, "find_spec", lambda name: None)
    refused = said(call_failed("batch", items, "-o", tmp_path / "o", "--ray", "local"))
    assert "--ray: needs Ray, which is not installed. pip install 'vispa[ray]'" in refused
    assert not (tmp_path / "o").exists()


@pytest.fixture
def unheard() -> Iterator[int]:
    """A port that nothing listens at."""
    with socket.socket() as place:
        place.bind(("127.0.0.1", 0))
        yield place.getsockname()[1]


@pytest.mark.parametrize("address", ["127.0.0.1:{}", "localhost:{}", "ray://127.0.0.1:{}", "[::1]:{}", "auto"])
def test_a_cluster_that_is_not_there_is_said_at_once(
    address: str, unheard: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ray, "init", lambda *_, **__: pytest.fail("Ray waits for many minutes"))
    monkeypatch.setenv("RAY_ADDRESS", f"127.0.0.1:{unheard}")
    with pytest.raises(InputError, match=r"--ray: .*cannot be reached: .*\. Give the address of a running cluster"):
        Workers(of_one_process, address.format(unheard), 1, str)


@pytest.mark.parametrize("address", ["127.0.0.1:99999", "no such machine:1", "x" * 80 + ":1"])
def test_addresses_that_cannot_be(address: str) -> None:
    with pytest.raises(InputError, match=r"--ray: .*cannot be reached"):
        Workers(of_one_process, address, 1, str)


@contextmanager
def listening(said: bytes) -> Iterator[int]:
    """The port of a machine that says something to whoever comes, in a thread."""
    with socket.create_server(("127.0.0.1", 0)) as place:

        def serve() -> None:
            with suppress(OSError):
                while True:
                    connection, _ = place.accept()
                    with connection:
                        connection.recv(100)
                        connection.sendall(said)

        Thread(target=serve, daemon=True).start()
        yield place.getsockname()[1]
        place.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def listening_cluster() -> Iterator[int]:
    """Says the settings of HTTP/2, with which gRPC begins."""
    with listening(bytes([0, 0, 6, 4, 0, 0, 0, 0, 0, 0, 4, 0, 64, 0, 0])) as port:
        yield port


@pytest.mark.parametrize("address", ["{}", "ray://{}"])
def test_a_cluster_that_answers_is_left_to_ray(
    address: str, listening_cluster: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    monkeypatch.setattr(ray, "init", lambda given, **_: asked.append(given))
    monkeypatch.setattr(ray, "cluster_resources", lambda: {"CPU": 3.0})
    given = address.format(f"127.0.0.1:{listening_cluster}")
    assert cluster.connect(given, None) == 3 and asked == [given]


@pytest.mark.parametrize("said", [b"HTTP/1.0 400 Bad request\r\n", b"-ERR wrong number of arguments\r\n", b"", b"\0\0"])
@pytest.mark.parametrize("address", ["127.0.0.1:{}", "auto"])
def test_what_listens_may_be_no_cluster(address: str, said: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray, "init", lambda *_, **__: pytest.fail("Ray waits for many minutes"))
    with listening(said) as port:
        monkeypatch.setenv("RAY_ADDRESS", f"127.0.0.1:{port}")
        with pytest.raises(InputError, match="cannot be reached: what listens there is no Ray cluster"):
            Workers(of_one_process, address.format(port), 1, str)


def test_a_machine_that_says_nothing_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "_GREETED", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as place, pytest.raises(InputError, match="cannot be reached: timed"):
        Workers(of_one_process, f"127.0.0.1:{place.getsockname()[1]}", 1, str)


def test_a_cluster_of_another_version_is_named_whole(listening_cluster: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ray says the versions in further lines."""
    metadata = {"ray_version": "2.41.0", "python_version": "3.9.1"}
    check = partial(ray._private.utils.check_version_info, metadata, "node 10.0.0.1")
    monkeypatch.setattr(ray, "init", lambda *_, **__: check())
    with pytest.raises(InputError, match=r"Ray: 2\.41\.0 Python: 3\.9\.1 .*Ray: \d.*Python: 3\.\d+"):
        Workers(of_one_process, f"127.0.0.1:{listening_cluster}", 1, str)


@pytest.mark.parametrize(
    "error",
    [
        ImportError("Ray Client requires pip package `ray[client]`."),
        ray.exceptions.AuthenticationError("Token is missing"),
        ray.exceptions.RpcError("Deadline exceeded"),
        ConnectionError("Failed to connect to Ray cluster"),
    ],
)
def test_whatever_ray_raises_where_it_joins_is_told(
    error: Exception, listening_cluster: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def init(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(ray, "init", init)
    with pytest.raises(InputError, match=r"--ray: .* cannot be reached: .*RAY_AUTH_MODE=token"):
        Workers(of_one_process, f"127.0.0.1:{listening_cluster}", 1, str)


@pytest.mark.parametrize(
    ("machines", "asked", "places"),
    [
        # Cores and GPUs of each machine; workers, GPUs and threads of each.
        ([(4, 0), (4, 0)], None, (2, 0, 4)),
        ([(1, 0), (1, 0)], 2, (2, 0, 1)),
        ([(8, 4)], None, (4, 1, 2)),
        ([(8, 4)], 2, (2, 2, 4)),
        # A worker's GPUs are on one machine.
        ([(8, 1), (8, 1)], 1, (1, 1, 16)),
        ([(8, 4), (8, 4), (8, 4)], 2, (2, 4, 12)),
        ([(8, 3), (8, 1)], 2, (2, 1, 8)),
        # A worker takes a core too.
        ([(2, 4)], None, (2, 2, 1)),
    ],
)
def test_what_workers_take_of_a_cluster(
    machines: list[tuple[int, int]], asked: int | None, places: tuple[int, int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A share that no machine has would be waited for for ever."""
    with_machines(machines, monkeypatch)
    assert cluster.shared_out(asked, sum(cores for cores, _ in machines)) == cluster.Places(*places)


@pytest.mark.parametrize(
    ("machines", "asked", "said"),
    [
        ([(2, 0), (1, 0)], 4, "are 4, and the cluster has 3 cores for them. Take at most 3."),
        ([(8, 1), (8, 1)], 3, "are 3, and the cluster has 2 GPUs for them. Take at most 2."),
        ([(0, 0)], None, "are 1, and the cluster has 0 cores for them. Add machines that have cores."),
        ([(0, 4)], None, "are 1, and the cluster has 0 GPUs for them. Add machines that have GPUs."),
        ([(8, 0), (0, 1)], None, "are 1, and the cluster has 0 GPUs for them. Add machines that have GPUs."),
        ([(1.5, 0), (1.5, 0)], 3, "are 3, and the cluster has 2 cores for them. Take at most 2."),
    ],
)
def test_workers_for_whom_there_never_is_room(
    machines: list[tuple[int, int]], asked: int | None, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_machines(machines, monkeypatch)
    with pytest.raises(InputError) as caught:
        cluster.shared_out(asked, int(sum(cores for cores, _ in machines)))
    assert str(caught.value) == f"--workers: {said}"


def with_machines(machines: Sequence[tuple[float, float]], monkeypatch: pytest.MonkeyPatch) -> None:
    """A cluster of machines with so many cores and GPUs, and one that is gone."""
    nodes = [{"Alive": True, "Resources": {"CPU": cores, "GPU": gpus}} for cores, gpus in machines]
    monkeypatch.setattr(ray, "nodes", lambda: [*nodes, {"Alive": False, "Resources": {"CPU": 64.0, "GPU": 8.0}}])


def test_news_of_rays_own_processes_stays_off_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    cluster._mute()
    ray._private.worker.print_to_stdstream({"lines": ["Raylet is terminated."], "pid": "raylet"}, ignore_prefix=False)
    assert capsys.readouterr().out == ""


def call_failed(*arguments: object) -> BaseException | None:
    found = CliRunner().invoke(app, [str(one) for one in arguments])
    return found.exception


def said(error: BaseException | None) -> str:
    assert isinstance(error, InputError)
    return str(error)


@pytest.mark.parametrize(("shared_out", "cores", "given"), [(10_000, 8, 8), (2, 8, 2), (3, None, 1)])
def test_a_worker_takes_no_more_threads_than_its_machine_has_cores(
    shared_out: int, cores: int | None, given: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The cores of a whole cluster are shared out, whose machines may have fewer each."""
    monkeypatch.setattr(os, "cpu_count", lambda: cores)
    made = ray.cloudpickle.dumps(lambda threads: Work(threads, lambda kind, chunk: list(chunk)))
    assert Worker(made, shared_out, package_version(), str(Path.cwd()))._ready().about == given
