"""Renders a chat template in a process of its own, which may be killed; run as a script.

Standard input is a JSON object with the template's `source` and its `variables`. The exit code is
0 where the template comes to an end, however it ends: what it writes, and the errors that it
raises, are looked at elsewhere.
"""

from __future__ import annotations

import json
import sys
from typing import Any

TOO_LARGE = 3
CPU_SECONDS = 2
_BYTES = 1 << 30
_CHARACTERS = 1_000_000


def main() -> int:
    """Render; give up on a template that writes or needs too much."""
    given = json.load(sys.stdin)
    try:
        import resource
    except ImportError:  # Windows: the caller's clock alone.
        pass
    else:
        resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
        resource.setrlimit(resource.RLIMIT_AS, (_BYTES, _BYTES))
    try:
        return _render(given["source"], given["variables"])
    except MemoryError:
        return TOO_LARGE
    except Exception:
        return 0


def _render(source: str, variables: dict[str, Any]) -> int:
    from jinja2 import TemplateError, nodes
    from jinja2.ext import Extension, loopcontrols
    from jinja2.parser import Parser
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    class Generation(Extension):
        """The tag `generation`, which marks what an assistant says."""

        tags = {"generation"}  # noqa: RUF012

        def parse(self, parser: Parser) -> list[nodes.Node]:
            next(parser.stream)
            return parser.parse_statements(("name:endgeneration",), drop_needle=True)

    def refuse(message: str) -> None:
        raise TemplateError(message)

    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, loopcontrols]
    )
    environment.filters["tojson"] = lambda value, **_options: json.dumps(value)
    environment.globals |= {"raise_exception": refuse, "strftime_now": str}
    written = 0
    for part in environment.from_string(source).generate(**variables):
        written += len(part)
        if written > _CHARACTERS:
            return TOO_LARGE
    return 0


if __name__ == "__main__":
    sys.exit(main())
