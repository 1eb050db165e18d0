"""`vispa serve`."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Annotated

import typer

from vispa.cli.console import print_note, progress_bars
from vispa.cli.grouping import grouped, without
from vispa.cli.logs import log_to_stderr
from vispa.cli.setup import Setup, refuse_idle
from vispa.errors import InputError
from vispa.request import MAX_NEW_TOKENS

_OF_REQUESTS = ("k", "threshold", "diversity", "values", "no_passages", "decoding")


@grouped
def serve(
    context: typer.Context,
    host: Annotated[str, typer.Option(help="Name or address to listen at.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen at; 0 takes a free one.", min=0, max=65535)] = 8000,
    keys_file: Annotated[
        Path | None, typer.Option(help="File of API keys, one a line; VISPA_API_KEYS may hold others.")
    ] = None,
    cors_origin: Annotated[
        list[str] | None, typer.Option(help="Origin of pages that may ask, such as https://clinic.example; repeatable.")
    ] = None,
    concurrency: Annotated[int, typer.Option(help="Requests answered at the same time.", min=1, max=1024)] = 64,
    max_tokens: Annotated[
        int, typer.Option(help="Longest comment that may be asked for, in tokens.", min=1, max=MAX_NEW_TOKENS)
    ] = 512,
    request_seconds: Annotated[float, typer.Option(help="Time that a request may take.", min=1, max=86_400)] = 300.0,
    drain_seconds: Annotated[
        float, typer.Option(help="Time that running requests are given on SIGTERM.", min=0, max=3_600)
    ] = 30.0,
    log_texts: Annotated[bool, typer.Option("--log-texts", help="Write what is asked into the log.")] = False,
    drift_window: Annotated[
        int, typer.Option(help="Last answers whose values are compared with earlier ones'.", min=20, max=100_000)
    ] = 200,
    drift_reference: Annotated[
        Path | None, typer.Option(help="Records of `vispa batch` to compare with; else the first answers.")
    ] = None,
    *,
    setup: Annotated[Setup, without(*_OF_REQUESTS)],
) -> None:
    """Serve an OpenAI-compatible API until SIGTERM or Ctrl-C.

    Example: `vispa serve --port 8000`
    """
    from vispa.serving.address import listening
    from vispa.serving.keys import Keys
    from vispa.serving.settings import ServerSettings
    from vispa.study.value_use import read_uses

    settings = ServerSettings(
        Keys.load(keys_file), origins=tuple(cors_origin or ()), concurrency=concurrency, max_new_tokens=max_tokens,
        timeout=request_seconds, drain_seconds=drain_seconds, log_texts=log_texts, drift_window=drift_window,
        drift_reference=None if drift_reference is None else read_uses(drift_reference),
    )  # fmt: skip
    idle = setup.idle("distributional")
    refuse_idle(context, {name: why for name, why in idle.items() if name.startswith(("api_", "selector_"))})
    known = setup.check()
    for value in setup.mixture.values:
        _ = known[value]
    place = listening(host, port, settings)
    # Threads of OpenMP that spin between two steps take the processor from those that answer. Read once, with torch.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    try:
        from vispa.serving.server import serve as run
    except ImportError as error:
        advice = "Install it with `pip install 'vispa[serve]'`."
        raise InputError("serve", f"needs a package that is missing ({error.name}).", advice) from error
    from vispa.serving.service import Service

    # A server tells what it does, whether or not --verbose asks for more.
    if logging.getLogger("vispa").getEffectiveLevel() > logging.INFO:
        log_to_stderr(logging.INFO)
    address, number = place.getsockname()[:2]
    print_note(f"vispa: listening at http://{f'[{address}]' if ':' in address else address}:{number}")
    with progress_bars() as progress:
        run(Service(settings, lambda: setup.load(known, progress), setup.steering.polarity), place)
