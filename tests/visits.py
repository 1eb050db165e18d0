"""A browser, and a visitor of the page in it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

AXE = Path(__file__).parent / "axe" / "axe.min.js"
#: Debian's browser; None where there is none.
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@dataclass
class Visit:
    """A visitor's page.

    Attributes:
        page: of Playwright.
        asked: addresses that it asked for.
        faults: what its console and its scripts complained about.
    """

    page: Any
    asked: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    def run(self, expression: str) -> Any:
        """The value of JavaScript, past the page's own policy, which forbids what Playwright's `evaluate` does."""
        session = self.page.context.new_cdp_session(self.page)
        found = session.send(
            "Runtime.evaluate", {"expression": expression, "awaitPromise": True, "returnByValue": True}
        )
        session.detach()
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def serious(self) -> list[str]:
        """What axe-core finds that is serious, each with where it is."""
        if not self.run("'axe' in window"):
            self.run(AXE.read_text())
        # A colour on its way to another one has no contrast of its own.
        found = self.run("Promise.all(document.getAnimations().map((one) => one.finished.catch(() => 0))) && axe.run()")
        return [
            f"{one['id']}: {[node['html'][:200] for node in one['nodes'][:3]]}"
            for one in found["violations"]
            if one["impact"] in ("serious", "critical")
        ]

    def overflow(self) -> int:
        """By how many pixels the page is wider than its window."""
        return int(self.run("document.documentElement.scrollWidth - document.documentElement.clientWidth"))

    def answer(self) -> None:
        """Ask, and wait for all of the answer, its tokens' readings too."""
        self.page.get_by_role("button", name="Answer", exact=True).click()
        self.page.locator(".results[aria-busy=false]").wait_for()
        self.page.locator(".token").first.wait_for()

    def found(self) -> None:
        """Wait for the values of what was written."""
        self.page.locator(".chips[aria-busy=false] button.relevance").first.wait_for()


@contextmanager
def visiting(browser: Any, address: str, fragment: str = "", **options: Any) -> Iterator[Visit]:
    """A page in a fresh window; complaints of the console, and requests to elsewhere, fail at the end."""
    context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}, "reduced_motion": "reduce", **options})
    context.set_default_timeout(60_000)
    page = context.new_page()
    visit = Visit(page)
    page.on("request", lambda request: visit.asked.append(request.url))
    page.on("pageerror", lambda error: visit.faults.append(str(error)))
    page.on("console", lambda line: line.type == "error" and visit.faults.append(line.text))
    page.on("dialog", lambda dialog: (visit.faults.append("a dialog"), dialog.dismiss()))
    try:
        page.goto(f"{address}/{fragment}")
        yield visit
        assert visit.faults == []
        assert {url for url in visit.asked if not url.startswith(f"{address}/")} == set()
    finally:
        context.close()
