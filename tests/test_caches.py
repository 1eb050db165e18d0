"""Score caches: they keep what was computed to the bit, and never stop the work."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

import numpy as np
import pytest

from vispa.files import caching
from vispa.files.score_cache import ScoreCache


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("VISPA_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(caching, "_said", set())
    return tmp_path / "cache"


def test_many_rows_are_kept_to_the_last_bit(tmp_path: Path) -> None:
    for kind, values in (("float32", 31), ("float64", 1)):
        cache = ScoreCache(tmp_path / kind, values, kind)
        rows = {number.to_bytes(4, "big"): (np.arange(values) / 7 + number / 3).astype(kind) for number in range(1203)}
        cache.put(rows)
        found = cache.get([*rows, b"unknown"])
        assert found.keys() == rows.keys()
        assert all(found[key].dtype == kind and np.array_equal(found[key], row) for key, row in rows.items())
        assert ScoreCache(tmp_path / kind, values + 1, kind).get(list(rows)) == {}


def file_for_folder(path: Path) -> None:
    path.parent.parent.mkdir(parents=True)
    path.parent.write_text("no folder")


def folder_for_file(path: Path) -> None:
    path.mkdir(parents=True)


def pipe_for_file(path: Path) -> None:
    path.parent.mkdir(parents=True)
    os.mkfifo(path)


def no_space(path: Path) -> None:
    path.parent.parent.mkdir(parents=True)
    path.parent.symlink_to("/proc/self/fd")


@pytest.mark.parametrize("prepare", [file_for_folder, folder_for_file, pipe_for_file, no_space])
def test_one_warning_and_no_cache(prepare: object, folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = folder / "nli" / "scores"
    prepare(path)
    for _ in range(2):
        cache = ScoreCache(path)
        for key in (b"a", b"b"):
            cache.put({key: np.zeros(1)})
            assert cache.get([key]) == {}
    assert len(caplog.records) == 1
    assert "cannot be used as a cache" in caplog.text
    assert "VISPA_CACHE" in caplog.text


def test_caches_in_one_broken_folder_warn_once(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder.write_text("no folder")
    for name in ("one", "two/three", "four"):
        ScoreCache(folder / name).put({b"a": np.zeros(1)})
    assert len(caplog.records) == 1


def test_a_damaged_file_is_begun_anew(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder.mkdir()
    (folder / "scores").write_bytes(b"certainly no database " * 500)
    cache = ScoreCache(folder / "scores")
    assert cache.get([b"a"]) == {}
    assert "begun anew" in caplog.text
    cache.put({b"a": np.array([0.25])})
    assert cache.get([b"a"])[b"a"] == [0.25]


def test_a_changed_number_counts_as_missing(folder: Path) -> None:
    cache = ScoreCache(folder / "scores", kind="float64")
    cache.put({b"a": np.array([0.75]), b"b": np.array([0.5])})
    with sqlite3.connect(cache.path) as database:
        (stored,) = database.execute("SELECT scores FROM scored WHERE key = ?", (b"a",)).fetchone()
        database.execute("UPDATE scored SET scores = ? WHERE key = ?", (np.array([0.5]).tobytes() + stored[-4:], b"a"))
        database.execute("UPDATE scored SET scores = 'text' WHERE key = ?", (b"b",))
    database.close()
    assert cache.get([b"a", b"b"]) == {}
