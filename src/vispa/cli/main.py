"""The command `vispa`."""

from __future__ import annotations

import atexit
import gc
import os
import sys
import warnings
from typing import Annotated

import typer

from vispa.cli import bank, batch, compare, evaluate, fit, inspect, mixture, respond, select, values

app = typer.Typer(
    name="vispa",
    help="Answer with many human values in view: select values, steer a language model toward each, aggregate.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)


@app.callback()
def options(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    """Options of all commands."""
    if debug:
        os.environ["VISPA_DEBUG"] = "1"


app.command("respond")(respond.respond)
app.command("batch")(batch.batch)
app.command("select")(select.select)
app.command("values")(values.values)
app.command("fit")(fit.fit)
app.command("mixture")(mixture.mixture)
app.command("inspect")(inspect.inspect)
app.command("data")(evaluate.data)
app.command("eval")(evaluate.evaluate)
app.command("compare")(compare.compare)
app.add_typer(bank.app, name="bank")


def main() -> None:
    """Entry point: 0 done, 1 a fault of ours, 2 a fault of the input, 130 interrupted."""
    # Importing torch and transformers makes a million objects that all stay; looking through them again and
    # again for garbage takes a fifth of a short command's time.
    gc.set_threshold(200_000, 20, 100)
    # The same at the end of the process, which would look through them once more.
    atexit.register(gc.freeze)
    # Tokenizers warn about forks that never happen here; hub progress bars would hide ours.
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    # The cache argument of `generation.engine` is renamed in a release beyond the pinned range.
    warnings.filterwarnings("ignore", "`past_key_values` is deprecated", FutureWarning)
    from vispa.errors import InputError, VispaError

    try:
        app()
    except KeyboardInterrupt:
        _fail("interrupted.", 130)
    except BrokenPipeError:
        # The reader of our output has gone, as in `vispa values | head`.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except InputError as error:
        _fail(str(error), 2)
    except VispaError as error:
        _fail(str(error), 1)
    except Exception as error:
        _fail(f"internal error: {type(error).__name__}: {error} (run with `vispa --debug …` for the traceback)", 1)


def _fail(message: str, code: int) -> None:
    if os.environ.get("VISPA_DEBUG"):
        raise
    sys.stderr.write(f"vispa: {message}\n")
    sys.exit(code)
