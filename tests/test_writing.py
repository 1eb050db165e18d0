"""Folders that are put in place whole are ordinary ones, whoever made what is in them."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from vispa.files.writing import replacing_folder


def by_safetensors(folder: Path) -> None:
    save_file({"weight": torch.ones(2)}, folder / "model.safetensors")


def by_tempfile(folder: Path) -> None:
    descriptor, name = tempfile.mkstemp(dir=folder)
    os.close(descriptor)
    Path(name).replace(folder / "config.json")


def by_hand(folder: Path) -> None:
    (folder / "tokenizer.json").write_text("{}")


def in_a_folder(folder: Path) -> None:
    inner = Path(tempfile.mkdtemp(dir=folder))
    by_safetensors(inner)


@pytest.mark.skipif(os.name != "posix", reason="There are no such permissions.")
@pytest.mark.parametrize("mask", [0o022, 0o002, 0o077])
@pytest.mark.parametrize("write", [by_safetensors, by_tempfile, by_hand, in_a_folder])
def test_others_may_read_what_the_user_lets_them(write: Callable[[Path], None], mask: int, tmp_path: Path) -> None:
    before = os.umask(mask)
    try:
        for _ in range(2):
            with replacing_folder(tmp_path / "model") as place:
                write(place)
    finally:
        os.umask(before)
    found = [tmp_path / "model", *(tmp_path / "model").rglob("*")]
    assert len(found) > 1
    for path in found:
        assert path.stat().st_mode & 0o777 == (0o777 if path.is_dir() else 0o666) & ~mask, path
    assert [one.name for one in tmp_path.iterdir()] == ["model"]
