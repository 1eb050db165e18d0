"""GGUF files: dequantised once to bfloat16 safetensors, kept in the user's cache by their content."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from filelock import FileLock

from vispa.errors import ModelError
from vispa.files.folders import cache_folder
from vispa.files.writing import replacing_folder
from vispa.models.quiet import quietly
from vispa.models.sources.progress import Progress, Steps

_CHUNK = 1 << 22
_COMPLETE = "config.json"


def find_gguf(name: str, progress: Progress | None = None) -> Path | None:
    """The folder of a GGUF file's weights, converted if they are not yet; None where `name` is no such file.

    Args:
        name: path of the file, or of a folder that holds one and no `config.json`.
        progress: told of progress.

    Raises:
        ModelError: a folder with several of them, or a file that cannot be read.
    """
    path = Path(name).expanduser()
    if path.is_dir() and not (path / "config.json").is_file():
        files = sorted(path.glob("*.gguf"))
        if len(files) > 1:
            listed = ", ".join(file.name for file in files)
            raise ModelError("model", f"{name} holds several GGUF files ({listed}).", "Name one of them.")
        path = files[0] if files else path
    if path.suffix.lower() != ".gguf":
        return None
    if not path.is_file():
        raise ModelError("model", f"{name} is not there.", "Name a GGUF file, a folder with a model, or a hub id.")
    return converted(path, progress)


def converted(path: Path, progress: Progress | None = None) -> Path:
    """The folder with a GGUF file's weights in bfloat16 and its tokenizer.

    Args:
        path: of the file.
        progress: told of progress.

    Raises:
        ModelError: no GGUF file, or of an architecture that transformers cannot read.
    """
    target = cache_folder() / "models" / f"gguf-{file_digest(path, progress)[:20]}"
    if not (target / _COMPLETE).is_file():
        target.parent.mkdir(parents=True, exist_ok=True)
        # Two processes that ask for the same model convert it once.
        with FileLock(target.with_name(target.name + ".lock")):
            if not (target / _COMPLETE).is_file():
                convert(path, target, progress)
    return target


def file_digest(path: Path, progress: Progress | None = None) -> str:
    """SHA-256 of a file, in hexadecimal digits."""
    digest = hashlib.sha256()
    steps = Steps("reading (MB)", path.stat().st_size // 1_000_000, progress)
    done = 0
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
            done += len(chunk)
            steps.reach(done // 1_000_000)
    return digest.hexdigest()


def convert(path: Path, target: Path, progress: Progress | None = None) -> None:
    """Write weights and tokenizer of a GGUF file to a folder, whole or not at all.

    Raises:
        ModelError: no GGUF file, one of an architecture that transformers cannot read, or one that lacks weights.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    from vispa.models.checking import check_weights

    steps = Steps("converting", 3, progress)
    source = {"gguf_file": path.name, "local_files_only": True}
    with (
        quietly(),
        _without_bar(),
        replacing_folder(target) as place,
    ):
        try:
            tokenizer = AutoTokenizer.from_pretrained(path.parent, **source)
            steps.reach(1)
            made: Any = AutoModelForCausalLM.from_pretrained(
                path.parent,
                **source,
                dtype=torch.bfloat16,
                quantization_config=GgufConfig(gguf_file=path.name, dequantize=True),
                output_loading_info=True,
            )
            # What a file lacks, as one part of several does, is made up by transformers.
            model, report = made
            check_weights(path.name, model, report)
            steps.reach(2)
            tokenizer.save_pretrained(place)
            model.save_pretrained(place)
        except ModelError:
            raise
        except Exception as error:
            # transformers and gguf raise many kinds of errors here; all mean that this file cannot serve.
            why = " ".join(str(error).split())[:300]
            raise ModelError(
                "model",
                f"{path.name} cannot be read as GGUF: {why}.",
                "Name a GGUF file of an architecture that transformers reads (Llama, Qwen, Gemma, Mistral, …), or a "
                "folder with safetensors.",
            ) from error
    steps.reach(3)


@contextmanager
def _without_bar() -> Iterator[None]:
    """Keep a bar off the console that transformers shows here whatever its settings are."""
    from transformers import modeling_gguf_pytorch_utils as reading

    bar = vars(reading).get("tqdm")
    if bar is None:
        yield
        return
    vars(reading)["tqdm"] = partial(bar, disable=True)
    try:
        yield
    finally:
        vars(reading)["tqdm"] = bar
