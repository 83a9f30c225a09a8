"""The server's figures for Prometheus, by its own client library: it knows the form, its escapes and its versions."""

from __future__ import annotations

from collections.abc import Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

__all__ = ["Metrics"]

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Metrics:
    """Counts of one server.

    Attributes:
        queue: pictures that are decoded, wait or are looked at.
        clients: WebSockets that are open.
        content_type: of :meth:`text`.
    """

    content_type = CONTENT_TYPE_LATEST

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        registry = self._registry
        ProcessCollector(registry=registry)
        self.queue = Gauge("ltsh_queue_pictures", "Pictures decoded, waiting or looked at.", registry=registry)
        self.clients = Gauge("ltsh_websockets", "WebSockets that are open.", registry=registry)
        self._pictures = Counter(
            "ltsh_pictures", "Pictures by way and by what became of them.", ["way", "outcome"], registry=registry
        )
        self._requests = Counter("ltsh_requests", "HTTP requests.", ["path", "status"], registry=registry)
        self._people = Counter("ltsh_people", "People found.", registry=registry)
        self._seconds = Histogram(
            "ltsh_stage_seconds", "Time of each stage of a picture.", ["stage"], buckets=_SECONDS, registry=registry
        )
        self._together = Histogram(
            "ltsh_batch_pictures",
            "Pictures in the batch that a picture was in.",
            buckets=(1, 2, 4, 8, 16, 32),
            registry=registry,
        )

    def looked(self, seconds: Mapping[str, float], together: int, people: int) -> None:
        """Count a picture that was looked at: seconds by stage, the size of its batch, and its people."""
        for stage, value in seconds.items():
            self._seconds.labels(stage).observe(value)
        self._together.observe(together)
        self._people.inc(people)

    def outcome(self, way: str, outcome: str) -> None:
        """Count a picture that came by ``http`` or ``websocket``: done, or why not."""
        self._pictures.labels(way, outcome).inc()

    def request(self, path: str, status: int) -> None:
        """Count an HTTP request; ``path`` is one of the server's own, never what a client made up."""
        self._requests.labels(path, str(status)).inc()

    def text(self) -> bytes:
        """All of it, as Prometheus reads it."""
        return generate_latest(self._registry)
