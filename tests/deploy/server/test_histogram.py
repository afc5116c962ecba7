"""Against Prometheus's own histogram: the same text for the same values."""

from __future__ import annotations

import prometheus_client
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, generate_latest

from effnet.deploy.server.histogram import Histogram

BOUNDS = (0.001, 0.01, 0.5, 2, 10)


def text(registry: CollectorRegistry) -> list[str]:
    """Return what is read, without the times of creation, which only Prometheus's own has."""
    lines = generate_latest(registry).decode().splitlines()
    return [line for line in lines if "_created" not in line]


@given(st.lists(st.sampled_from((*BOUNDS, 0.0, 0.002, 1.5, 11.0)) | st.floats(0, 20)))
def test_it_reads_as_prometheus_own(values: list[float]) -> None:
    own, ours = CollectorRegistry(), CollectorRegistry()
    theirs = prometheus_client.Histogram("took_seconds", "What it took.", buckets=BOUNDS, registry=own)
    histogram = Histogram("took_seconds", "What it took.", BOUNDS)
    ours.register(histogram)
    counts = histogram.of()
    for value in values:
        theirs.observe(value)
        counts.observe(value)
    assert text(ours) == text(own)


def test_each_value_of_the_label_has_its_own_counts() -> None:
    own, ours = CollectorRegistry(), CollectorRegistry()
    theirs = prometheus_client.Histogram("took_seconds", "What it took.", ("stage",), buckets=BOUNDS, registry=own)
    histogram = Histogram("took_seconds", "What it took.", BOUNDS, label="stage")
    ours.register(histogram)
    for stage, value in (("decode", 0.3), ("body", 0.002), ("decode", 5.0)):
        theirs.labels(stage).observe(value)
        histogram.of(stage).observe(value)
    assert text(ours) == text(own)
