"""Appending, stopping anywhere, and going on: the same bytes as without a stop."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vispa.errors import InputError, NumericalError, OutputError, VispaError
from vispa.files.append_log import AnswerLog, AppendLog, retried_path, unfinished_chunks, whole_lines
from vispa.files.destination import Destination, differing_settings
from vispa.items import answering as batch
from vispa.items.answering import BatchRun
from vispa.items.begun import check_begun_so_far, items_digest, settings_path
from vispa.items.item import Item
from vispa.readers.base import Failure
from vispa.request import Request, Sampling

identifiers = st.lists(st.integers() | st.text(st.characters(exclude_categories=["Cs"])), max_size=6, unique_by=repr)


def line(identifier: object) -> bytes:
    return json.dumps({"id": identifier, "text": "a\u2028b\r\n"}, ensure_ascii=False).encode() + b"\n"


# ---------------------------------------------------------------- the file


@given(identifiers, st.data())
def test_a_file_cut_anywhere_ends_in_the_same_bytes(
    tmp_path_factory: pytest.TempPathFactory, ids: list[int | str], data: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("cut") / "log.jsonl"
    items = [Item(id=identifier, text="text") for identifier in ids]
    log = AnswerLog(path, "Choose another.")
    log.resume(items)
    assert log.done == 0 and not path.exists()
    log.answers.append(map(line, ids))
    whole = path.read_bytes()
    cut = whole[: data.draw(st.integers(0, len(whole)))]
    path.write_bytes(cut)
    log.resume(items)
    assert log.done == cut.count(b"\n")
    assert path.read_bytes() == b"".join(map(line, ids[: log.done]))
    log.answers.append(map(line, ids[log.done :]))
    assert path.read_bytes() == whole
    log.resume(items)
    assert log.done == len(ids) and log.failed == []


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
        AnswerLog(path, "Choose another.").resume([Item(id=1, text="text"), Item(id="1", text="text")])
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
    place.check_same_settings([], {}, {})
    with pytest.raises(InputError, match=f"was not begun by this command. Choose another {kind}, or --overwrite."):
        place.check_begun_here(None, holds_answers=True)
    with pytest.raises(InputError, match=f"begun with other k, seed. Use the same settings, choose another {kind}, or"):
        place.check_same_settings(["k", "seed"], {}, {})


# ---------------------------------------------------------------- a file of answers

ITEMS = [Item(id=number if number % 2 else f"i{number}", text=f"text {number}") for number in range(7)]


def broken(item: Item, beside: int) -> Failure:
    return Failure(f"{item.text} beside {beside}")


def good(item: Item, beside: int) -> Good:
    return Good(f"{item.text} beside {beside}")


class Good:
    """An answer, as far as a line of answers needs one."""

    def __init__(self, text: str) -> None:
        self.text = text

    def model_dump(self, **_: object) -> dict[str, object]:
        return {"response": self.text, "values": [], "error": None}


class Answering:
    """Answers that depend on the whole chunk; remembers what it was asked, and fails where told."""

    def __init__(self) -> None:
        self.asked: list[list[int | str]] = []
        self.failing: set[int | str] = set()
        self.stop_at: int | str | None = None

    def __call__(self, chunk: Sequence[Item]) -> list[Failure | Good]:
        if self.stop_at in [item.id for item in chunk]:
            raise ZeroDivisionError
        self.asked.append([item.id for item in chunk])
        return [(broken if item.id in self.failing else good)(item, len(chunk)) for item in chunk]


@pytest.fixture
def answer(monkeypatch: pytest.MonkeyPatch) -> Answering:
    monkeypatch.setattr(batch, "CHUNK", 3)
    return Answering()


def answers(output: Path) -> dict[int | str, dict[str, object]]:
    """The lines of a file, each of which must be whole, the items' own and in their order."""
    found = [json.loads(line) for line in output.read_bytes().decode().split("\n")[:-1]]
    assert [one["id"] for one in found] == [item.id for item in ITEMS[: len(found)]]
    return {one["id"]: one for one in found}


def test_a_batch_cut_anywhere_ends_in_the_same_bytes(tmp_path: Path, answer: Answering) -> None:
    output = tmp_path / "out.jsonl"
    assert BatchRun(ITEMS, output, {"seed": 0}).run(answer) == 7
    whole = output.read_bytes()
    for length in range(len(whole) + 1):
        output.write_bytes(whole[:length])
        answer.asked.clear()
        told: list[int] = []
        run = BatchRun(ITEMS, output, {"seed": 0})
        fresh = run.run(answer, told.append)
        done = whole[:length].count(b"\n")
        assert output.read_bytes() == whole
        assert (fresh, run.failed, sum(told)) == (7 - done, 0, 7)
        assert len(answer.asked) == sum(1 for last in (3, 6, 7) if last > done)


