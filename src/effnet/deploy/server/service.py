"""The parts of a server joined: admission, decoding, batching and the model that is served now."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from effnet.deploy.server.admission import Admission
from effnet.deploy.server.batching import Batcher, ExpiredError, Timed
from effnet.deploy.server.body import Budget
from effnet.deploy.server.clients import Clients
from effnet.deploy.server.decoder_pool import Decoded, DecoderPool
from effnet.deploy.server.image_head import DecodingCost, ImageHead, image_head
from effnet.deploy.server.limited import Limited
from effnet.deploy.server.metrics import Metrics
from effnet.deploy.server.model import Logits, Pixels, ServedModel, Timing, measured
from effnet.deploy.server.request_error import overloaded, stopping, too_late
from effnet.deploy.server.settings import ServerSettings
from effnet.errors import EffnetError
from effnet.inference.prediction import Score

_STUCK_SECONDS = 60.0
"""A batch that takes so much longer than a deadline will not come back: the process should be replaced."""

_LEAST_ENGINE_SECONDS = 2.0
"""A batch that takes longer, and longer than a deadline, is waited for no more."""

_DECODE_SHARE = 0.8
"""Of the deadline: what decoding one image may take of processor time."""

_SLOW_DECODE = 0.1
"""Of the deadline: an image that took so long, though it did not say that it is large, says nothing about others."""

_TYPICAL_DECODE = 0.005
"""Seconds; the first guess of what a request costs beside the engine, until requests are measured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A prediction and where its time went, in seconds.

    Attributes:
        model: name of the model.
        scores: the most probable classes, most probable first.
        timed: in line and in the engine.
        decoded: waiting for a child and decoding.
    """

    model: str
    scores: tuple[Score, ...]
    timed: Timed[Logits]
    decoded: Decoded


@dataclass(frozen=True, slots=True)
class _Generation:
    """A model with everything that was learnt about it; a reload makes the next one."""

    model: ServedModel
    timing: Timing
    deadline: float
    admission: Admission
    batcher: Batcher[Pixels, Logits]


class Service:
    """Predicts for many clients at once.

    Attributes:
        settings: what it was told.
        metrics: what it counts.
        budget: memory for bodies being received.
        clients: what each of them may have.
        stopping: whether it accepts nothing new.
    """

    def __init__(self, settings: ServerSettings, model: ServedModel, timing: Timing) -> None:
        """Take a model that was measured; call `start` in the event loop before use."""
        self.settings = settings
        self.metrics = Metrics()
        self.budget = Budget(settings.buffered)
        self.clients = Clients(rate=settings.client_rate, burst=settings.client_burst, inside=settings.client_inside)
        self.stopping = False
        self._first = (model, timing)
        self._now: _Generation | None = None
        self._pool: DecoderPool | None = None
        self._left: list[Batcher[Pixels, Logits]] = []  # engines that did not come back
        self._cost = DecodingCost()
        self._openings: list[Limited[tuple[ServedModel, Timing]]] = []

    async def start(self) -> None:
        """Start the decoders; raises DecoderError when they do not."""
        self._now = self._generation(*self._first)
        self._pool = DecoderPool(
            self.settings,
            seconds=max(_DECODE_SHARE * self._now.deadline, 0.1),
            on_restart=self.metrics.decoder_restarts.inc,
        )
        await self._pool.start()
        self.metrics.watch("inside", "Requests admitted and not yet answered.", lambda: self.inside)
        self.metrics.watch("queue_depth", "Images that wait for the engine.", lambda: self._current.batcher.depth)
        self.metrics.watch("clients", "Clients remembered.", lambda: len(self.clients))
        self.metrics.watch("pace_seconds", "Seconds an image when busy.", self._pace)
        self.metrics.watch("decoders", "Decoding processes that can work.", lambda: self._decoders.alive)
        self.metrics.watch("body_bytes", "Bytes of bodies in memory.", lambda: self.budget.used)

    async def close(self) -> None:
        """End the decoders."""
        if self._pool is not None:
            await self._pool.close()

    @property
    def model(self) -> ServedModel:
        """The model that is served now."""
        return self._current.model

    @property
    def timing(self) -> Timing:
        """How fast it is."""
        return self._current.timing

    @property
    def deadline(self) -> float:
        """Seconds that a request may take."""
        return self._current.deadline

    @property
    def inside(self) -> int:
        """Requests admitted and not yet answered."""
        return self._current.admission.inside

    @property
    def healthy(self) -> bool:
        """Whether the engine comes back; when not, the process should be replaced."""
        since = self._current.batcher.running_since
        return since is None or asyncio.get_running_loop().time() - since < _STUCK_SECONDS + self.deadline

    @property
    def ready(self) -> bool:
        """Whether requests are welcome."""
        return not self.stopping and self._decoders.alive > 0 and not self._current.batcher.stuck

    @property
    def confined(self) -> bool:
        """Whether the system keeps the decoders from all but decoding."""
        return self._decoders.confined

    @property
    def stuck(self) -> bool:
        """Whether an engine, or a model that is being opened, has not come back."""
        batchers = self._left if self._now is None else [*self._left, self._now.batcher]
        in_engine = any(batcher.running_since is not None for batcher in batchers)
        return in_engine or any(opening.running for opening in self._openings)

    async def predict(
        self,
        body: bytes,
        *,
        content_type: str | None = None,
        top: int = 5,
        deadline: float | None = None,
        begun: bool = False,
    ) -> Answer:
        """Classify the image in a request's body.

        Args:
            body: an image, or a form that holds one.
            content_type: of the form; None for a plain image.
            top: how many classes to name.
            deadline: seconds, if less than the server's.
            begun: whether the request had begun before the server was told to stop: then it is finished.

        Raises:
            RequestError: 400, 422, 503 or 504.
        """
        now = self._current
        loop = asyncio.get_running_loop()
        began = loop.time()
        until = began + min(deadline or now.deadline, now.deadline)
        if self.stopping and not begun:
            self.metrics.refused.labels("stopping").inc()
            raise stopping()
        if now.batcher.stuck:
            self.metrics.refused.labels("stuck").inc()
            raise overloaded(now.deadline)
        head = image_head(body, form=content_type is not None)
        work = self._cost.work(head)
        self._admit(now.admission, began, work)
        alone = now.admission.inside == 1
        ordinary = answered = False
        try:
            decoded = await self._decoders.decode(
                body,
                now.model.preprocess,
                content_type=content_type,
                deadline=until,
                heavy=now.admission.is_heavy(work),
            )
            ordinary = self._learn(now, head, decoded.decoding)
            timed = await now.batcher.submit(decoded.pixels, until)
            answered = True
        except ExpiredError:
            raise too_late() from None
        finally:
            ended = loop.time()
            alone = alone and answered and ordinary and now.admission.inside == 1
            now.admission.leave(ended, alone=ended - began if alone else None, work=work)
        self._count(decoded, timed)
        (scores,) = now.model.classifier.name(timed.result[None], min(top, now.model.classes))
        return Answer(model=now.model.name, scores=scores, timed=timed, decoded=decoded)

    async def whole_image(self, body: bytes, *, content_type: str | None) -> Pixels:
        """Decode an image to look at, uint8 (height, width, 3), made small enough for a screen.

        Raises:
            RequestError: 400, 422, 503 or 504.
        """
        now = self._current
        head = image_head(body, form=content_type is not None)
        heavy = now.admission.is_heavy(self._cost.work(head))
        until = asyncio.get_running_loop().time() + now.deadline
        decoded = await self._decoders.decode(body, None, content_type=content_type, deadline=until, heavy=heavy)
        self._learn(now, head, decoded.decoding)
        return decoded.pixels

    async def replace(self, load: Callable[[], ServedModel]) -> None:
        """Load another model in the background and serve it from then on; requests inside end with the old one.

        Raises:
            EffnetError: it cannot be loaded, or not within `opening_seconds`; the old one stays.
        """
        try:
            opening = Limited(lambda: measured(load(), self.settings.max_batch), self.settings.opening_seconds)
            self._openings = [*(one for one in self._openings if one.running), opening]
            model, timing = await opening.wait_in_loop()
        except EffnetError:
            self.metrics.reloads.labels("failed").inc()
            raise
        if self._current.batcher.stuck:
            self._left.append(self._current.batcher)
        # The old one's thread ends when its last request lets go of it.
        self._now = self._generation(model, timing)
        self.metrics.reloads.labels("ok").inc()

    def _pace(self) -> float:
        return self._current.admission.pace_at(asyncio.get_running_loop().time())

    def _admit(self, admission: Admission, now: float, work: float) -> None:
        wait = admission.enter(now, work)
        if wait is not None:
            self.metrics.refused.labels("busy").inc()
            raise overloaded(wait)

    def _learn(self, now: _Generation, head: ImageHead, decoding: float) -> bool:
        """Learn from an image that was decoded in so many seconds; return whether it was an ordinary one."""
        self._cost.learn(head, decoding)
        ordinary = decoding < _SLOW_DECODE * now.deadline
        if not ordinary:
            now.admission.disturbed()
        return ordinary

    def _count(self, decoded: Decoded, timed: Timed[Logits]) -> None:
        stages = self.metrics.stages
        stages["decode"].observe(decoded.decoding)
        stages["queue"].observe(decoded.waited + timed.queued)
        stages["inference"].observe(timed.running)

    def _generation(self, model: ServedModel, timing: Timing) -> _Generation:
        deadline = self.settings.deadline or max(1.0, 10 * timing.one)
        admission = Admission(
            places=self.settings.queue,
            deadline=deadline,
            pace=timing.pace + _TYPICAL_DECODE / self.settings.decoder_count,
            alone=timing.one + _TYPICAL_DECODE,
            batch=timing.batch,
            decoders=self.settings.decoder_count,
            rest=_TYPICAL_DECODE / self.settings.decoder_count,
        )

        def finished(now: float, images: int, running: float) -> None:
            admission.finished(now, images, running)
            self.metrics.batch_size.observe(images)

        batcher: Batcher[Pixels, Logits] = Batcher(
            lambda images: list(model.classifier.classify(images)),
            most=timing.batch,
            finished=finished,
            limit=max(deadline, _LEAST_ENGINE_SECONDS),
        )
        return _Generation(model, timing, deadline, admission, batcher)

    @property
    def _current(self) -> _Generation:
        assert self._now is not None, "the service has not been started"
        return self._now

    @property
    def _decoders(self) -> DecoderPool:
        assert self._pool is not None, "the service has not been started"
        return self._pool
