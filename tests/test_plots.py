"""Drawings that are the same every time, whatever the user's own settings."""

from __future__ import annotations

import subprocess
import sys
import warnings
from pathlib import Path

import pytest

from vispa.errors import InputError
from vispa.files.drawing import FORMATS, drawing

NAME = "$x_1$ & $\\nothing"


def draw(path: Path, **settings: object) -> bytes:
    with drawing(path, 2, 1.5, settings) as figure:
        axis = figure.subplots()
        axis.plot([0, 1], [0, 1], label=NAME)
        axis.set_title(NAME)
    return path.read_bytes()


@pytest.mark.parametrize("suffix", FORMATS)
def test_the_same_drawing_has_the_same_bytes(tmp_path: Path, suffix: str) -> None:
    matplotlib = pytest.importorskip("matplotlib")
    first = draw(tmp_path / f"one.{suffix}")
    with matplotlib.rc_context({"font.size": 20, "svg.fonttype": "path"}):
        assert draw(tmp_path / f"two.{suffix.upper()}") == first
        assert matplotlib.rcParams["font.size"] == 20
    assert draw(tmp_path / f"three.{suffix}", **{"axes.spines.top": False}) != first


def test_svg_has_names_as_they_are_and_no_date(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    text = draw(tmp_path / "one.svg").decode()
    assert ">$x_1$ &amp; $\\nothing<" in text
    assert "<metadata" not in text


def test_a_drawing_that_fails_leaves_the_old_file(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    path = tmp_path / "one.svg"
    before = draw(path)
    with pytest.raises(ZeroDivisionError), drawing(path, 1, 1):
        raise ZeroDivisionError
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]


def test_bad_names_and_a_missing_library_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("one.gif", "one"):
        with pytest.raises(InputError, match=r"End it with \.png or \.svg"):
            draw(tmp_path / name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(InputError, match="Install matplotlib"):
        draw(tmp_path / "one.svg")
    assert not list(tmp_path.iterdir())


def test_matplotlib_loads_when_something_is_drawn() -> None:
    code = "import sys, vispa.files.drawing; print('matplotlib' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "False"


# Groups whose names matplotlib's own fonts cannot draw, or which it says it cannot write.
FOREIGN = ["日本", "ไทย", "عربي", "עברית", "বাংলা", "한국", "\U0001f600", "தமிழ்"]


@pytest.mark.parametrize("name", FOREIGN)
def test_names_in_other_scripts_are_written_without_a_warning(tmp_path: Path, name: str) -> None:
    pytest.importorskip("matplotlib")
    path = tmp_path / "one.svg"
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with drawing(path, 2, 1.5) as figure:
            axis = figure.subplots()
            axis.barh([0], [1], label=name)
            axis.set_yticks([0], [name])
            axis.legend()
    assert not caught
    assert path.read_text("utf-8").count(f">{name}<") == 2


def test_other_warnings_are_heard(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    with pytest.warns(UserWarning, match="Glyph"), drawing(tmp_path / "one.png", 2, 1.5) as figure:
        figure.suptitle("日本")
    with pytest.warns(UserWarning, match="layout"), drawing(tmp_path / "one.svg", 0.2, 0.2) as figure:
        figure.subplots().set_ylabel("a name that is much too long for it")
    with pytest.warns(UserWarning, match="Glyph 7"):
        warnings.warn("Glyph 7 missing from the list", UserWarning, stacklevel=1)
