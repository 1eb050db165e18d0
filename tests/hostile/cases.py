"""One hostile input, and what must happen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class File:
    """An argument that is the path of a file or folder that is made for the case; see `hostile.files`.

    Attributes:
        name: of the file that is made.
        made: name of its maker; the file's own name by default.
    """

    name: str
    made: str = ""


@dataclass(frozen=True)
class Out:
    """An argument that is a path in the case's folder where nothing is yet."""

    name: str


Argument = str | File | Out


@dataclass(frozen=True)
class Case:
    """A command line and what must come of it.

    Attributes:
        arguments: after `vispa`.
        words: what the message must hold; of the output where the code is 0.
        code: the exit code.
        stdin: what standard input holds; None for a terminal.
        loads: whether a model may be loaded; what can be refused before is refused before.
        environment: variables that are set.
        writes: names of what may come to be in the case's folder.
        prints: whether the words stand in what is printed, where the code is not 0 too.
    """

    arguments: tuple[Argument, ...]
    words: tuple[str, ...]
    code: int = 2
    stdin: bytes | None = None
    loads: bool = False
    environment: Mapping[str, str | File] = field(default_factory=dict)
    writes: tuple[str, ...] = ()
    prints: bool = False

    @property
    def name(self) -> str:
        """The case in a few plain characters."""
        parts = [one if isinstance(one, str) else one.name for one in self.arguments]
        line = " ".join(ascii(part)[1:-1][:40] for part in parts)
        return line.replace("\\", "/").replace("[", "(").replace("]", ")")[:110]


def refused(*arguments: Argument, say: str | tuple[str, ...], **more: object) -> Case:
    """A case that ends with exit code 2 and these words."""
    return Case(arguments, (say,) if isinstance(say, str) else say, **more)  # type: ignore[arg-type]


def done(*arguments: Argument, say: str | tuple[str, ...] = (), **more: object) -> Case:
    """A case that ends well."""
    return Case(arguments, (say,) if isinstance(say, str) else say, code=0, **more)  # type: ignore[arg-type]
