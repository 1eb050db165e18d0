"""What a visitor of the page does out of order, and what a server does that has no room or asks for a key late."""

from __future__ import annotations

import time
from typing import Any

import pytest
from served import KEY
from served_apart import apart
from test_page import address, browser, curled, exported, linked, settings  # noqa: F401
from visits import Visit, visiting


def asked(visit: Visit, route: str) -> int:
    """How often a route was asked."""
    return sum(one.endswith(route) for one in visit.asked)


def switches(visit: Visit) -> list[bool]:
    found = visit.page.locator(".chip:not(.adder)").get_by_role("switch")
    return [found.nth(place).is_checked() for place in range(found.count())]


@pytest.mark.parametrize("way", ["click", "Enter", "double click"])
def test_stop_stops(way: str, browser: Any) -> None:  # noqa: F811
    with apart(step_seconds=0.05) as slow, visiting(browser, slow.url) as visit:
        page = visit.page
        settings(visit, tokens=200, k=2)
        page.get_by_label("Situation or question").fill("Eating meat")
        visit.found()
        answer, stop = (page.get_by_role("button", name=name, exact=True) for name in ("Answer", "Stop"))
        if way == "double click":
            # It asks once, and is not taken for a wish to stop.
            answer.dblclick()
            page.wait_for_timeout(300)
            assert stop.is_visible() and asked(visit, "/respond") == 1
            return
        answer.click()
        page.locator(".comment-text").first.wait_for()
        if way == "click":
            stop.click()
        else:
            stop.press("Enter")
        answer.wait_for()
        page.wait_for_timeout(300)
        assert asked(visit, "/respond") == asked(visit, "/unsteered") == 1
        assert page.locator(".results[aria-busy=false]").count() == 1


def test_what_is_set_before_the_server_answers_stays(browser: Any, address: str) -> None:  # noqa: F811
    with visiting(browser, address) as visit:
        page, held = visit.page, []
        page.locator(".model").wait_for()
        page.route("**/v1/vispa/about", lambda route: held.append(route))
        page.reload(wait_until="commit")
        settings(visit, tokens=9, k=2)
        page.wait_for_timeout(100)
        held[0].continue_()
        page.locator(".model").wait_for()
        assert page.get_by_label("Values", exact=True).input_value() == "2"
        assert page.get_by_label("Longest comment, tokens", exact=True).input_value() == "9"


def test_an_answer_is_not_stopped_by_the_one_before(browser: Any, address: str) -> None:  # noqa: F811
    with visiting(browser, address, linked({"text": "Eating meat", "k": 2, "tokens": 60})) as visit:
        page = visit.page
        visit.found()
        # The readings of the first answer's tokens never come.
        page.route("**/v1/vispa/tokens", lambda _: None, times=1)
        answer = page.get_by_role("button", name="Answer", exact=True)
        answer.click()
        page.locator(".results[aria-busy=false] .claim").first.wait_for()
        answer.click()
        page.locator(".results[aria-busy=true]").wait_for()
        page.locator(".results[aria-busy=false] .claim").first.wait_for()
        page.locator(".token").first.wait_for()
        assert page.locator(".plain .text").inner_text() and page.get_by_text("Stopped.").count() == 0


@pytest.mark.parametrize("odd", [{"temperature": 0.75}, {"temperature": 3}, {"k": 60}, {"values": []}])
def test_a_link_with_odd_settings_is_answered(odd: dict[str, Any], browser: Any, address: str) -> None:  # noqa: F811
    ask = {"text": "Eating meat", "k": 2, "tokens": 8, **odd}
    with visiting(browser, address, linked(ask)) as visit:
        visit.found()
        if "values" in odd:
            assert switches(visit) == [True, True]
        visit.answer()
        assert visit.page.locator(".claim").count() > 0


def test_moved_weights_stay_where_they_are_asked_for(browser: Any, address: str) -> None:  # noqa: F811
    ask = {"text": "Eating meat", "mode": "distributional", "k": 3, "tokens": 8}
    with visiting(browser, address, linked(ask)) as visit:
        page = visit.page
        visit.found()
        visit.answer()
        page.locator(".by-value input").nth(0).press("Home")
        shown = page.get_by_test_id("mixture").inner_text()
        for name in ("Overton", "Distributional"):
            page.get_by_role("tab", name=name).click()
        assert page.get_by_test_id("mixture").inner_text() == shown
        assert page.locator(".by-value .amount").first.inner_text() == "0 %"
        visit.answer()
        assert page.locator(".by-value .amount").first.inner_text() == "0 %"
        page.get_by_role("button", name="Weights as they came").click()
        assert "weights" not in exported(visit, "curl")
        # Other values have no weights yet.
        page.locator(".by-value input").nth(0).press("Home")
        page.get_by_text("Settings").click()
        page.get_by_label("Values", exact=True).fill("4")
        page.get_by_label("Values", exact=True).press("Tab")
        page.get_by_text("What you ask has changed").wait_for()
        visit.found()
        page.locator(".chip:not(.adder)").nth(3).wait_for()
        visit.answer()
        assert page.locator(".by-value li").count() == 4 == len(curled(visit)["weights"])


