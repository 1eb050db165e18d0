"""Items that failed: which of them may be answered another time, and what is said of them."""

from __future__ import annotations

from vispa.readers.base import Failure, Unreached


class Lost(Failure):
    """What was answering ended before its answer came, as a worker whose machine has gone; another time it may come."""


def may_pass(failure: Failure) -> bool:
    """Whether another call may get the answer with the same settings.

    What a text brings about by itself comes again: it is too long, its numbers are no numbers, what was written of it
    cannot be read. A model that runs here draws the same tokens each time, by its seed where it samples; one behind an
    API most likely writes much the same.
    """
    return isinstance(failure, Unreached | Lost)


def what_to_do(failed: int, passing: int | None) -> str:
    """What to do about items without an answer, as sentences.

    Args:
        failed: number of items.
        passing: how many of them may be answered another time, see `may_pass`; None where that is not known.
    """
    if passing is None:
        return (
            "Repeat the command to ask them again: that helps where a server, a network or memory was short, "
            "and not where a text or a setting is at fault, which fails again."
        )
    if passing == failed:
        return "Repeat the command to ask them again."
    lasting = (
        "for their text or a setting, and most likely would again; what their lines advise takes another output (-o)."
    )
    if not passing:
        return f"They fail {lasting}"
    return f"Repeat the command to ask {passing:,} of them again. The other {failed - passing:,} fail {lasting}"
