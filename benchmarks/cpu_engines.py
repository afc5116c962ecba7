"""Is an exported network quicker than the peers' networks, eager and exported, on the same processor?

B0, Lite0, V2-S and ResNet-50, float32, at batch 1 (2 threads and 1), 8 and 32. Ours: the native engine, and the bundle
of `effnet export` in ONNX Runtime as `open_engine(..., tune=True)` runs it, and as exported. Theirs: timm and
torchvision eager (contiguous and channels last), and plain ONNX Runtime, all optimisations, of what torch.onnx.export
makes of them.

Equal work is asserted before anything is timed: convolutions of every module and of every graph, multiply-accumulates
of every graph, and finite logits that differ between images. Contestants take short turns in processes of their own; a
ratio is the median of the rounds' ratios. All weights are random with settled norms: valid for speed only.

timm and torchvision are peers, not dependencies. Their wheels want another build of torch, so they are installed
elsewhere without it, and torchvision's missing operators are declared so that its Python can be imported:

    pip install --no-deps --target peers torchvision timm
    PYTHONPATH=peers python benchmarks/cpu_engines.py --models b0 --threads 2 --batch 1

Each call measures one cell and joins it to the results file.
"""

from __future__ import annotations

import argparse
import functools
import io
import json
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from machine import describe
from numpy.typing import NDArray
from torch import Tensor, nn
from training_step import _declare_operators

from effnet.deploy.bundle import Bundle
from effnet.deploy.engines import open_engine
from effnet.deploy.export.door import convert
from effnet.deploy.export.door import describe as described
from effnet.deploy.export.model import find_model
from effnet.deploy.manifest import Format
from effnet.deploy.racing import Make, Result, Run, race
from effnet.deploy.work import count, expected_work

RESULTS = Path(__file__).parent / "results" / "cpu_engines.json"

# ours, timm's, torchvision's name; side in pixels
MODELS: dict[str, tuple[str, str, str | None, int]] = {
    "b0": ("b0", "efficientnet_b0", "efficientnet_b0", 224),
    "lite0": ("lite0", "tf_efficientnet_lite0", None, 224),
    "v2-s": ("v2-s", "tf_efficientnetv2_s", "efficientnet_v2_s", 384),
    "resnet50": ("resnet50", "resnet50", "resnet50", 224),
}


def peer(library: str, model: str) -> nn.Module:
    """Return timm's or torchvision's network, its norms settled on noise and no branch dead."""
    _declare_operators()
    torch.manual_seed(0)
    _, timm_name, torchvision_name, side = MODELS[model]
    if library == "timm":
        import timm

        # timm starts the last norm of a residual block at zero: an optimiser may drop such a branch.
        options = {"zero_init_last": False} if model == "resnet50" else {}
        network: nn.Module = timm.create_model(timm_name, **options)
    else:
        import torchvision.models

        network = getattr(torchvision.models, torchvision_name)()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0
    with torch.no_grad():
        network.train()(torch.randn(2, 3, side, side))
    return network.eval()


def peer_graph(library: str, model: str) -> bytes:
    """Return what torch.onnx.export makes of a peer's network."""
    images = torch.randn(2, 3, MODELS[model][3], MODELS[model][3])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            peer(library, model),
            (images,),
            dynamo=True,
            input_names=["images"],
            output_names=["logits"],
            dynamic_shapes=({0: torch.export.Dim("batch")},),
            verbose=False,
        )
    assert program is not None
    stream = io.BytesIO()
    stream.write(program.model_proto.SerializeToString())
    return stream.getvalue()


def bundle_of(model: str, format: Format = "onnx") -> Bundle:
    found = find_model(MODELS[model][0], fresh=True)
    manifest = described(found, format, "fp32", size=MODELS[model][3])
    return Bundle(manifest=manifest, certificate=None, payload=convert(found.network, manifest))


def make_ours(bundle: Bundle, threads: int, tune: bool = False) -> tuple[Run, Mapping[str, Any]]:
    engine = open_engine(bundle, threads=threads, tune=tune)
    return engine.run, engine.settings


def make_plain(graph: bytes, threads: int) -> tuple[Run, Mapping[str, Any]]:
    import onnxruntime

    options = onnxruntime.SessionOptions()  # everything as it comes, but the threads
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    return (lambda images: session.run(None, {"images": images})[0]), {"version": onnxruntime.__version__}


def make_eager(library: str, model: str, threads: int, channels_last: bool) -> tuple[Run, Mapping[str, Any]]:
    torch.set_num_threads(threads)
    network = peer(library, model)
    layout = torch.channels_last if channels_last else torch.contiguous_format
    network = network.to(memory_format=layout)  # type: ignore[call-overload]

    @torch.inference_mode()
    def run(images: NDArray[Any]) -> NDArray[np.float32]:
        logits: Tensor = network(torch.from_numpy(images).contiguous(memory_format=layout))
        result: NDArray[np.float32] = logits.numpy()
        return result

    return run, {"version": torch.__version__}


