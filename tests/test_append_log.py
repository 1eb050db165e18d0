"""Appending, stopping anywhere, and going on: the same bytes as without a stop."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vispa.errors import InputError
from vispa.files.append_log import AppendLog, Destination, differing_settings, unfinished_chunks, whole_lines
from vispa.items import answering as batch
from vispa.items.answering import BatchRun, settings_path
from vispa.items.reading import Item
from vispa.readers.base import Failure

identifiers = st.lists(st.integers() | st.text(st.characters(exclude_categories=["Cs"])), max_size=6, unique_by=repr)


def line(identifier: object) -> bytes:
    return json.dumps({"id": identifier, "text": "a\u2028b\r\n"}, ensure_ascii=False).encode() + b"\n"


# ---------------------------------------------------------------- the file


@given(identifiers, st.data())
def test_a_file_cut_anywhere_ends_in_the_same_bytes(
    tmp_path_factory: pytest.TempPathFactory, ids: list[int | str], data: st.DataObject
) -> None:
    log = AppendLog(tmp_path_factory.mktemp("cut") / "log.jsonl", "Choose another.")
    assert log.resume(ids) == 0 and not log.path.exists()
    log.append(map(line, ids))
    whole = log.path.read_bytes()
    cut = whole[: data.draw(st.integers(0, len(whole)))]
    log.path.write_bytes(cut)
    done = log.resume(ids)
    assert done == cut.count(b"\n")
    assert log.path.read_bytes() == b"".join(map(line, ids[:done]))
    log.append(map(line, ids[done:]))
    assert log.path.read_bytes() == whole
    assert log.resume(ids) == len(ids)


@given(st.binary(max_size=40))
def test_whole_lines_are_what_stands_before_the_last_line_end(data: bytes) -> None:
    lines = whole_lines(data)
    assert b"".join(lines) == data[: data.rfind(b"\n") + 1]
    assert all(one.index(b"\n") == len(one) - 1 for one in lines)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (line(1) + line(1), "line 2: is not the answer to item '1'. Choose another."),
        (line(True), "line 1: is not the answer to item 1"),
        (line(1.0), "line 1: is not the answer to item 1"),
        (line(1) + b"{\n", "line 2: is not the answer"),
        (line(1) + b"\n", "line 2: is not the answer"),
        (b"[1]\n", "line 1: is not the answer"),
        (b"{}\n", "line 1: is not the answer"),
        (b"\xff\n", "line 1: is not the answer"),
        (b"[" * 100_000 + b"\n", "line 1: is not the answer"),
        (line(1) + line("1") + line(2), "line 3: belongs to no item. Choose another."),
    ],
)
def test_lines_of_something_else_are_refused_and_kept(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "log.jsonl"
    path.write_bytes(content + b"torn")
    with pytest.raises(InputError) as caught:
        AppendLog(path, "Choose another.").resume([1, "1"])
    assert str(caught.value).startswith(f"{path} {message}")
    assert path.read_bytes() == content + b"torn"


# ---------------------------------------------------------------- chunks and settings


@given(st.integers(0, 20), st.integers(1, 6), st.data())
def test_chunks_are_those_of_a_run_without_a_stop(count: int, size: int, data: st.DataObject) -> None:
    done = data.draw(st.integers(0, count))
    items = list(range(count))
    chunks = list(unfinished_chunks(items, done, size))
    assert [item for chunk, answered in chunks for item in chunk[answered:]] == items[done:]
    uninterrupted = [items[start : start + size] for start in range(0, count, size)]
    assert [chunk for chunk, _ in chunks] == [chunk for chunk in uninterrupted if chunk[-1] >= done]


def test_differing_settings_are_named_in_order() -> None:
    earlier = {"seed": 0, "model": "a", "gone": 1, "folder": "here", "none": None}
    settings = {"seed": 1, "model": "a", "added": 1, "folder": "there"}
    assert differing_settings(earlier, settings, leaving_out=("folder",)) == ["added", "gone", "seed"]
    assert differing_settings(earlier, earlier) == []


# ---------------------------------------------------------------- the place


@pytest.mark.parametrize(("kind", "wrong"), [("output", "folder"), ("folder", "output")])
def test_a_place_is_one_process_s_at_a_time(tmp_path: Path, kind: str, wrong: str) -> None:
    place = Destination(tmp_path / "new" / "place", kind)
    with (
        place.locked(),
        pytest.raises(InputError, match=f"is being written by another process. Wait for it, or choose another {kind}"),
        Destination(place.path, kind).locked(),
    ):
        pass
    with pytest.raises(ZeroDivisionError), place.locked():
        raise ZeroDivisionError
    with place.locked():
        pass
    other = Destination(tmp_path / "other", wrong)
    if wrong == "folder":
        other.path.mkdir()
    else:
        other.path.write_text("precious")
    with (
        pytest.raises(InputError, match=f"is a {'folder. Name a file' if kind == 'output' else 'file. Name a folder'}"),
        Destination(other.path, kind).locked(),
    ):
        pass
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(InputError, match=r"cannot be written \(.*\). Choose a (file|folder) that you may write"),
        Destination(tmp_path / "file" / "below", kind).locked(),
    ):
        pass


@pytest.mark.parametrize("kind", ["output", "folder"])
def test_places_of_other_runs_are_refused(tmp_path: Path, kind: str) -> None:
    place = Destination(tmp_path / "place", kind)
    place.check_begun_here(None, holds_answers=False)
    place.check_begun_here({}, holds_answers=True)
    place.check_same_settings([])
    with pytest.raises(InputError, match=f"was not begun by this command. Choose another {kind}, or --overwrite."):
        place.check_begun_here(None, holds_answers=True)
    with pytest.raises(InputError, match=f"begun with other k, seed. Use the same settings, choose another {kind}, or"):
        place.check_same_settings(["k", "seed"])


# ---------------------------------------------------------------- a file of answers

ITEMS = [Item(number if number % 2 else f"i{number}", f"text {number}") for number in range(7)]


@pytest.fixture
def answering(
    monkeypatch: pytest.MonkeyPatch,
) -> tuple[list[list[int | str]], Callable[[Sequence[Item]], list[Failure]]]:
    """An answer that depends on the whole chunk, and the chunks it was given."""
    monkeypatch.setattr(batch, "CHUNK", 3)
    asked: list[list[int | str]] = []

    def answer(chunk: Sequence[Item]) -> list[Failure]:
        asked.append([item.id for item in chunk])
        return [Failure(f"{item.text} beside {len(chunk)}") for item in chunk]

    return asked, answer


def test_a_batch_cut_anywhere_ends_in_the_same_bytes(tmp_path: Path, answering: tuple) -> None:
    asked, answer = answering
    output = tmp_path / "out.jsonl"
    assert BatchRun(ITEMS, output, {"seed": 0}).run(answer) == 7
    whole = output.read_bytes()
    for length in range(len(whole) + 1):
        output.write_bytes(whole[:length])
        asked.clear()
        told: list[int] = []
        run = BatchRun(ITEMS, output, {"seed": 0})
        fresh = run.run(answer, told.append)
        done = whole[:length].count(b"\n")
        assert output.read_bytes() == whole
        assert (fresh, run.failed, sum(told)) == (7 - done, 7 - done, 7)
        assert len(asked) == sum(1 for last in (3, 6, 7) if last > done)


def test_a_batch_goes_on_with_its_own_settings_only(tmp_path: Path, answering: tuple) -> None:
    _, answer = answering
    output = tmp_path / "out.jsonl"
    output.write_bytes(b"")
    assert BatchRun(ITEMS, output, {"seed": 0, "k": 6}).run(answer) == 7
    whole = output.read_bytes()
    with pytest.raises(InputError, match="was begun with other items, seed"):
        BatchRun(ITEMS[:6], output, {"seed": 1, "k": 6}).run(answer)
    for damage in ("{", "[]"):
        settings_path(output).write_text(damage)
        with pytest.raises(InputError, match="was not begun by this command"):
            BatchRun(ITEMS, output, {"seed": 0, "k": 6}).run(answer)
    assert output.read_bytes() == whole
    assert BatchRun(ITEMS[:6], output, {"seed": 1}, overwrite=True).run(answer) == 6
    assert output.read_bytes().count(b"\n") == 6
    with pytest.raises(InputError, match=r"is a folder\. Name a file"):
        BatchRun(ITEMS, tmp_path, {}).run(answer)
