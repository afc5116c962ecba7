"""Runs examples/ray_serve.py with a bundle and asks it once: `python -m tests.deploy.server.ray_check BUNDLE`."""

from __future__ import annotations

import io
import os
import socket
import sys

import httpx
import ray
from PIL import Image
from ray import serve

from tests.deploy.server.running import ROOT


def main(bundle: str) -> None:
    os.environ["MODEL"] = bundle
    environment = {"env_vars": {"PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT)])}}
    ray.init(num_cpus=2, include_dashboard=False, runtime_env=environment)
    from examples.ray_serve import app

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    serve.start(http_options={"host": "127.0.0.1", "port": port})
    serve.run(app)
    out = io.BytesIO()
    Image.new("RGB", (300, 200), "green").save(out, "JPEG")
    answer = httpx.post(f"http://127.0.0.1:{port}/", content=out.getvalue(), timeout=60)
    assert answer.status_code == 200, answer.text
    scores = answer.json()["predictions"]
    assert scores
    assert all(0 <= score["probability"] <= 1 for score in scores)
    sys.stdout.write(f"{scores[0]}\n")
    serve.shutdown()
    ray.shutdown()


if __name__ == "__main__":
    main(sys.argv[1])
