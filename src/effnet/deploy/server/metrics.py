"""What the server counts, in the form that Prometheus reads."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, ProcessCollector, generate_latest

from effnet.deploy.server.histogram import Histogram

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_SIZES = (1, 2, 4, 8, 16, 32, 64, 128)

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Metrics:
    """Counters, gauges and histograms of one server, apart from those of other servers in the process."""

    def __init__(self) -> None:
        registry = CollectorRegistry(auto_describe=True)
        self._registry = registry
        ProcessCollector(registry=registry)
        self._requests = Counter(
            "effnet_requests", "Requests by route and status.", ("route", "status"), registry=registry
        )
        self._by_status: dict[tuple[str, int], Counter] = {}  # what `labels` looks up, which costs
        self._request_seconds = Histogram(
            "effnet_request_seconds", "From the head to the answer.", _SECONDS, label="route"
        )
        text = "Time in each stage of a prediction: body, decode, queue, inference."
        stage_seconds = Histogram("effnet_stage_seconds", text, _SECONDS, label="stage")
        self.stages = {stage: stage_seconds.of(stage) for stage in ("body", "decode", "queue", "inference")}
        batch_size = Histogram("effnet_batch_size", "Images in a batch.", _SIZES)
        self.batch_size = batch_size.of()
        for histogram in (self._request_seconds, stage_seconds, batch_size):
            registry.register(histogram)
        self.refused = Counter("effnet_refused", "Requests refused by reason.", ("reason",), registry=registry)
        self.decoder_restarts = Counter(
            "effnet_decoder_restarts", "Decoding processes that died or were killed.", registry=registry
        )
        self.reloads = Counter("effnet_reloads", "Reloads by result: ok, failed.", ("result",), registry=registry)
        self._gauges: list[Gauge] = []

    def request(self, route: str, status: int, seconds: float) -> None:
        """Count a request that has been answered."""
        counter = self._by_status.get((route, status))
        if counter is None:
            counter = self._by_status[route, status] = self._requests.labels(route, str(status))
        counter.inc()
        self._request_seconds.of(route).observe(seconds)

    def watch(self, name: str, text: str, value: Callable[[], float]) -> None:
        """Show a number that is asked for whenever somebody reads the metrics."""
        gauge = Gauge(f"effnet_{name}", text, registry=self._registry)
        gauge.set_function(value)
        self._gauges.append(gauge)

    def text(self) -> bytes:
        """Return everything as Prometheus reads it."""
        return generate_latest(self._registry)
