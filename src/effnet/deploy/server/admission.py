"""Who may come in: requests that cannot be answered in time are refused at once, when refusing costs nothing.

A queue that only fills until it is full makes an overloaded server slow for everybody: the requests it accepts wait
for the whole queue, and it answers no more of them than with a short one. So there are two bounds. In good times a
burst may queue as long as its last request will surely meet the deadline. Once the server has had to refuse, waiting
helps nobody any more, and until a calm time has passed without refusals only so much may wait as keeps the engine busy.
Both bounds are in seconds of expected waiting, not in requests, and come from what this server measures of itself.

What it measures must not be what a client makes it measure. So large images are weighed by what they say of their size
and teach nothing about the others, no single measurement moves an estimate far, and one that is old gives way to what
was known at the start, or to the next measurement.
"""

from __future__ import annotations

import math

CALM = 2.0
"""Seconds without a refusal after which bursts may queue again."""

PATIENCE = 0.5
"""Of the deadline: how long a burst may queue. The rest is for what could not be foreseen, such as large images."""

STRICT = 1.4
"""What may wait in an overload: the work of so many requests, or of so many batches where batches pay."""

HEAVY = 0.2
"""Of the deadline: an image that takes longer to decode waits apart and keeps no others from the decoders."""

HEAVY_PATIENCE = 0.8
"""Of the deadline: the decoding of heavy images that may be inside for each decoder that is theirs."""

_WEIGHT = 0.1
"""Of the newest measurement in a running mean."""

_MOST_TIMES = 3.0
"""How much larger than the mean a measurement counts."""

_HALF_LIFE = 5.0
"""Seconds in which what was learnt loses half of its difference from what was known at the start."""

_MOST_REST = 0.05
"""Of the deadline: what an image may be believed to cost beside the engine, if it is not weighed."""


class _Estimate:
    """A running mean that forgets: towards its first value with time, at once where a measurement contradicts it."""

    def __init__(self, first: float) -> None:
        self.learnt = first
        self._first = first
        self._at: float | None = None

    def at(self, now: float) -> float:
        if self._at is None:
            return self.learnt
        return self._first + (self.learnt - self._first) * math.exp2((self._at - now) / _HALF_LIFE)

    def learn(self, now: float, value: float) -> None:
        low, high = sorted((self.at(now), self.learnt))
        start = min(max(value, low), high)
        self.learnt = start + _WEIGHT * (min(value, _MOST_TIMES * start) - start)
        self._at = now


class Admission:
    """Counts requests inside and expects how long the next one would take.

    Time is in seconds of any clock that never goes back; the caller passes it in. `work` is what decoding a request's
    image is expected to take beyond that of an ordinary one, in seconds.

    Attributes:
        inside: requests admitted and not yet answered.
    """

    def __init__(
        self,
        *,
        places: int,
        deadline: float,
        pace: float,
        alone: float,
        batch: int = 1,
        decoders: int = 1,
        rest: float = 0.0,
    ) -> None:
        """Start with measured or guessed times.

        Args:
            places: requests inside at once, whatever the times are.
            deadline: seconds a request may take.
            pace, alone: first values of the attributes.
            batch: images at once from which the engine gains no more.
            decoders: images that are decoded at once.
            rest: the part of `pace` that is not the engine's.
        """
        self.inside = 0
        self._pace = _Estimate(pace)
        self._alone = _Estimate(alone)
        self._rest = _Estimate(rest)
        self._places = places
        self._deadline = deadline
        self._batch = batch
        self._decoders = decoders
        self._busy_since: float | None = None  # the last result, or when the server stopped being empty
        self._refused_at: float | None = None
        self._work = 0.0  # of what is inside, as far as it holds up everybody
        self._heavy_work = 0.0
        self._large = 0
        self._disturbed = False

    @property
    def pace(self) -> float:
        """Seconds an ordinary image when the server is busy: a running mean, as it was when last measured."""
        return self._pace.learnt

    @property
    def alone(self) -> float:
        """Seconds an ordinary request takes when nobody else is inside: the same."""
        return self._alone.learnt

    def pace_at(self, now: float) -> float:
        """Return what is held of the pace now."""
        return self._pace.at(now)

    def is_heavy(self, work: float) -> bool:
        """Whether an image may not take the last decoder."""
        return work > HEAVY * self._deadline

    def enter(self, now: float, work: float = 0.0) -> float | None:
        """Admit a request, or return the seconds after which one may be admitted."""
        excess = self.waiting(now) - self._most_waiting(now)
        if self._heavy_work and self.is_heavy(work):
            more = (self._heavy_work + work) / max(1, self._decoders - 1) - HEAVY_PATIENCE * self._deadline
            if more > 0:
                return more  # which is no reason to be strict with others
        if self.inside and (self.inside >= self._places or excess > 0):
            self._refused_at = now
            return max(excess, self._pace.at(now))
        if not self.inside:
            self._busy_since = now
        self.inside += 1
        self._weigh(work, 1)
        return None

    def leave(self, now: float, *, alone: float | None = None, work: float = 0.0) -> None:
        """Count a request out; `alone` is its duration if nobody else was inside meanwhile, and it was ordinary."""
        self.inside -= 1
        self._weigh(work, -1)
        if not self.inside:
            self._busy_since = None
            self._work = self._heavy_work = 0.0  # no sum of differences
        if alone is not None and not work:
            self._alone.learn(now, alone)

    def disturbed(self) -> None:
        """Learn nothing but the engine's time from what comes next: an image took long without having said so."""
        self._disturbed = True

    def finished(self, now: float, images: int, running: float | None = None) -> None:
        """Learn the pace from a batch that has come back from the engine, after `running` seconds in it."""
        if self._busy_since is not None and now > self._busy_since:
            since = now - self._busy_since
            in_engine = since if running is None else min(running, since)
            if not self._disturbed:
                rest = min((since - in_engine) / images, _MOST_REST * self._deadline)
                self._rest.learn(now, rest)
            else:
                rest = self._rest.at(now)
            self._pace.learn(now, in_engine / images + rest)
        self._busy_since = now
        self._disturbed = self._large > 0

    def waiting(self, now: float) -> float:
        """Return the seconds until all that is inside now is expected to be done."""
        pace = self._pace.at(now)
        begun = 0.0 if self._busy_since is None else min(now - self._busy_since, self._batch * pace)
        return max(0.0, self.inside * pace + self._work - begun)

    def overloaded(self, now: float) -> bool:
        """Whether a request was refused lately."""
        return self._refused_at is not None and now - self._refused_at < CALM

    def _weigh(self, work: float, times: int) -> None:
        if not work:
            return
        self._large += times
        self._disturbed = True
        if self.is_heavy(work):
            self._heavy_work += times * work
        else:
            self._work += times * work / self._decoders

    def _most_waiting(self, now: float) -> float:
        alone = self._alone.at(now)
        allowed = PATIENCE * self._deadline - alone
        if self.overloaded(now):
            allowed = min(allowed, STRICT * max(alone, self._batch * self._pace.at(now)))
        return allowed