def test_what_failed_is_asked_again_and_takes_its_place(tmp_path: Path, answer: Answering) -> None:
    output = tmp_path / "out.jsonl"
    answer.failing = {1, "i2", 5}
    run = BatchRun(ITEMS, output, {})
    assert (run.run(answer), run.failed) == (7, 3)
    assert [i for i, one in answers(output).items() if one["error"]] == [1, "i2", 5]
    answer.failing, answer.asked = {5}, []
    told: list[int] = []
    run = BatchRun(ITEMS, output, {})
    assert (run.run(answer, told.append), run.failed, sum(told)) == (3, 1, 7)
    assert answer.asked == [[1, "i2", 5]]
    found = answers(output)
    assert len(found) == 7 and [i for i, one in found.items() if one["error"]] == [5]
    assert found[1]["response"] == "text 1 beside 3" and found["i0"]["response"] == "text 0 beside 3"
    # What fails no call may hide: the next one says it too, although it answers nothing new.
    run = BatchRun(ITEMS, output, {})
    assert (run.run(answer), run.failed) == (1, 1)
    answer.failing = set()
    run = BatchRun(ITEMS, output, {})
    assert (run.run(answer), run.failed) == (1, 0)
    assert not retried_path(output).exists()
    answer.asked.clear()
    assert BatchRun(ITEMS, output, {}).run(answer) == 0 and answer.asked == []


def test_new_items_come_before_those_that_failed(tmp_path: Path, answer: Answering) -> None:
    output = tmp_path / "out.jsonl"
    answer.failing, answer.stop_at = {"i0", 1}, 5
    with pytest.raises(ZeroDivisionError):
        BatchRun(ITEMS, output, {}).run(answer)
    answer.failing, answer.stop_at, answer.asked = set(), None, []
    run = BatchRun(ITEMS, output, {})
    assert (run.run(answer), run.failed) == (6, 0)
    assert answer.asked == [[3, "i4", 5], ["i6"], ["i0", 1]]
    assert len(answers(output)) == 7


def test_a_stop_while_asking_again_loses_nothing(tmp_path: Path, answer: Answering) -> None:
    output = tmp_path / "out.jsonl"
    answer.failing = {item.id for item in ITEMS}
    BatchRun(ITEMS, output, {}).run(answer)
    failed = output.read_bytes()
    # Each call stops before its second chunk of three, with a line half written.
    answer.failing = set()
    answer.stop_at = 3
    with pytest.raises(ZeroDivisionError):
        BatchRun(ITEMS, output, {}).run(answer)
    assert output.read_bytes() == failed
    kept = retried_path(output).read_bytes()
    assert kept.count(b"\n") == 3
    for cut in range(len(kept) + 1):
        output.write_bytes(failed)
        retried_path(output).write_bytes(kept[:cut])
        answer.stop_at, answer.asked = None, []
        run = BatchRun(ITEMS, output, {})
        whole = kept[:cut].count(b"\n")
        assert (run.run(answer), run.failed) == (7 - whole, 0)
        assert len(answers(output)) == 7 and not any(one["error"] for one in answers(output).values())
        assert not retried_path(output).exists()


def test_an_item_without_finite_numbers_fails_alone(tmp_path: Path, answer: Answering) -> None:
    def overflowing(chunk: Sequence[Item]) -> list[Failure | Good]:
        if "i2" in [item.id for item in chunk]:
            raise NumericalError("row 0: a logit is not finite")
        return answer(chunk)

    output = tmp_path / "out.jsonl"
    run = BatchRun(ITEMS, output, {})
    assert (run.run(overflowing), run.failed) == (7, 1)
    found = answers(output)
    assert len(found) == 7 and found["i2"]["error"] == "row 0: a logit is not finite"
    run = BatchRun(ITEMS, output, {})
    assert (run.run(answer), run.failed) == (1, 0)


def test_overwriting_forgets_what_was_asked_again(tmp_path: Path, answer: Answering) -> None:
    output = tmp_path / "out.jsonl"
    answer.failing = {1}
    BatchRun(ITEMS, output, {}).run(answer)
    retried_path(output).write_bytes(b'{"id": 1, "response": "of an earlier run"}\n')
    answer.failing = set()
    BatchRun(ITEMS, output, {"k": 2}, overwrite=True).run(answer)
    assert answers(output)[1]["response"] == "text 1 beside 3" and not retried_path(output).exists()


