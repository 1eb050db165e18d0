"""Bank files and models that are damaged or of other kinds, and the commands that read them."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from random_banks import random_bank
from safetensors.torch import save_file

from hostile.cases import Case, File, Out, done, refused
from hostile.files import Maker


def _sound(path: Path) -> None:
    random_bank().save(path)


def _changed(change: Callable[[bytearray], object]) -> Callable[[Path], None]:
    """A bank some of whose bytes were changed."""

    def write(path: Path) -> None:
        _sound(path)
        data = bytearray(path.read_bytes())
        change(data)
        path.write_bytes(data)

    return write


def _flip(data: bytearray) -> None:
    data[-5] ^= 1


def _swap(data: bytearray) -> None:
    data[-4:], data[-8:-4] = data[-8:-4], data[-4:]


def _cut(data: bytearray) -> None:
    del data[-100:]


def _raw(header: bytes, body: bytes = b"") -> bytes:
    return struct.pack("<Q", len(header)) + header + body


def _tensors(metadata: dict[str, str] | None = None, **tensors: torch.Tensor) -> Callable[[Path], None]:
    return lambda path: save_file({name.replace("__", "."): t for name, t in tensors.items()}, path, metadata=metadata)


def _huge(path: Path) -> None:
    with path.open("wb") as file:
        file.write(_raw(b'{"a":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}}'))
        file.truncate(2**42)


#: What is no bank that can be used: maker, and words of the refusal.
DAMAGED: dict[str, tuple[Maker, tuple[str, ...]]] = {
    "flipped": (_changed(_flip), ("is damaged", "vispa fit --force")),
    "swapped": (_changed(_swap), ("is damaged", "vispa fit --force")),
    "cut": (_changed(_cut), ("is damaged",)),
    "grown": (_changed(lambda data: data.extend(b"\0" * 8)), ("is damaged",)),
    "header": (_changed(lambda data: data.__setitem__(slice(20, 30), b"0000000000")), ("is damaged",)),
    "empty": (b"", ("is damaged",)),
    "length": (b"\xff" * 8, ("is damaged",)),
    "text": (b"These are no vectors at all, only words in a row.", ("is no vector bank", "vispa bank list")),
    "bare": (_raw(b"{}"), ("is not a bank",)),
    "deep": (_raw(b'{"__metadata__":' + b"[" * 50_000), ("is damaged",)),
    "foreign": (_tensors(a=torch.zeros(3)), ("is not a bank",)),
    "header-list": (_tensors({"vispa": "[]"}, a=torch.zeros(3)), ("is not a bank",)),
    "huge": (_huge, ("is damaged",)),
}

#: What are no vectors to import.
VECTORS: dict[str, tuple[Maker, tuple[str, ...]]] = {
    "names": (_tensors(a=torch.zeros(3)), ("'a'", "layer_")),
    "nan": (_tensors(calm__layer_1=torch.full((32,), float("nan"))), ("calm",)),
    "infinite": (_tensors(calm__layer_1=torch.full((32,), float("inf"))), ("calm",)),
    "whole": (_tensors(calm__layer_1=torch.ones(32, dtype=torch.int64)), ("calm.layer_1",)),
    "square": (_tensors(calm__layer_1=torch.ones(4, 8)), ("calm.layer_1",)),
    "narrow": (_tensors(calm__layer_1=torch.ones(31)), ("31",)),
    "none": (_tensors(calm__layer_1=torch.ones(0)), ("calm",)),
    "block": (_tensors(calm__layer_9=torch.ones(32)), ("9",)),
    "value": (_tensors(luck__layer_1=torch.ones(32)), ("luck",)),
    "escape": (_tensors(**{"\x1b[31m.layer_1": torch.ones(32)}), (r"x1b[31m",)),
    "path": (_tensors(**{"../../x.layer_1": torch.ones(32)}), ("../../x",)),
    "empty": (b"", ("empty",)),
    "cut": (_raw(b'{"calm.layer_1":{"dtype":"F32","shape":[32],"data_offsets":[0,128]}}', b"\0" * 9), ("cut",)),
}

_CONFIG: dict[str, Any] = {
    "model_type": "llama", "architectures": ["LlamaForCausalLM"], "hidden_size": 8, "intermediate_size": 8,
    "num_hidden_layers": 1, "num_attention_heads": 2, "vocab_size": 16,
}  # fmt: skip


def _model(config: bytes, **files: bytes) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        folder.mkdir()
        (folder / "config.json").write_bytes(config)
        for name, data in files.items():
            (folder / name.replace("__", ".")).write_bytes(data)

    return write


#: Folders that are no model: maker, and words of the refusal.
MODELS: dict[str, tuple[Maker, tuple[str, ...]]] = {
    "bare": (Path.mkdir, ("holds no config.json",)),
    "config-empty": (_model(b""), ("m",)),
    "config-list": (_model(b"[]"), ("m",)),
    "config-cut": (_model(b'{"model_type": "lla'), ("m",)),
    "config-kind": (_model(b'{"model_type": "[/bold]\\u001b[31m"}'), ("m",)),
    "config-none": (_model(b"{}"), ("m",)),
    "no-weights": (_model(json.dumps(_CONFIG).encode()), ("m",)),
    "weights-cut": (_model(json.dumps(_CONFIG).encode(), model__safetensors=b"\xff" * 8), ("m",)),
    "weights-zip": (_model(json.dumps(_CONFIG).encode(), pytorch_model__bin=b"PK\3\4"), ("m",)),
    "bert": (_model(json.dumps({**_CONFIG, "model_type": "bert"}).encode()), ("m",)),
    "t5": (_model(b'{"model_type": "t5"}'), ("encoder-decoder",)),
    "gguf": (b"GGUF\3\0\0\0", ("GGUF",)),
}

BANKS: dict[str, Maker] = {
    "bank-sound": _sound,
    **{f"bank-{name}": maker for name, (maker, _) in DAMAGED.items()},
    **{f"vectors-{name}": maker for name, (maker, _) in VECTORS.items()},
    "vectors-fit": _tensors(calm__layer_1=torch.ones(32)),
    **{f"model-{name}": maker for name, (maker, _) in MODELS.items()},
    "gguf-empty": b"",
    "gguf-cut": b"GGUF\3\0\0\0" + b"\xff" * 16,
    "gguf-kind": b"GGUF\3\0\0\0" + b"\0" * 16,
    "gguf-swapped": b"FUGG\0\0\0\3" + b"\0" * 16,
}

_BANK = File("bank.safetensors", "bank-sound")
# Kept beside a bank that vectors are taken into; it is empty and stays.
_LOCK = (".bank.safetensors.lock",)

BANK: tuple[Case, ...] = (
    *(
        refused("bank", command, File("b.safetensors", f"bank-{name}"), say=("b.safetensors", *words), prints=prints)
        for name, (_, words) in DAMAGED.items()
        for command, prints in (("show", False), ("verify", True))
    ),
    *(
        refused("bank", "import", File("b.safetensors", f"bank-{name}"), say=("b.safetensors", *words))
        for name, (_, words) in DAMAGED.items()
    ),
    *(
        refused(
            "bank", "import", File("v.safetensors", f"vectors-{name}"), "--into", _BANK,
            say=words if name not in ("empty", "cut") else "v.safetensors", writes=_LOCK,
        )
        for name, (_, words) in VECTORS.items()
    ),
    *(
        refused("bank", "import", File("v.gguf", f"gguf-{name}"), "--into", _BANK, "--value", "calm", say=("v.gguf",))
        for name in ("empty", "cut", "kind", "swapped")
    ),
    *(refused("bank", "show", name, say=("is no file",)) for name in ("", ".", "../..", "\x1b[31m", "b" * 200)),
    refused("bank", "steal", say="No such command"),
    refused("bank", "show", File("x", "fifo"), say=("is no",)),
    refused("bank", "remove", File("lines.txt"), "--yes", say=("lines.txt", "is no vector bank")),
    refused("bank", "remove", File("x", "empty-folder"), "--yes", say=("is no file",)),
    refused("bank", "import", File("x", "fifo"), say=("is not there",)),
    refused("bank", "import", "/dev/zero", say=("/dev/zero",)),
    refused("bank", "import", _BANK, "--value", "calm", say=("--into", "is missing")),
    refused("bank", "import", File("v.gguf", "gguf-kind"), say=("--into", "is missing")),
    refused("bank", "import", File("v.gguf", "gguf-kind"), "--into", _BANK, say=("--value", "is missing")),
    refused("bank", "import", File("v", "vectors-value"), "--into", _BANK, "--value", "[/x]", say=("--value", "[/x]")),
    *(
        refused("bank", "import", File("v", "vectors-fit"), "--into", _BANK, "--name", name, say=words, writes=_LOCK)
        for name, words in (
            ("../../../x", ("is not a name",)),
            ("", ("is not a name",)),
            ("\x1b[31m", (r"x1b[31m", "is not a name")),
            ("n" * 300, ("is not a name",)),
            ("mean", ("--name", "'mean'", "--force")),
        )
    ),
    refused("bank", "export", _BANK, Out("v.txt"), say=("v.txt", ".gguf")),
    refused("bank", "export", _BANK, Out("v.gguf"), say=("--values", "one value")),
    refused("bank", "export", _BANK, Out("v.gguf"), "--values", "luck", say=("luck",)),
    refused("bank", "export", _BANK, File("bank.safetensors"), say=("is the bank itself",)),
    refused("bank", "export", _BANK, Out("v.safetensors"), "--estimator", "../x", say=("../x", "mean")),
    *(
        refused("bank", "export", _BANK, Out("v.safetensors"), "--blocks", blocks, say=words)
        for blocks, words in (
            ("0-1000000000000", ("blocks",)),
            ("9" * 400, ("blocks",)),
            ("9" * 5_000, ("blocks",)),
            ("3-1", ("--blocks", "lower end")),
            ("-1", ("--blocks", "10-25")),
            ("", ("--blocks", "10-25")),
            ("1,,2", ("--blocks",)),
            ("1-2-3", ("--blocks",)),
            ("²", ("--blocks",)),
            ("4", ("blocks", "4")),
        )
    ),
    *(
        refused("bank", "export", _BANK, Out("v.safetensors"), "--scale", scale, say=("--scale", "recipe"))
        for scale in ("nan", "inf", "", "1e999", "much")
    ),
    refused("bank", "export", _BANK, "/proc/v.safetensors", say=("/proc/v.safetensors", "cannot be written")),
    refused("bank", "export", _BANK, File("d.gguf", "empty-folder"), "--values", "calm", say=("d.gguf", "is a folder")),
    refused("bank", "export", _BANK, File("p.gguf", "fifo"), "--values", "calm", say=("p.gguf", "no ordinary file")),
    refused("bank", "verify", _BANK, "--taxonomy", "/nowhere", say=("/nowhere", "is not a folder")),
    refused("bank", "verify", _BANK, "--model", "/nowhere", loads=True, say=("/nowhere", "is not a folder")),
    Case(("bank", "remove", _BANK), ("abort",), code=1),
    done("bank", "list", environment={"VISPA_CACHE": "/dev/null"}, say="no banks"),
    done("bank", "show", _BANK, say="calm, thrift, candor"),
    done("bank", "verify", _BANK, say="sound"),
)  # fmt: skip

MODEL: tuple[Case, ...] = (
    *(
        refused("fit", File("m" if name != "gguf" else "m.gguf", f"model-{name}"), loads=True, say=("model", *words))
        for name, (_, words) in MODELS.items()
    ),
    refused("fit", "embedded", "--earlier", "x", say=("--earlier", "--update")),
    refused("fit", "embedded", "--update", "--force", say=("--force", "--update")),
    refused("fit", "embedded", "--update", "--earlier", "\x1b[31m/../x", say=("is no file",)),
    refused("fit", "", loads=True, say=("model",)),
    refused("fit", "/nowhere", loads=True, say=("/nowhere", "is not a folder")),
    refused("fit", "../../x/y", loads=True, say=("../../x/y", "is not a folder")),
    refused("fit", "/" + "m" * 5_000, loads=True, say=("cannot be used",)),
    refused("fit", "m" * 5_000, loads=True, say=("cannot be used",)),
    refused("fit", "no/such.gguf", loads=True, say=("no/such.gguf", "is not there")),
    refused("fit", "\x1b[31m[/bold]", loads=True, say=(r"\x1b[31m[/bold]",)),
    refused("fit", "/dev/zero", loads=True, say=("/dev/zero", "is not a folder")),
    refused("fit", File("x.gguf", "fifo"), loads=True, say=("x.gguf",)),
    refused("models", "lst", say="No such command"),
    refused("models", "get", "gpt-9", say=("'gpt-9'", "smollm2")),
    refused("models", "get", "../../x", say=("'../../x'", "not a named model")),
    refused("models", "remove", "\x1b[31m", say=(r"x1b[31m", "not a named model")),
    refused("models", "remove", "", say=("not a named model",)),
    refused("models", "get", "smollm2", environment={"VISPA_CACHE": "/dev/null"}, say=("/dev/null", "cannot be used")),
    done("models", "list", environment={"VISPA_CACHE": "/dev/null"}, say="to fetch"),
    done("models", "remove", "smollm2", environment={"VISPA_CACHE": "/nowhere"}, say="was not there"),
)  # fmt: skip
