"""Comments of community models that run here."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from vispa.evaluation.methods.voice import Voice, check_count, item_key
from vispa.files.append_log import Identifier
from vispa.generation.rows import Row
from vispa.generation.transformers import TransformersEngine
from vispa.items.asking import comment_request
from vispa.items.item import Item
from vispa.models.loading import LoadedModel
from vispa.modes.endings import ended
from vispa.modes.prompts import Prompts
from vispa.readers.base import Failure, Unfinished
from vispa.request import Sampling


class ModelCommunity:
    """Other local models, unsteered, as community models.

    They stay loaded side by side: models that do not fit together are better run one after another
    and read from files (`FileCommunity`).

    Args:
        load: name → the model; called at once, since what is under a name may change and a run is of its weights.

    Raises:
        ModelError: one that cannot be loaded.
    """

    def __init__(self, load: Mapping[str, Callable[[], LoadedModel]]) -> None:
        check_count(len(load), "community")
        self._models = {name: read() for name, read in load.items()}
        self._known: dict[tuple[tuple[bool, Identifier], str, Sampling], list[Voice] | Failure] = {}
        fingerprints = {name: model.fingerprint for name, model in self._models.items()}
        self.settings: dict[str, Any] = {"models": list(load), "fingerprints": fingerprints}

    def comments(self, items: Sequence[Item], prompts: Prompts, sampling: Sampling) -> list[list[Voice] | Failure]:
        """See `Community.comments`; comments are kept, so that MoE and ModPlural share them."""
        requests = [comment_request(item, prompts) for item in items]
        keys = [(item_key(item), request, sampling) for item, request in zip(items, requests, strict=True)]
        if any(key not in self._known for key in keys):
            said = [self._said(name, requests, sampling) for name in self._models]
            for key, *voices in zip(keys, *said, strict=True):
                spoken = [voice for voice in voices if isinstance(voice, Voice)]
                failed = next((voice for voice in voices if isinstance(voice, Failure)), None)
                self._known[key] = failed or spoken
        return [self._known[key] for key in keys]

    def _said(self, name: str, requests: Sequence[str], sampling: Sampling) -> list[Voice | Failure]:
        engine = TransformersEngine(self._models[name])
        rows = [Row(engine.chat_prompt(request)) for request in requests]
        return [
            Failure(f"The community model {name} gave no comment: {Unfinished().reason}")
            if one.unfinished
            else Voice(name, ended(one.text, one.limited)[0], name, one.tokens)
            for one in engine.generate(rows, sampling)
        ]
