"""The command `vispa`."""

from __future__ import annotations

import atexit
import gc
import io
import logging
import os
import sys
from contextlib import suppress
from typing import Annotated, Any

import typer

from vispa.cli import (
    bank,
    batch,
    compare,
    config,
    data,
    doctor,
    drift,
    evaluate,
    fit,
    inspect,
    mixture,
    models,
    respond,
    select,
    serve,
    taxonomy,
    tune,
    values,
)
from vispa.cli.console import ReaderGone, flush_output, print_line, print_note
from vispa.cli.defaults import set_defaults
from vispa.cli.logs import log_to_stderr, show_warnings_plainly
from vispa.errors import InputError, OutputError, VispaError
from vispa.files.writing import is_exhausted

app = typer.Typer(
    name="vispa",
    help="Answer with many human values in view: select values, steer a language model toward each, aggregate.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)


def _show_version(wanted: bool) -> None:
    if wanted:
        from vispa.versions import package_version

        print_line(f"vispa {package_version()}")
        raise typer.Exit


@app.callback()
def options(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version.")
    ] = False,
    verbose: Annotated[bool, typer.Option("--verbose", help="Say on standard error what is done.")] = False,
    debug: Annotated[
        bool, typer.Option("--debug", help="Say everything that is done, and show the traceback of an error.")
    ] = False,
) -> None:
    """Options of all commands."""
    if debug:
        os.environ["VISPA_DEBUG"] = "1"
    if debug or verbose:
        log_to_stderr(logging.DEBUG if debug else logging.INFO)
    set_defaults(context)


app.command("respond")(respond.respond)
app.command("batch")(batch.batch)
app.command("select")(select.select)
app.command("serve")(serve.serve)
app.command("values")(values.values)
app.command("fit")(fit.fit)
app.command("tune")(tune.tune)
app.command("doctor")(doctor.doctor)
app.command("mixture")(mixture.mixture)
app.command("inspect")(inspect.inspect)
app.command("data")(data.data)
app.command("eval")(evaluate.evaluate)
app.command("config")(config.config)
app.command("compare")(compare.compare)
app.command("drift")(drift.drift)
app.add_typer(bank.app, name="bank")
app.add_typer(taxonomy.app, name="taxonomy")
app.add_typer(models.app, name="models")


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
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A character that the console does not have is written as an escape, and the rest is not lost.
            stream.reconfigure(errors="backslashreplace")
    show_warnings_plainly()
    sys.exit(_run())


def _run() -> int:
    """Run the command; its exit code."""
    try:
        code = app(standalone_mode=False)
        flush_output()
    except ReaderGone:
        _leave_output()
        return 0
    except InputError as error:
        return _failed(str(error), 2)
    except OutputError as error:
        _leave_output()
        return _failed(str(error), 1)
    except VispaError as error:
        return _failed(str(error), 1)
    except KeyboardInterrupt:
        return _failed("interrupted.", 130)
    except OSError as error:
        place = error.filename or "a file"
        if not is_exhausted(error):
            # A path that no file can have, a folder that is a file, a cache that cannot be written to.
            if error.filename is None:
                return _internal(error)
            known = InputError(str(place), f"cannot be used ({error.strerror}).", "Check path and permissions.")
            return _failed(str(known), 2)
        kept = "What was written before is kept; make room and repeat the command."
        return _failed(f"{place}: cannot be written ({error.strerror}). {kept}", 1)
    except typer.Abort:
        return _failed("aborted.", 1)
    except SystemExit as error:
        # What draws the help ends the process where its reader has gone.
        if not isinstance(error.__context__, BrokenPipeError):
            raise
        _leave_output()
        return 0
    except Exception as error:
        if hasattr(error, "format_message"):
            return _misused(error)
        return _internal(error)
    return _failed("interrupted.", 130) if code == 130 else code or 0


def _failed(message: str, code: int) -> int:
    if os.environ.get("VISPA_DEBUG") and sys.exc_info()[0] is not None:
        raise
    print_note(f"vispa: {message}")
    return code


def _internal(error: Exception) -> int:
    advice = "(run with `vispa --debug …` for the traceback)"
    return _failed(f"internal error: {type(error).__name__}: {error} {advice}", 1)


def _misused(error: Any) -> int:
    """An option or argument that the command line does not know."""
    message = error.format_message()
    if hasattr(error.__cause__, "errors"):
        from vispa.files.validation import first_fault

        found = first_fault(error.__cause__.errors(include_url=False), None)
        message = f"{' / '.join(error.param.opts)}: {found.problem} {found.should_be or found.advice}"
    if message:
        message = message if message.endswith((".", "?")) else f"{message}."
        path = getattr(getattr(error, "ctx", None), "command_path", "vispa")
        print_note(f"vispa: {message} See `{path} --help`.")
    return int(error.exit_code)


def _leave_output() -> None:
    """Throw away what standard output still holds, which would be written at the end of the process."""
    with suppress(OSError, ValueError, AttributeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