def test_a_batch_goes_on_with_its_own_settings_only(tmp_path: Path, answer: Answering) -> None:
    output = tmp_path / "out.jsonl"
    output.write_bytes(b"")
    assert BatchRun(ITEMS, output, {"seed": 0, "k": 6}).run(answer) == 7
    whole = output.read_bytes()
    with pytest.raises(InputError, match=r"was begun with other items, seed \(0, now 1\)\. Use the same settings"):
        BatchRun(ITEMS[:6], output, {"seed": 1, "k": 6}).run(answer)
    assert output.read_bytes() == whole
    assert BatchRun(ITEMS[:6], output, {"seed": 1}, overwrite=True).run(answer) == 6
    assert output.read_bytes().count(b"\n") == 6
    with pytest.raises(InputError, match=r"is a folder\. Name a file"):
        BatchRun(ITEMS, tmp_path, {}).run(answer)


@pytest.mark.parametrize(
    ("damage", "problem"),
    [("{", "is damaged (not valid JSON"), ("[]", "is damaged (not a JSON object)"), (None, "is missing")],
)
def test_answers_whose_settings_are_lost_are_not_called_anothers(
    damage: str | None, problem: str, tmp_path: Path, answer: Answering
) -> None:
    output = tmp_path / "out.jsonl"
    BatchRun(ITEMS, output, {"k": 6}).run(answer)
    whole, settings = output.read_bytes(), settings_path(output)
    kept = settings.read_bytes()
    settings.unlink() if damage is None else settings.write_text(damage)
    with pytest.raises(InputError) as found:
        BatchRun(ITEMS, output, {"k": 6}).run(answer)
    assert str(found.value).startswith(f"{settings}: {problem}")
    assert "Restore it, or choose another output; --overwrite deletes the answers" in str(found.value)
    assert output.read_bytes() == whole
    settings.write_bytes(kept)
    assert BatchRun(ITEMS, output, {"k": 6}).run(answer) == 0


@pytest.mark.parametrize("text", ["mine\n", '{"id": 0}\n', "[1]\n"])
def test_a_file_of_somebody_else_was_not_begun_here(text: str, tmp_path: Path, answer: Answering) -> None:
    output = tmp_path / "out.jsonl"
    output.write_text(text)
    with pytest.raises(InputError, match="was not begun by this command"):
        BatchRun(ITEMS, output, {"k": 6}).run(answer)
    assert output.read_text() == text


@pytest.mark.parametrize(
    ("options", "sampling", "told"),
    [
        ({"k": "3"}, {}, "other k (2, now 3)."),
        ({"toward": "karma", "k": "auto"}, {}, "other k (2, now auto), toward (not given, now karma)."),
        ({"options": ("A", "B")}, {}, "other options."),
        ({}, {"max_new_tokens": 9}, "other max_new_tokens (200, now 9)."),
        (
            {},
            {"temperature": 0.5, "seed": 4},
            "other seed (not given, now 4), temperature (not given, now 0.5), top_p (",
        ),
    ],
)
def test_what_differs_is_told_before_a_model_is_loaded(
    options: dict[str, Any], sampling: dict[str, Any], told: str, tmp_path: Path, answer: Answering
) -> None:
    output = tmp_path / "out.jsonl"
    before: dict[str, Any] = {"k": "2", "toward": None, "options": [], "model": "smollm2"}
    BatchRun(ITEMS, output, {**before, "max_new_tokens": 200, "bank": "ab"}).run(answer)
    # What a model makes of an option is not known yet.
    now = {**before, "model": "other", "options": ()}
    check_begun_so_far(output, items_digest(ITEMS), now, Sampling())
    with pytest.raises(InputError) as found:
        check_begun_so_far(output, items_digest(ITEMS), {**now, **options}, Sampling(**sampling))
    assert told in str(found.value)


def test_items_read_for_another_mode_are_not_called_others(tmp_path: Path, answer: Answering) -> None:
    output = tmp_path / "out.jsonl"
    BatchRun(ITEMS, output, {"mode": "overton", "k": 6}).run(answer)
    others = [item.model_copy(update={"mode": "distributional"}) for item in ITEMS]
    with pytest.raises(InputError, match=r"begun with other mode \(overton, now distributional\)\. Use"):
        BatchRun(others, output, {"mode": "distributional", "k": 6}).run(answer)


