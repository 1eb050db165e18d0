"""Commands that a server answers, instead of a model that is loaded here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, replace
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
        self.how = _how(context, setup, asking)

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
        from vispa.items.asking import checked_requests, item_request
        from vispa.taxonomy import Taxonomy

        requests = {item.id: item_request(item, self.shared) for item in items}
        # Which values there are, and so how many may be chosen, the server alone knows.
        valueless = {name: replace(request, values=(), k=None) for name, request in requests.items()}
        checked_requests(valueless, Taxonomy.built_in())

        about = self.client.about()
        if about.get("words_stances") is True:
            requests = {item.id: item_request(item, self.shared, own_stances=True) for item in items}
        called = {id(request): name for name, request in requests.items()}

        def respond(asked: Sequence[Request]) -> list[Response | Failure]:
            return self.client.respond_many(asked, self.how, [called[id(one)] for one in asked])

        earlier = None if more.get("overwrite") else _begun_with(output)
        return answered_file(partial(map, respond), items, requests, output, self._settings(about, earlier), **more)

    def _settings(self, about: Mapping[str, Any], earlier: Mapping[str, Any] | None) -> dict[str, Any]:
        """All that determines answers, what decides them on the server's side included.

        Args:
            about: what the server says of itself.
            earlier: with what the file was begun; None where it is not begun yet.
        """
        shared = {name: list(one) if isinstance(one, tuple) else one for name, one in self.shared.items()}
        # The server answers by its own polarity or not at all, and says it itself.
        how = {name: given for name, given in self.how.items() if (name, given) != ("polarity", "own")}
        told: Mapping[str, Any] = about.get("settings", {})
        # Its own weights hold for nobody who sends some, as is done here; its own recipe for who sends none.
        own = {name: digest for name, digest in told.items() if name != "mixture" and name not in how}
        if earlier is not None and not any(f"server_{name}" in earlier for name in told):
            # Begun by an earlier version, or at a server of one.
            own = {}
        if earlier is not None and "weights" not in earlier and how.get("weights") == "mean" and _weighs_equally(told):
            # Earlier versions left equal weights to the server.
            del how["weights"]
        plain = {name: one for name, one in about.items() if name not in ("settings", "words_stances")}
        of_server = {f"server_{name}": one for name, one in (plain | own).items()}
        return {**shared, **how, "mode": self.asking.mode, **of_server}


def _how(context: typer.Context, setup: Setup, asking: Asking) -> dict[str, Any]:
    """The parts of a body that say how texts are answered.

    What means something without a server is sent, whatever it is there by default: the server's own may be another.
    Recipe and polarity belong to the model, so that the server's hold where none is given.

    Raises:
        InputError: weights that no server takes.
    """
    sampling = setup.decoding.sampling.effective()
    found: dict[str, Any] = {"sampling": {"max_tokens": sampling.pop("max_new_tokens"), **sampling}}
    if asking.mode == "distributional":
        mixture = setup.mixture
        if mixture.kind == "fitted" or mixture.groups or mixture.temperature != 1:
            what = "a fitted mixture" if mixture.kind == "fitted" else "a mixture with groups or a temperature"
            raise InputError("--weights", f"name {what}, which no server takes.", "Give value → weight.")
        found["weights"] = mixture.shares or mixture.kind
    recipe = setup.loaded_recipe()
    if recipe is not None:
        found["recipe"] = recipe if isinstance(recipe, str) else recipe.as_mapping()
    source = context.get_parameter_source("polarity")
    if source is not None and source.name != "DEFAULT":
        found["polarity"] = setup.steering.polarity
    return found


def _begun_with(output: Path) -> dict[str, Any] | None:
    """The settings that an output was begun with; None where there are none, or none that can be read."""
    from vispa.files.reading import read_object
    from vispa.items.begun import settings_path

    # What cannot be read is refused where answers are kept.
    with suppress(InputError):
        return read_object(settings_path(output), "settings") if output.exists() else None
    return None


def _weighs_equally(told: Mapping[str, Any]) -> bool:
    """Whether a server mixes values equally where it is sent no weights, by the digests that it tells, if any."""
    from vispa.modes.mixture import Mixture
    from vispa.serving.telling import digest_of

    return told.get("mixture") in (None, digest_of(asdict(Mixture())))
