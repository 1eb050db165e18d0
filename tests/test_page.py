"""The page in a real browser: a visitor's way through all modes, and what must not happen on it."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from typing import Any

import pytest
from served import KEY
from served_apart import apart
from visits import CHROMIUM, Visit, visiting

from vispa import Recipe

playwright = pytest.importorskip("playwright.sync_api", reason="needs the package playwright")
if CHROMIUM is None:
    pytest.skip("needs chromium: apt-get install chromium", allow_module_level=True)

HOSTILE = (
    "<img src=x onerror=alert(1)></script><script>alert(2)</script> {{7*7}} ${1} "
    "\u202eright to left\u202c \u05e9\u05dc\u05d5\u05dd 👩‍👩‍👧 lying & stealing"
)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as here:
        found = here.chromium.launch(executable_path=CHROMIUM)
        yield found
        found.close()


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with apart() as found:
        yield found.url


def settings(visit: Visit, tokens: int = 16, k: int = 4) -> None:
    visit.page.get_by_text("Settings").click()
    for name, number in (("Longest comment, tokens", tokens), ("Values", k)):
        visit.page.get_by_label(name, exact=True).fill(str(number))
        visit.page.get_by_label(name, exact=True).press("Tab")


def exported(visit: Visit, form: str) -> str:
    visit.page.get_by_role("button", name="Export").click()
    visit.page.get_by_role("button", name=form).click()
    found: str = visit.page.locator("dialog pre").inner_text()
    visit.page.keyboard.press("Escape")
    return found


def curled(visit: Visit) -> Any:
    """What the exported command gets in a shell."""
    command = exported(visit, "curl").replace("curl ", "curl -sS ", 1)
    return json.loads(subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True).stdout)


def bars_are_as_wide_as_they_say(visit: Visit, *, bars: str, said: str) -> None:
    """Whether each of some bars takes the share of its place that the text beside it names."""
    drawn = visit.run(
        f"[...document.querySelectorAll({json.dumps(bars)})].map((one) => "
        "one.getBoundingClientRect().width / one.parentElement.getBoundingClientRect().width)"
    )
    # A chip's figure has words for screen readers around it.
    told = [float(one.split("%")[0].split()[-1]) / 100 for one in visit.page.locator(said).all_inner_texts()]
    assert len(drawn) == len(told) > 1 and min(told) < 0.9
    assert drawn == pytest.approx(told, abs=0.006)


def number(reference: Any) -> int:
    """Of the comment that a reference leads to."""
    return int(reference.inner_text().split()[1].strip(","))


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_a_visit(browser: Any, address: str, width: int, scheme: str) -> None:
    window = {"viewport": {"width": width, "height": 850}, "color_scheme": scheme}
    with visiting(browser, address, **window) as visit:
        page = visit.page
        assert page.locator(".model").inner_text().endswith("embedded")
        assert "cannot look anything up" in page.locator(".notice").inner_text()
        assert page.get_by_role("button", name="Answer", exact=True).is_disabled()
        settings(visit)
        overton(visit)
        assert visit.serious() == [] and visit.overflow() <= 0
        steerable(visit)
        assert visit.serious() == [] and visit.overflow() <= 0
        distributional(visit)
        assert visit.serious() == [] and visit.overflow() <= 0


def overton(visit: Visit) -> None:
    page = visit.page
    page.get_by_role("button", name="A comforting lie").click()
    visit.found()
    chips = page.locator(".chip:not(.adder)")
    assert chips.count() == 4 and page.locator(".why mark").count() > 0
    bars_are_as_wide_as_they_say(visit, bars=".meter > span", said="button.relevance")
    dropped, kept = (chips.nth(place).locator(".name").inner_text() for place in (0, 1))
    chips.nth(0).get_by_role("switch").uncheck()
    page.get_by_label("Add a value").select_option("honor")
    page.get_by_role("button", name="Add", exact=True).click()
    slider = page.get_by_role("slider", name=f"Strength of {kept}", exact=False)
    assert slider.get_attribute("aria-valuetext").endswith("the default")
    for _ in range(6):
        slider.press("ArrowRight")
    assert "default" not in slider.get_attribute("aria-valuetext")
    visit.answer()
    said = {one.casefold() for one in page.locator(".comment h3").all_inner_texts()}
    assert len(said) == 4 and dropped.casefold() not in said and {kept.casefold(), "honor"} <= said
    assert page.locator(".plain .text").inner_text()
    # Sentences lead to the comments that say them.
    reference = page.locator(".claim .reference").first
    place = number(reference) - 1
    reference.click()
    assert visit.run("document.activeElement.id") == f"comment-{place}"
    # Tokens are read by hand and by keys.
    text = page.locator(".comment-text").first
    text.focus()
    first = page.locator(".gauge").first.inner_text()
    text.press("ArrowRight")
    assert first.startswith("“") and page.locator(".gauge").first.inner_text() not in (first, "")
    page.locator(".comment").nth(1).locator(".token").first.hover()
    assert page.locator(".gauge").nth(1).inner_text().startswith("“")
    recipe = Recipe.from_mapping(tomllib.loads(exported(visit, "Recipe")))
    answer = curled(visit)
    assert list(recipe.amounts.values()) == list(answer["provenance"]["steering"]["amounts"].values()) != []
    assert "honor" in [one["value"] for one in answer["values"]] and len(answer["values"]) == 4
    shown = [one.strip() for one in page.locator(".claim .sentence").all_inner_texts()]
    assert shown == [one["text"] for one in answer["claims"]]
    flags = page.locator(".claim .flag").count()
    assert flags == sum(not one["supported"] for one in answer["claims"])
    assert "The answer is there" in page.locator("main > .unseen[role=status]").inner_text()


def steerable(visit: Visit) -> None:
    page = visit.page
    page.get_by_role("tab", name="Overton").press("ArrowRight")
    assert page.get_by_role("tab", name="Steerable").get_attribute("aria-selected") == "true"
    page.get_by_role("button", name="Loud music, a right to quiet").click()
    visit.found()
    visit.answer()
    answer = curled(visit)
    assert answer["target"] == "The right to quiet" == page.get_by_role("combobox", name="Target").input_value()
    assert page.locator(".verdict strong").inner_text() == answer["response"]
    assert page.locator(".fits li").count() == len(answer["comments"]) == 4
    bars_are_as_wide_as_they_say(visit, bars=".fits .bar > span", said=".fits .amount")
    bars_are_as_wide_as_they_say(visit, bars=".distribution .bar > span", said=".distribution .amount")
    assert number(page.locator(".fits .reference").first) == answer["chosen"] + 1


def distributional(visit: Visit) -> None:
    page = visit.page
    page.get_by_role("button", name="Should voting be a duty?").click()
    visit.found()
    visit.answer()
    mixture = page.get_by_test_id("mixture").locator(".amount")
    asked = len(visit.asked)
    weights = page.locator(".by-value input")
    weights.nth(0).press("Home")
    for _ in range(30):
        weights.nth(1).press("ArrowLeft")
    after = mixture.all_inner_texts()
    assert len(visit.asked) == asked and len(after) == 3
    assert page.locator(".by-value .amount").first.inner_text() == "0 %"
    # The server makes the same mixture of the same weights.
    answer = curled(visit)
    assert after == [f"{share * 100:.1f} %" for share in answer["distribution"]]
    assert page.locator(".verdict strong").inner_text() == answer["response"]
    assert answer["mixture"] == "given" and answer["weights"][0] == 0


def test_a_link_holds_the_request_and_the_past_stays_here(browser: Any, address: str) -> None:
    with visiting(browser, address) as visit:
        page = visit.page
        settings(visit, tokens=12, k=2)
        page.get_by_label("Temperature").fill("0.8")
        page.get_by_label("Seed").fill("7")
        page.get_by_role("tab", name="Distributional").click()
        page.get_by_label("Options").fill("Keep it\nTell her")
        page.get_by_label("Situation or question").fill("My sister’s secret 😀")
        visit.found()
        visit.answer()
        texts = page.locator(".comment-text").all_inner_texts()
        code = exported(visit, "Python")
        with visiting(browser, address, page.url.rpartition("/")[2]) as other:
            assert other.page.get_by_label("Situation or question").input_value() == "My sister’s secret 😀"
            assert other.page.get_by_label("Options").input_value() == "Keep it\nTell her"
            other.found()
            other.answer()
            assert other.page.locator(".comment-text").all_inner_texts() == texts
            assert other.page.get_by_test_id("mixture").inner_text() == page.get_by_test_id("mixture").inner_text()
        page.get_by_role("button", name="History").click()
        assert page.locator(".past button").count() == 1
        assert "My sister’s secret" in page.locator(".past").inner_text()
        assert visit.serious() == []
        page.get_by_role("button", name="Clear history").click()
        assert page.get_by_text("Nothing yet.").is_visible() and visit.run("localStorage.length") == 0
        page.keyboard.press("Escape")
        for _ in range(2):
            page.get_by_role("button", name="Colours").click()
        assert visit.run("getComputedStyle(document.body).backgroundColor") == "rgb(19, 18, 23)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    assert found in ("Keep it", "Tell her")


def linked(ask: object) -> str:
    return "#ask=" + base64.urlsafe_b64encode(json.dumps(ask).encode()).decode().rstrip("=")


def test_texts_stay_texts(browser: Any, address: str) -> None:
    with visiting(browser, address, linked({"text": HOSTILE, "k": 2, "tokens": 8, "mode": "nonsense"})) as visit:
        page = visit.page
        assert page.get_by_label("Situation or question").input_value() == HOSTILE
        visit.found()
        assert page.locator(".why blockquote").inner_text() == HOSTILE
        visit.answer()
        assert curled(visit)["text"] == HOSTILE
        page.get_by_role("button", name="History").click()
        assert "<img src=x" in page.locator(".past-text").inner_text()
        page.keyboard.press("Escape")
        assert page.locator("img, #app script, iframe").count() == 0
        # What the model says is no more markup than what the visitor writes.
        page.route("**/v1/vispa/respond", lambda route: route.fulfill(body=forged(), content_type="text/event-stream"))
        page.get_by_role("button", name="Answer", exact=True).click()
        page.locator(".claim .flag").wait_for()
        assert page.locator(".claim .sentence").inner_text() == HOSTILE
        assert page.locator(".comment-text").first.inner_text() == HOSTILE
        assert page.locator("img, #app script, iframe").count() == 0
        page.get_by_label("Situation or question").fill("a " * 5_000)
        page.unroute("**/v1/vispa/respond")
        page.get_by_role("button", name="Answer", exact=True).click()
        assert "tokens" in page.locator(".banner.problem").inner_text()
        assert visit.overflow() <= 0
        visit.faults = [one for one in visit.faults if "status of 422" not in one]
    for fragment in ("#ask=%%%", "#ask=e30", linked([1]), linked({"text": {"a": 1}, "k": -1, "weights": {"a": "b"}})):
        with visiting(browser, address, fragment) as visit:
            visit.page.locator(".model").wait_for()
            assert visit.page.get_by_label("Situation or question").input_value() == ""


def forged() -> str:
    """A stream whose every text is hostile."""
    values = [{"value": "karma", "score": 0.5, "promotes": None}]
    comment = {
        "value": "karma", "text": HOSTILE, "shift": {}, "stance": {}, "steered": True, "ending": "own",
        "refused": False, "repeats": None,
    }  # fmt: skip
    claim = {"text": HOSTILE, "values": [], "comments": [], "support": 0, "supported": False}
    answer = {
        "mode": "overton", "text": HOSTILE, "values": values, "comments": [comment], "silent": [],
        "response": HOSTILE, "claims": [claim],
    }  # fmt: skip
    events = [{"event": "selection", "values": values}, {"event": "response", "answer": answer}]
    return "".join(f"data: {json.dumps(one)}\n\n" for one in events) + "data: [DONE]\n\n"


def test_a_key_is_asked_for_and_kept_for_the_tab_only(browser: Any, address: str) -> None:
    """What a server with keys does is told apart in its own tests; here it is played."""
    sent: list[str | None] = []

    def guarded(route: Any) -> None:
        sent.append(route.request.headers.get("authorization"))
        if sent[-1] == f"Bearer {KEY}":
            route.continue_()
        else:
            error = {"message": "No valid key.", "type": "invalid_request_error", "code": "invalid_api_key"}
            route.fulfill(status=401, json={"error": error})

    with visiting(browser, address, "#") as visit:
        page = visit.page
        page.route("**/v1/**", guarded)
        page.reload()
        for key in ("wrong" * 5, KEY):
            page.get_by_label("API key").fill(key)
            page.get_by_role("button", name="Use this key").click()
            if key != KEY:
                page.get_by_text("does not know this key").wait_for()
        page.locator(".model").wait_for()
        assert visit.run("[sessionStorage.length, localStorage.length]") == [1, 0]
        page.get_by_label("Situation or question").fill("Eating meat")
        visit.found()
        settings(visit, tokens=8, k=2)
        visit.answer()
        assert set(sent) == {None, f"Bearer {'wrong' * 5}", f"Bearer {KEY}"}
        command = exported(visit, "curl")
        assert KEY not in command and '"Authorization: Bearer $VISPA_API_KEY"' in command
        assert KEY not in page.url and KEY not in visit.run("JSON.stringify(localStorage)")
        page.reload()
        page.locator(".model").wait_for()
        visit.faults = [one for one in visit.faults if "status of 401" not in one]
