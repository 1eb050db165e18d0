"""Commands that a server answers, instead of a model that is loaded here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import typer

from vispa.cli.console import names_argument
from vispa.cli.grouping import options_of
from vispa.cli.options import Asking, Loading, Running
from vispa.cli.setup import Setup, refuse_idle
from vispa.errors import InputError
from vispa.request import Request, check_request

if TYPE_CHECKING:
    from pathlib import Path

    from vispa.items.answering import BatchSummary
    from vispa.items.item import Item
    from vispa.readers.base import Failure
    from vispa.records import Response

_OF_SERVER = (
    "selector", "selector_model", "taxonomy", "language", "aggregator", "api_url", "api_key_variable", "api_timeout",
    "api_parameters", "option_reading", "prompts",
)  # fmt: skip


class Remote:
    """What a command asks of a server.

    Args:
        context: of the command.
        setup: its options; those that belong to the server are refused.
        asking: its mode.

    Raises:
        InputError: an option that the server decides, or an address that is none.
    """

    def __init__(self, context: typer.Context, setup: Setup, asking: Asking) -> None:
        from vispa.serving.client import ServerClient

        mine = [*_OF_SERVER, *(one.name for group in (Loading, Running) for one in options_of(group))]
        refuse_idle(context, dict.fromkeys(mine, "with --server, which decides it"))
        refuse_idle(context, setup.idle(asking.checked_mode))
        assert asking.server is not None
        self.client = ServerClient(asking.server)
        self.setup, self.asking = setup, asking
        self.how = _how(setup, asking)

    @property
    def shared(self) -> dict[str, Any]:
        """The fields of `vispa.request.Request` that hold for every text."""
        chosen, asking = self.setup.selecting, self.asking
        given = {"toward": asking.toward, "options": asking.choices, "passages": self.setup.reading.passages}
        if chosen.values is not None:
            return {**given, "values": names_argument(chosen.values)}
        if not self.setup.selects(asking.checked_mode):
            return given
        return {**given, "k": chosen.count, "threshold": chosen.threshold, "diversity": chosen.diversity}

    def respond(self, text: str, question: str | None) -> Response:
        """The answer to one text."""
        request = Request(text, mode=self.asking.checked_mode, question=question, **self.shared)
        check_request(request)
        return self.client.respond(request, self.how)

    def answer_file(self, items: Sequence[Item], output: Path, **more: Any) -> BatchSummary:
        """The answers to a file of texts; see `vispa.items.answering.answered_file`, also for `more`."""
        from vispa.items.answering import answered_file
        from vispa.items.asking import item_request

        requests = {item.id: item_request(item, self.shared) for item in items}
        for request in requests.values():
            check_request(request)

        def respond(asked: Sequence[Request]) -> list[Response | Failure]:
            return self.client.respond_many(asked, self.how)

        return answered_file(partial(map, respond), items, requests, output, self._settings(), **more)

    def _settings(self) -> dict[str, Any]:
        """All that determines answers, the server's model included."""
        about: Mapping[str, Any] = self.client.about()
        shared = {name: list(one) if isinstance(one, tuple) else one for name, one in self.shared.items()}
        return {
            **shared,
            **self.how,
            "mode": self.asking.mode,
            **{f"server_{name}": one for name, one in about.items()},
        }


def _how(setup: Setup, asking: Asking) -> dict[str, Any]:
    """The parts of a body that say how texts are answered."""
    sampling = setup.decoding.sampling.effective()
    found: dict[str, Any] = {"sampling": {"max_tokens": sampling.pop("max_new_tokens"), **sampling}}
    if asking.mode == "distributional" and setup.reading.weights != "mean":
        mixture = setup.mixture
        if mixture.kind == "fitted":
            raise InputError("--weights", "name a fitted mixture, which no server takes.", "Give value → weight.")
        found["weights"] = mixture.shares or mixture.kind
    recipe = setup.loaded_recipe()
    if recipe is not None:
        found["recipe"] = recipe if isinstance(recipe, str) else recipe.as_mapping()
    if setup.steering.polarity != "own":
        found["polarity"] = setup.steering.polarity
    return found
