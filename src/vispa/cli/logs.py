"""The package's log messages on standard error: warnings always, others where `--verbose` or `--debug` ask."""

from __future__ import annotations

import logging
import sys

from vispa.files.visible import visible_line


class _PlainFormatter(logging.Formatter):
    """One line a message, control characters made visible: a message may quote a model or a user."""

    def format(self, record: logging.LogRecord) -> str:
        return visible_line(super().format(record))


def show_warnings_plainly() -> None:
    """Show warnings, this package's and others', as plain lines where nothing more was asked for."""
    _show(logging.WARNING, "vispa: %(message)s")
    if logging.lastResort is not None:
        logging.lastResort.setFormatter(_PlainFormatter("vispa: %(message)s"))


def log_to_stderr(level: int) -> None:
    """Show this package's messages of at least a level."""
    _show(level, "vispa: %(levelname)s %(name)s: %(message)s")
    logging.getLogger("vispa").setLevel(level)


def _show(level: int, form: str) -> None:
    logger = logging.getLogger("vispa")
    handler = logging.StreamHandler(sys.stderr)
    handler.setLevel(level)
    handler.setFormatter(_PlainFormatter(form))
    logger.handlers = [one for one in logger.handlers if not isinstance(one, logging.StreamHandler)] + [handler]
