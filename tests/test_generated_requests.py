"""Requests that are generated from the server's own description, valid ones and others.

A few hundred here; `VISPA_TEST_REQUESTS=10000 pytest tests/test_generated_requests.py` sends as many as it says and
also holds the server's memory to what it was after 500.
"""

from __future__ import annotations

import json
import os
import time
from collections import Counter
from collections.abc import Iterator
from itertools import count
from typing import Any

import httpx2
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import seed as seeded
from served_apart import Apart, apart

from vispa.serving.asking import MODELS

schemathesis = pytest.importorskip("schemathesis")
requests = pytest.importorskip("requests")
checks = pytest.importorskip("schemathesis.specs.openapi.checks")

REQUESTS = int(os.environ.get("VISPA_TEST_REQUESTS", "150"))
#: After so many of them memory is first looked at.
WARM = 500
#: Requests of one round to one route; those that take a body get most.
EACH = {"POST": 12, "GET": 2}


@pytest.fixture(scope="module")
def served() -> Iterator[Apart]:
    with apart("--max-tokens", "3") as found:
        yield found


@pytest.fixture(scope="module")
def schema(served: Apart) -> Any:
    described = httpx2.get(f"{served.url}/openapi.json", timeout=60).json()
    for body in ("ChatBody", "CompletionBody"):
        # Any name may be asked for, but hardly one that is drawn is known.
        described["components"]["schemas"][body]["properties"]["model"] = {"enum": list(MODELS)}
    # Likewise the value along whose direction a text is read.
    described["components"]["schemas"]["ReadText"]["properties"]["value"] = {
        "enum": ["karma", "Benevolence", "no value"]
    }
    return schemathesis.openapi.from_dict(described)


def kept(served: Apart) -> int:
    """Resident memory of a server that has nothing to do: what is free is given back after a second."""
    time.sleep(3)
    return served.resident()


def test_generated_requests_are_answered_or_refused(served: Apart, schema: Any) -> None:
    """No fault of the server's, nothing that its description does not say, no traceback, no memory that is kept."""
    asked: Counter[tuple[str, int]] = Counter()
    resident: list[int] = []
    modes = schemathesis.GenerationMode
    operations = [found.ok() for found in schema.get_all_operations()]
    assert {operation.method.upper() for operation in operations} == set(EACH)
    with requests.Session() as session:

        def check(case: Any) -> None:
            response = case.call(base_url=served.url, session=session, timeout=120)
            asked[f"{case.method} {case.path}", response.status_code] += 1
            assert response.status_code < 500, (case.as_curl_command()[:2000], response.text)
            # What the description allows may still make no sense, such as options of another mode. And a body that is
            # too large is refused as such, whatever is in it.
            excluded = [checks.positive_data_acceptance]
            excluded += [checks.negative_data_rejection] if response.status_code == 413 else []
            case.validate_response(response, excluded_checks=excluded)
            if response.status_code >= 400:
                error = json.loads(response.content)["error"]
                assert error["message"] and error["code"], (case.as_curl_command()[:2000], error)
            if sum(asked.values()) == WARM:
                resident.append(kept(served))

        for number in count():
            for operation in operations:
                for mode in (modes.POSITIVE, modes.NEGATIVE):
                    # What stands in a path can be any text.
                    if mode == modes.NEGATIVE and not operation.body:
                        continue
                    how = settings(
                        max_examples=EACH[operation.method.upper()],
                        deadline=None,
                        database=None,
                        phases=[Phase.generate],
                        suppress_health_check=list(HealthCheck),
                    )
                    seeded(number)(how(given(case=operation.as_strategy(mode))(check)))()
            if sum(asked.values()) >= REQUESTS:
                break
    answered = {route for (route, status), _ in asked.items() if status == 200}
    assert {"POST /v1/vispa/select", "GET /v1/vispa/values"} <= answered, asked
    assert REQUESTS < WARM or {f"{one.method.upper()} {one.path}" for one in operations if one.body} <= answered, asked
    assert "Traceback" not in served.log and "fault:" not in served.log, served.log[-5000:]
    figures = served.figures()
    assert figures["vispa_requests_running"] == figures["vispa_rows_running"] == figures["vispa_rows_waiting"] == 0
    assert figures["vispa_engine_faults"] == 0
    if resident:
        statuses: Counter[int] = Counter()
        for (_, status), number in asked.items():
            statuses[status] += number
        now = kept(served)
        print(f"{statuses.total()} requests, {dict(statuses)}: {resident[0]} kB after {WARM}, {now} kB now")
        assert now <= 1.1 * resident[0]
