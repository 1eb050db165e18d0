"""Figures for Prometheus; their labels come from closed lists, never from a request."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from vispa.generation.scheduling import Load
from vispa.live.calls import Call
from vispa.serving.value_use import UseMonitor

CONTENT_TYPE = CONTENT_TYPE_LATEST
_SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)


class Metrics:
    """The figures of one server.

    Args:
        uses: watches the values of its answers.
    """

    def __init__(self, uses: UseMonitor) -> None:
        self.uses = uses
        self.registry = CollectorRegistry()
        registry = self.registry
        self._requests = Counter("vispa_requests_total", "Requests.", ("route", "status"), registry=registry)
        self._seconds = Histogram(
            "vispa_request_seconds", "Time of a request.", ("route",), buckets=_SECONDS, registry=registry
        )
        self._first = Histogram(
            "vispa_first_token_seconds", "Time to a first token.", buckets=_SECONDS, registry=registry
        )
        self._rows = Counter("vispa_rows_total", "Rows generated.", registry=registry)
        self._tokens = Counter("vispa_tokens_total", "Tokens.", ("kind",), registry=registry)
        self._values = Counter(
            "vispa_values_total", "Texts for which a value was chosen.", ("value",), registry=registry
        )
        self._running = Gauge("vispa_requests_running", "Requests that are being answered.", registry=registry)
        self._writing = Gauge("vispa_rows_running", "Rows in the running batch.", registry=registry)
        self._faults = Gauge("vispa_engine_faults", "Faults after which the engine started anew.", registry=registry)
        self._waiting = Gauge("vispa_rows_waiting", "Rows that wait for a place in the batch.", registry=registry)

        self._drift = Gauge(
            "vispa_value_drift", "Distance of the last answers' values from the reference's.", registry=registry
        )
        self._alarm = Gauge("vispa_value_drift_alarm_level", "Distance that chance seldom exceeds.", registry=registry)

    def request(self, route: str, status: int, seconds: float) -> None:
        """Count a request that has ended."""
        self._requests.labels(route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def first_token(self, seconds: float) -> None:
        """Count the time to a first token."""
        self._first.observe(seconds)

    def call(self, call: Call) -> None:
        """Count what a call took, and the values that it chose, however it ended."""
        self._rows.inc(call.rows)
        self._tokens.labels("prompt").inc(call.prompt_tokens)
        self._tokens.labels("generated").inc(call.generated_tokens)
        for values in call.chosen:
            self.uses.add(values)
            for value in values:
                self._values.labels(value).inc()

    def page(self, running: int, load: Load | None) -> bytes:
        """All figures, as Prometheus reads them.

        Args:
            running: requests.
            load: of the scheduler; None before there is one.
        """
        self._running.set(running)
        self._drift.set(self.uses.distance)
        self._alarm.set(self.uses.alarm_level)
        if load is not None:
            self._waiting.set(load.waiting)
            self._writing.set(load.running)
            self._faults.set(load.faults)
        return generate_latest(self.registry)