# ---------------------------------------------------------------- an output that others touch


def delete(path: Path) -> None:
    path.unlink()


def replace(path: Path) -> None:
    other = path.with_suffix(".other")
    other.write_bytes(path.read_bytes())
    other.replace(path)


def lengthen(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"{}\n")


def empty(path: Path) -> None:
    path.write_bytes(b"")


@pytest.mark.parametrize("rest", ["", ', "error": null', ', "response": "x"', ', "values": null'])
def test_a_line_that_says_nothing_of_its_item_is_refused(tmp_path: Path, answer: Answering, rest: str) -> None:
    output = tmp_path / "out.jsonl"
    BatchRun(ITEMS, output, {}).run(answer)
    lines = output.read_text().splitlines(True)
    lines[3] = f'{{"id": 3{rest}}}\n'
    output.write_text("".join(lines))
    asked = len(answer.asked)
    with pytest.raises(
        InputError, match=r"out.jsonl line 4: holds neither an answer nor an error. Choose another outp"
    ):
        BatchRun(ITEMS, output, {}).run(answer)
    assert output.read_text() == "".join(lines) and len(answer.asked) == asked
    BatchRun(ITEMS, output, {}, overwrite=True).run(answer)
    assert answers(output)[3]["response"]


@pytest.mark.parametrize("after", [3, 6, 7])
@pytest.mark.parametrize(
    ("harm", "words"), [(delete, "deleted"), (replace, "changed"), (lengthen, "changed"), (empty, "changed")]
)
def test_an_output_that_is_touched_in_mid_run_is_noticed(
    tmp_path: Path, answer: Answering, harm: Callable[[Path], None], words: str, after: int
) -> None:
    output = tmp_path / "out.jsonl"
    written: list[int] = []

    def told(count: int) -> None:
        written.append(count)
        if sum(written) == after:
            harm(output)

    with pytest.raises(OutputError, match=f"was {words} .* after {after} lines. Repeat the command"):
        BatchRun(ITEMS, output, {}).run(answer, told)
    if harm is lengthen:
        output.write_bytes(output.read_bytes()[:-3])
    BatchRun(ITEMS, output, {}).run(answer)
    assert len(answers(output)) == 7


def test_a_file_that_appears_in_mid_run_is_kept(tmp_path: Path) -> None:
    log = AppendLog(tmp_path / "log")
    assert list(log.open()) == []
    log.path.write_text("precious")
    with pytest.raises(OutputError, match="was changed by something else"):
        log.append([b"a\n"])
    assert log.path.read_text() == "precious"


@pytest.mark.parametrize("room", range(0, 57, 7))
def test_a_full_disk_leaves_whole_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, room: int) -> None:
    log = AppendLog(tmp_path / "log")
    log.open()
    log.append([b"before\n"])
    left = [room]
    write = os.write

    def short(descriptor: int, data: bytes) -> int:
        if not left[0]:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        written = write(descriptor, data[: min(left[0], 10)])
        left[0] -= written
        return written

    lines = [b"%018d\n" % number for number in range(3)]
    monkeypatch.setattr(os, "write", short)
    with pytest.raises(OutputError, match=rf"No space left on device\). {1 + room // 19} lines are kept"):
        log.append(lines)
    monkeypatch.undo()
    assert log.path.read_bytes() == b"before\n" + b"".join(lines[: room // 19])
    log.append(lines[room // 19 :])
    assert log.path.read_bytes() == b"before\n" + b"".join(lines)


def test_a_run_ends_once_too_many_failed_and_goes_on_from_there(tmp_path: Path, answer: Answering) -> None:
    output = tmp_path / "out.jsonl"
    requests = {item.id: Request(item.text) for item in ITEMS}
    by_text = {item.text: item for item in ITEMS}

    def respond(asked: Sequence[Request]) -> Any:
        return answer([by_text[request.text] for request in asked])

    def run(limit: int | None) -> batch.BatchSummary:
        return batch.answered_file(partial(map, respond), ITEMS, requests, output, {}, max_failures=limit)

    answer.failing = {1, "i4", 5}
    with pytest.raises(VispaError, match=r"3 items failed, and 2 may \(--max-failures\).* Repeat the command to go on"):
        run(2)
    assert len(answers(output)) == 6
    answer.failing, answer.asked = {5}, []
    assert run(1).failed == 1 and answer.asked == [["i6"], [1, "i4", 5]]
    answer.failing = set()
    assert run(0).failed == 0
