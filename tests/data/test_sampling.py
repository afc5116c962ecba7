from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from effnet.data.sampling import epoch_order
from effnet.errors import InputError

labels_lists = st.lists(st.integers(0, 5), min_size=1, max_size=80).map(lambda labels: np.array(labels, np.int64))


@given(labels_lists, st.integers(0, 2**40), st.integers(0, 500))
def test_a_natural_epoch_visits_every_image_once(labels, seed, epoch):
    order = epoch_order(labels, seed=seed, epoch=epoch)
    assert sorted(order) == list(range(len(labels)))
    assert np.array_equal(order, epoch_order(labels, seed=seed, epoch=epoch))


def test_epochs_and_seeds_have_orders_of_their_own():
    labels = np.zeros(50, np.int64)
    orders = {tuple(epoch_order(labels, seed=seed, epoch=epoch)) for seed in range(3) for epoch in range(3)}
    assert len(orders) == 9


@given(labels_lists, st.integers(0, 100))
def test_a_balanced_epoch_draws_every_class_equally_often(labels, epoch):
    order = epoch_order(labels, seed=1, epoch=epoch, sampling="balanced")
    assert len(order) == len(labels)
    counts = [int((labels[order] == label).sum()) for label in np.unique(labels)]
    assert max(counts) - min(counts) <= 1
    for label in np.unique(labels):  # no image comes a third time before every other of its class came twice
        times = np.bincount(order, minlength=len(labels))[labels == label]
        assert times.max() - times.min() <= 1


@given(st.lists(st.integers(1, 9), min_size=1, max_size=30), st.integers(0, 50))
def test_shards_are_read_a_few_at_a_time(sizes, epoch):
    shards = np.cumsum([0, *sizes[:-1]])
    labels = np.zeros(sum(sizes), np.int64)
    order = epoch_order(labels, seed=0, epoch=epoch, shards=shards)
    assert sorted(order) == list(range(len(labels)))
    visited = np.searchsorted(shards, order, side="right") - 1
    first = {shard: np.flatnonzero(visited == shard)[0] for shard in set(visited)}
    last = {shard: np.flatnonzero(visited == shard)[-1] for shard in set(visited)}
    for place in range(len(order)):
        assert sum(first[shard] <= place <= last[shard] for shard in first) <= 8


def test_impossible_orders_are_refused():
    with pytest.raises(InputError):
        epoch_order(np.empty(0, np.int64), seed=0, epoch=0)
    with pytest.raises(InputError, match="shards"):
        epoch_order(np.zeros(4, np.int64), seed=0, epoch=0, sampling="balanced", shards=np.array([0, 2]))
