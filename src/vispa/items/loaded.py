"""What a pipeline has loaded, where the machine decided over what was left open."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vispa.models.loading import LoadedModel
    from vispa.pipeline import Vispa

# What every description of what was loaded has.
_ALWAYS = "selector_name"
# What may have been anything where it was asked for like this: by default, and by machine.
_LEFT_OPEN = (None, "auto")


def as_loaded(vispa: Vispa) -> dict[str, Any]:
    """What determines answers and may differ between machines that were asked for the same, as JSON can say it.

    Gives the model's number type and kind of device, the engine's kind of device where it is another one (vLLM), the
    number type and device of another local model that reads comments, and the selector by its own name, which tells
    them too where they hang on the machine.
    """
    from vispa.readers.local import LocalChat

    found = _numbers(vispa.model)
    if vispa.engine.device != found["device"]:
        found["engine_device"] = vispa.engine.device
    reader = vispa.reader
    if isinstance(reader, LocalChat) and reader is not vispa.own_reader:
        loaded = getattr(reader.engine, "loaded", None)
        if loaded is not None:
            found |= {f"reader_{name}": what for name, what in _numbers(loaded).items()}
    return {**found, _ALWAYS: vispa.selector.name}


def with_what_was_left_open(earlier: Mapping[str, Any], settings: Mapping[str, Any]) -> Mapping[str, Any]:
    """Earlier settings, with what is loaded now where they do not say what was loaded.

    Earlier versions wrote down what was asked for: a type or a device that was named was loaded, `auto` may have been
    anything. So an output of theirs is gone on with unless what they tell contradicts what is loaded.

    Args:
        earlier: of an output that is to be gone on with.
        settings: of now.
    """
    if _ALWAYS in earlier or _ALWAYS not in settings:
        return earlier
    # They named one of several devices of a kind, and the kind is what counts.
    told = {**earlier, "device": earlier["device"].split(":")[0]} if isinstance(earlier.get("device"), str) else earlier
    names = ("dtype", "device", "engine_device", "reader_dtype", "reader_device", _ALWAYS)
    open_then = {name for name in names if name in settings and told.get(name) in _LEFT_OPEN}
    return {**told, **{name: settings[name] for name in open_then}}


def _numbers(loaded: LoadedModel) -> dict[str, str]:
    return {"dtype": str(loaded.model.dtype).removeprefix("torch."), "device": loaded.device.type}
