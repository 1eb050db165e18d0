"""A real server in a process of its own, which a test may ask, watch and end."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
from served import wait_for

#: `vispa serve` as users call it, but for a bank that takes no fit.
CODE = """
import sys
from served import embedded_pipeline, slowed
from vispa.cli.setup import Setup
from vispa.cli import main
Setup.load = lambda self, *_: embedded_pipeline()
seconds, *options = sys.argv[1:]
sys.argv = ["vispa", "serve", "--port", "0", *options]
with slowed(float(seconds)):
    main.main()
"""


@dataclass
class Apart:
    """A server that runs.

    Attributes:
        process: of the operating system.
        lines: that it has written so far.
        port: where it listens.
    """

    process: subprocess.Popen[str]
    lines: list[str] = field(default_factory=list)
    port: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def log(self) -> str:
        return "".join(self.lines)

    def post(self, path: str, body: Any) -> httpx2.Response:
        return httpx2.post(self.url + path, json=body, timeout=120)

    def figures(self) -> dict[str, float]:
        """The figures of `/metrics` that have no labels."""
        text = httpx2.get(f"{self.url}/metrics", timeout=60).text
        return {name: float(number) for name, number in re.findall(r"^(vispa_\w+) (\S+)$", text, re.MULTILINE)}

    def resident(self) -> int:
        """Resident memory, in kilobytes."""
        found = re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{self.process.pid}/status").read_text(encoding="utf-8"))
        assert found is not None
        return int(found[1])

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.lines.append(line)


@contextmanager
def apart(*options: str, step_seconds: float = 0) -> Iterator[Apart]:
    """A server of the embedded model.

    Args:
        *options: of `vispa serve`.
        step_seconds: that each pass takes longer, see `slowed`.
    """
    path = os.pathsep.join([str(Path(__file__).parent), *sys.path])
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(CODE), str(step_seconds), *options],
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
    ) as process:
        found = Apart(process)
        threading.Thread(target=found._read, daemon=True).start()
        try:
            wait_for(lambda: process.poll() is not None or "ready: " in found.log, 120)
            assert process.poll() is None, found.log
            found.port = int(re.search(r"listening at \S+:(\d+)", found.log)[1])  # type: ignore[index]
            yield found
        finally:
            process.kill()
