"""Many replicas of a bundle with Ray Serve: `MODEL=model.onnx serve run examples.ray_serve:app`."""

import os

from ray import serve
from starlette.requests import Request

import effnet


@serve.deployment(num_replicas=2, max_ongoing_requests=4, max_queued_requests=16)
class Classifier:  # noqa: D101
    def __init__(self, path: str) -> None:
        self.model = effnet.load(path, threads=1)

    async def __call__(self, request: Request) -> dict:  # noqa: D102
        return self.model.predict(await request.body()).to_dict()


app = Classifier.bind(os.environ.get("MODEL", "model.onnx"))
