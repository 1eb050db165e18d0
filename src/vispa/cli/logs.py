"""The package's log messages on standard error, where `--verbose` or `--debug` ask for them."""

from __future__ import annotations

import logging
import sys

from vispa.files.visible import visible_line


class _PlainFormatter(logging.Formatter):
    """One line a message, control characters made visible: a message may quote a model or a user."""

    def format(self, record: logging.LogRecord) -> str:
        return visible_line(super().format(record))


def show_warnings_plainly() -> None:
    """See that warnings, which are shown where nothing else was asked for, are plain lines too."""
    if logging.lastResort is not None:
        logging.lastResort.setFormatter(_PlainFormatter("vispa: %(message)s"))


def log_to_stderr(level: int) -> None:
    """Show this package's messages of at least a level."""
    logger = logging.getLogger("vispa")
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_PlainFormatter("vispa: %(levelname)s %(name)s: %(message)s"))
    logger.handlers = [one for one in logger.handlers if not isinstance(one, logging.StreamHandler)] + [handler]
    logger.setLevel(level)
