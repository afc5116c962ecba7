"""Who may come in: requests that cannot be answered in time are refused at once, when refusing costs nothing.

A queue that only fills until it is full makes an overloaded server slow for everybody: the requests it accepts wait
for the whole queue, and it answers no more of them than with a short one. So there are two bounds. In good times a
burst may queue as long as its last request will surely meet the deadline. Once the server has had to refuse, waiting
helps nobody any more, and until a calm time has passed without refusals only so much may wait as keeps the engine busy.
Both bounds are in seconds of expected waiting, not in requests, and come from what this server measures of itself.
"""

from __future__ import annotations

CALM = 2.0
"""Seconds without a refusal after which bursts may queue again."""

PATIENCE = 0.5
"""Of the deadline: how long a burst may queue. The rest is for what could not be foreseen, such as large images."""

STRICT = 1.4
"""What may wait in an overload: the work of so many requests, or of so many batches where batches pay."""

_WEIGHT = 0.1
"""Of the newest measurement in a running mean."""


class Admission:
    """Counts requests inside and expects how long the next one would take.

    Time is in seconds of any clock that never goes back; the caller passes it in.

    Attributes:
        inside: requests admitted and not yet answered.
        pace: seconds an image when the server is busy; a running mean.
        alone: seconds a request takes when nobody else is inside; a running mean.
    """

    def __init__(self, *, places: int, deadline: float, pace: float, alone: float, batch: int = 1) -> None:
        """Start with measured or guessed times.

        Args:
            places: requests inside at once, whatever the times are.
            deadline: seconds a request may take.
            pace, alone: first values of the attributes.
            batch: images at once from which the engine gains no more.
        """
        self.inside = 0
        self.pace = pace
        self.alone = alone
        self._places = places
        self._deadline = deadline
        self._batch = batch
        self._busy_since: float | None = None  # the last result, or when the server stopped being empty
        self._refused_at: float | None = None

    def enter(self, now: float) -> float | None:
        """Admit a request, or return the seconds after which one may be admitted."""
        waiting = self.waiting(now)
        excess = waiting - self._most_waiting(now)
        if self.inside and (self.inside >= self._places or excess > 0):
            self._refused_at = now
            return max(excess, self.pace)
        if not self.inside:
            self._busy_since = now
        self.inside += 1
        return None

    def leave(self, now: float, *, alone: float | None = None) -> None:
        """Count a request out; `alone` is its duration if nobody else was inside meanwhile."""
        self.inside -= 1
        if not self.inside:
            self._busy_since = None
        if alone is not None:
            self.alone += _WEIGHT * (alone - self.alone)

    def finished(self, now: float, images: int) -> None:
        """Learn the pace from a batch that has come back from the engine."""
        if self._busy_since is not None and now > self._busy_since:
            self.pace += _WEIGHT * ((now - self._busy_since) / images - self.pace)
        self._busy_since = now

    def waiting(self, now: float) -> float:
        """Return the seconds until all that is inside now is expected to be done."""
        begun = 0.0 if self._busy_since is None else min(now - self._busy_since, self._batch * self.pace)
        return max(0.0, self.inside * self.pace - begun)

    def overloaded(self, now: float) -> bool:
        """Whether a request was refused lately."""
        return self._refused_at is not None and now - self._refused_at < CALM

    def _most_waiting(self, now: float) -> float:
        allowed = PATIENCE * self._deadline - self.alone
        if self.overloaded(now):
            allowed = min(allowed, STRICT * max(self.alone, self._batch * self.pace))
        return allowed
