"""Heat maps for the page: needs torch and a model file beside the bundle, both only when asked for."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from effnet.deploy.server.request_error import overloaded
from effnet.errors import InputError, MissingDependencyError

if TYPE_CHECKING:
    from effnet.deploy.server.model import ServedModel
    from effnet.deploy.server.service import Service
    from effnet.nn import Network

_MOST_WAITING = 4
"""Pictures asked for at once: each takes a pass forward and one back through the network."""


class Explainer:
    """Draws heat maps (Grad-CAM) with the network that the bundle was exported from."""

    def __init__(self, network: Network) -> None:
        """Take a network that knows its preprocessing."""
        self._network = network
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="effnet-explain")
        self._waiting = 0

    @classmethod
    def load(cls, file: Path, served: ServedModel, *, threads: int | None = None) -> Explainer:
        """Load the model file.

        Args:
            file: that the bundle was exported from.
            served: the bundle's model.
            threads: of torch; None: as many as it takes.

        Raises:
            MissingDependencyError: there is no torch.
            InputError: the file is another model.
            WeightsError: it is no model file.
        """
        try:
            import torch
        except ImportError:
            raise MissingDependencyError("heat maps need the package torch", fix="pip install torch") from None
        from effnet.creation import assemble
        from effnet.weights.loading import load_weights

        network = assemble(load_weights(None, file)).eval()
        same = network.spec.classes == served.classes and network.preprocess == served.preprocess
        if not same or network.labels != served.labels:
            fix = "give the model file that the bundle was exported from"
            raise InputError("is another model than the bundle", where=str(file), fix=fix)
        if threads is not None:
            torch.set_num_threads(threads)
        return cls(network)

    async def picture(self, service: Service, body: bytes, *, content_type: str | None, chosen: int | None) -> bytes:
        """Return a PNG of the image in `body` under its heat map.

        Args:
            service: decodes.
            body, content_type: as `Service.predict` takes them.
            chosen: the class to look for; None: the best one.

        Raises:
            RequestError: 400, 422, 503 or 504.
        """
        if self._waiting >= _MOST_WAITING:
            raise overloaded(1.0)
        self._waiting += 1
        try:
            pixels = await service.whole_image(body, content_type=content_type)
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._thread, self._draw, pixels, chosen)
        finally:
            self._waiting -= 1

    def _draw(self, pixels: NDArray[np.uint8], chosen: int | None) -> bytes:
        from effnet.inference.explain import overlay_png

        return overlay_png(self._network, Image.fromarray(pixels), chosen)
