"""What the server counts, in the form that Prometheus reads."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_SIZES = (1, 2, 4, 8, 16, 32, 64, 128)

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Metrics:
    """Counters, gauges and histograms of one server, apart from those of other servers in the process."""

    def __init__(self) -> None:
        registry = CollectorRegistry(auto_describe=True)
        self._registry = registry
        ProcessCollector(registry=registry)
        self.requests = Counter(
            "effnet_requests", "Requests by route and status.", ("route", "status"), registry=registry
        )
        self.request_seconds = Histogram(
            "effnet_request_seconds", "From the head to the answer.", ("route",), buckets=_SECONDS, registry=registry
        )
        stage_seconds = Histogram(
            "effnet_stage_seconds",
            "Time in each stage of a prediction: body, decode, queue, inference.",
            ("stage",),
            buckets=_SECONDS,
            registry=registry,
        )
        stages = ("body", "decode", "queue", "inference")
        self.stages = {stage: stage_seconds.labels(stage) for stage in stages}
        self.batch_size = Histogram("effnet_batch_size", "Images in a batch.", buckets=_SIZES, registry=registry)
        self.refused = Counter("effnet_refused", "Requests refused by reason.", ("reason",), registry=registry)
        self.decoder_restarts = Counter(
            "effnet_decoder_restarts", "Decoding processes that died or were killed.", registry=registry
        )
        self.reloads = Counter("effnet_reloads", "Reloads by result: ok, failed.", ("result",), registry=registry)
        self._gauges: list[Gauge] = []

    def watch(self, name: str, text: str, value: Callable[[], float]) -> None:
        """Show a number that is asked for whenever somebody reads the metrics."""
        gauge = Gauge(f"effnet_{name}", text, registry=self._registry)
        gauge.set_function(value)
        self._gauges.append(gauge)

    def text(self) -> bytes:
        """Return everything as Prometheus reads it."""
        return generate_latest(self._registry)