def convolutions(network: nn.Module) -> int:
    return sum(isinstance(module, nn.Conv2d) for module in network.modules())


def contestants(model: str, threads: int) -> tuple[dict[str, Make], dict[str, object]]:
    """Return who takes part, after asserting that all do the same work."""
    bundle = bundle_of(model)
    operators, ours = count("onnx", bundle.payload)
    assert ours.macs == expected_work(bundle.manifest).macs, "our graph is not our network"
    native = bundle_of(model, "native")
    _, same = count("native", native.payload)
    assert same.macs == ours.macs and same.products == ours.products, "the native engine does other work"
    makes: dict[str, Make] = {
        "effnet native": functools.partial(make_ours, native, threads),
        "effnet onnxruntime": functools.partial(make_ours, bundle, threads, True),
    }
    if open_engine(bundle, "onnxruntime", threads, tune=True).settings["graph"] != "as exported":
        makes["effnet onnxruntime, as exported"] = functools.partial(make_ours, bundle, threads, False)
    checked: dict[str, object] = {"convolutions": operators["Conv"], "macs": ours.macs}
    for library in ("timm", "torchvision"):
        if library == "torchvision" and MODELS[model][2] is None:
            continue
        assert convolutions(peer(library, model)) == operators["Conv"], f"{library} has other convolutions"
        graph = peer_graph(library, model)
        theirs, work = count("onnx", {"model.onnx": graph})
        assert theirs["Conv"] == operators["Conv"], f"{library}'s graph has {theirs['Conv']} convolutions"
        assert abs(work.macs / ours.macs - 1) < 1e-3, f"{library}'s graph does {work.macs} MACs, ours {ours.macs}"
        checked[f"{library} macs"] = work.macs
        makes[f"{library} onnxruntime"] = functools.partial(make_plain, graph, threads)
        for layout in (False, True):
            name = f"{library} eager{', channels last' if layout else ''}"
            makes[name] = functools.partial(make_eager, library, model, threads, layout)
    return makes, checked


def cell(model: str, batch: int, threads: int, rounds: int, seconds: float) -> dict[str, object]:
    makes, checked = contestants(model, threads)
    side = MODELS[model][3]
    images = np.random.default_rng(0).standard_normal((batch, 3, side, side)).astype(np.float32)
    results = race(makes, images, rounds=rounds, seconds=seconds)
    for result in results:
        assert result.logits.shape == (batch, 1000) and np.isfinite(result.logits).all()
        assert batch == 1 or np.ptp(result.logits, axis=0).max() > 1e-3, f"{result.name} does not look at its images"
    native, runtime = results[:2]
    return {
        "model": model,
        "side": side,
        "batch": batch,
        "threads": threads,
        "rounds": rounds,
        "seconds_a_turn": seconds,
        "work": checked,
        "milliseconds": {result.name: summary(result) for result in results},
        "native_is_times_as_fast_as": {result.name: round(native.ratio_to(result), 3) for result in results[1:]},
        "onnxruntime_is_times_as_fast_as": {result.name: round(runtime.ratio_to(result), 3) for result in results[2:]},
        "settings": {result.name: dict(result.settings) for result in (native, runtime)},
    }


def summary(result: Result) -> dict[str, float]:
    low, high = min(result.milliseconds), max(result.milliseconds)
    return {"median": round(result.median_ms, 3), "low": round(low, 3), "high": round(high, 3)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--batch", type=int, nargs="+", default=[1])
    parser.add_argument("--threads", type=int, nargs="+", default=[2])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--seconds", type=float, default=0.5)
    parser.add_argument("--output", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    measure: Callable[..., dict[str, object]] = cell
    for model in arguments.models:
        for batch in arguments.batch:
            for threads in arguments.threads:
                found = measure(model, batch, threads, arguments.rounds, arguments.seconds)
                print(json.dumps(found, indent=2))
                join(found, arguments.output)


def join(found: dict[str, object], path: Path) -> None:
    """Add a cell to the results, in place of an earlier one of the same kind."""
    document: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {"cells": []}
    key = ("model", "batch", "threads")
    kept = [old for old in document["cells"] if [old[k] for k in key] != [found[k] for k in key]]
    document = {
        "what": "milliseconds of one batch, float32; ratios are medians of the rounds' ratios",
        "machine": describe("torch", "onnxruntime", "timm", "torchvision"),
        "cells": sorted([*kept, found], key=lambda c: (c["model"], c["batch"], -c["threads"])),
    }
    path.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