def test_others_speak_beside_a_target_that_is_a_value(browser: Any, address: str) -> None:  # noqa: F811
    with visiting(browser, address, linked({"text": "Eating meat", "k": 3})) as visit:
        page = visit.page
        visit.found()
        first = page.locator(".chip .name").first.inner_text()
        page.get_by_role("tab", name="Steerable").click()
        page.get_by_label("Target").fill(first)
        assert switches(visit) == [True, False, False]
        for place in (1, 2):
            page.locator(".chip:not(.adder)").nth(place).get_by_role("switch").check()
        assert switches(visit) == [True, True, True]


def test_what_is_asked_is_compared_and_not_what_is_filled_in(browser: Any, address: str) -> None:  # noqa: F811
    with visiting(browser, address, linked({"text": "Eating meat", "k": 2, "tokens": 8})) as visit:
        page = visit.page
        visit.found()
        visit.answer()
        page.get_by_role("tab", name="Steerable").click()
        page.get_by_label("Target").fill("karma")
        page.get_by_role("tab", name="Overton").click()
        changed = page.get_by_text("What you ask has changed")
        assert changed.count() == 0
        page.get_by_role("button", name="Link").click()
        page.locator(".toolbar [role=status]", has_text="ink").wait_for()
        page.get_by_label("Situation or question").fill("Eating fish")
        changed.wait_for()
        page.locator(".toolbar [role=status]:empty").wait_for(state="attached")


def test_a_server_with_room_for_one_answers(browser: Any) -> None:  # noqa: F811
    with apart("--concurrency", "1") as small, visiting(browser, small.url) as visit:
        page = visit.page
        settings(visit, tokens=12, k=2)
        page.get_by_label("Situation or question").fill("Eating meat")
        visit.found()
        visit.answer()
        assert page.locator(".comment").count() == 2 and page.locator(".plain .text").inner_text()
        visit.faults = [one for one in visit.faults if "status of 429" not in one]


def refuse(page: Any, route: str, status: int, times: int, headers: dict[str, str] | None = None) -> None:
    error = {"message": "Not now.", "type": "invalid_request_error", "code": "x"}

    def answer(one: Any) -> None:
        one.fulfill(status=status, json={"error": error}, headers=headers)

    page.route(f"**/v1/vispa/{route}", answer, times=times)


def test_values_are_looked_for_again_where_there_was_no_room(browser: Any, address: str) -> None:  # noqa: F811
    with visiting(browser, address) as visit:
        page = visit.page
        refuse(page, "select", 429, 1)
        page.get_by_label("Situation or question").fill("Eating meat")
        page.get_by_text("Not now.").wait_for()
        assert page.get_by_label("Situation or question").get_attribute("aria-invalid") is None
        visit.found()
        assert page.get_by_text("Not now.").count() == 0 and asked(visit, "/select") == 2
        visit.faults = [one for one in visit.faults if "status of 429" not in one]


@pytest.mark.parametrize(
    ("headers", "least", "most"), [({"Retry-After": "1"}, 0.9, 2.5), ({"Retry-After": "soon"}, 2.9, 6)]
)
def test_the_page_comes_again_when_the_server_says(
    browser: Any,  # noqa: F811
    address: str,  # noqa: F811
    headers: dict[str, str],
    least: float,
    most: float,
) -> None:
    with visiting(browser, address) as visit:
        page = visit.page
        moments: list[float] = []
        page.on("request", lambda one: one.url.endswith("/select") and moments.append(time.monotonic()))
        refuse(page, "select", 429, 1, headers)
        page.get_by_label("Situation or question").fill("Eating meat")
        visit.found()
        first, second = moments
        assert least < second - first < most
        visit.faults = [one for one in visit.faults if "status of 429" not in one]


def test_why_there_is_no_unsteered_text_is_said(browser: Any, address: str) -> None:  # noqa: F811
    with visiting(browser, address, linked({"text": "Eating meat", "k": 2, "tokens": 8})) as visit:
        refuse(visit.page, "unsteered", 504, 1)
        visit.found()
        visit.answer()
        assert "Not now." in visit.page.locator(".plain").inner_text()
        visit.faults = [one for one in visit.faults if "status of 504" not in one]


def test_a_key_that_is_asked_for_late_can_be_given(browser: Any, address: str) -> None:  # noqa: F811
    with visiting(browser, address, linked({"text": "Eating meat", "k": 2, "tokens": 8})) as visit:
        page = visit.page
        visit.found()
        visit.answer()
        for route in ("about", "respond"):
            refuse(page, route, 401, 1)
        page.get_by_label("Situation or question").fill("Eating fish")
        visit.found()
        page.get_by_role("button", name="Answer", exact=True).click()
        page.get_by_label("API key").fill(KEY)
        page.get_by_role("button", name="Use this key").click()
        # What was written meanwhile is still there.
        visit.found()
        visit.answer()
        assert page.get_by_label("Situation or question").input_value() == "Eating fish"
        visit.faults = [one for one in visit.faults if "status of 401" not in one]


def test_a_long_text_scrolls_by_keys(browser: Any, address: str) -> None:  # noqa: F811
    text = "\n".join(["W" * 150, "\u05e9\u05dc\u05d5\u05dd", *"abcdefghijklmnopqrst"])
    window = {"viewport": {"width": 390, "height": 850}, "color_scheme": "dark"}
    with visiting(browser, address, linked({"text": text, "k": 2, "tokens": 8}), **window) as visit:
        visit.found()
        visit.answer()
        assert visit.serious() == [] and visit.overflow() <= 0
