"""The native engine: torch's answers for every network, thread count and vector width, and clear refusals."""

from __future__ import annotations

import dataclasses
import os
import platform
import shutil
import signal
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import effnet
from effnet.deploy.bundle import Bundle, open_bundle, write_bundle
from effnet.deploy.engines import engines_here, open_engine
from effnet.deploy.export import convert, describe, export
from effnet.deploy.export.model import find_model
from effnet.deploy.native import compiling
from effnet.deploy.native import library as native_library
from effnet.deploy.native.compiling import compiler, library
from effnet.deploy.native.layout import Layout, Tile, layout
from effnet.deploy.native.library import Library
from effnet.deploy.native.packing import pack
from effnet.deploy.native.plan import plan
from effnet.deploy.parity import Terms, certify, verify
from effnet.deploy.probes import find_probes
from effnet.deploy.work import count, expected_work
from effnet.errors import EffnetError, MissingDependencyError, ParityError, WeightsError
from effnet.nn import Network, build, fold_norms
from effnet.spec import Activation, BlockSpec, Conventions, HeadSpec, NetworkSpec, StageSpec, StemSpec
from tests.strategies import specs
from tests.tiny import LABELS, tiny_network

pytestmark = pytest.mark.skipif(compiler() is None, reason="there is no C++ compiler")

X86 = platform.machine() == "x86_64"


@pytest.fixture(scope="session")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One folder for what is compiled in this run of the tests, whichever of its processes does it."""
    base = tmp_path_factory.getbasetemp()
    return base.parent / "native" if "popen" in base.name else base / "native"


@pytest.fixture(autouse=True)
def home(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EFFNET_HOME", str(kept))


def settled(spec: NetworkSpec, images: torch.Tensor) -> Network:
    """Return a network whose norms fit the images, so that nothing vanishes or explodes."""
    torch.manual_seed(0)
    network = build(spec)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = None
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
            torch.nn.init.uniform_(module.bias, -0.5, 0.5)
    with torch.no_grad():
        network.train()(images)
    return network.eval()


def opened(network: Network, size: int, threads: int, flags: tuple[str, ...] | None = None, change=None):
    """Open a network in the compiled loops; `change` may alter its layout."""
    compiled = Library(library(flags))
    steps = plan(network.spec, size)
    state = fold_norms(network).state_dict()
    tensors = {name: state[name].numpy().reshape(shape) for name, shape in steps.shapes().items()}
    placed: Layout = layout(steps, compiled.vectors)
    if change is not None:
        placed = change(placed)
    return compiled.open(placed, pack(placed, tensors), threads, 1000)


def agree(network: Network, images: torch.Tensor, logits: np.ndarray) -> None:
    with torch.inference_mode():
        wanted = network(images).numpy()
    np.testing.assert_allclose(logits, wanted, atol=2e-4 * max(1.0, np.abs(wanted).max()), rtol=0)


def random_network(spec: NetworkSpec, batch: int = 3) -> tuple[Network, torch.Tensor]:
    spec = spec.replace(classes=max(2, spec.classes), resolution=max(8, spec.resolution))
    generator = torch.Generator().manual_seed(1)
    images = torch.randn(batch, spec.in_channels, spec.resolution, spec.resolution, generator=generator)
    return settled(spec, torch.cat([images, torch.randn(9, *images.shape[1:], generator=generator)])), images


@given(specs(), st.integers(1, 3))
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_network_is_computed_as_torch_does(spec: NetworkSpec, threads: int) -> None:
    network, images = random_network(spec)
    agree(network, images, opened(network, images.shape[-1], threads).run(images.numpy(), None))


def wide(activation: Activation, kernel: int, padding: str, kind: str, se_ratio: float) -> NetworkSpec:
    """Return a network whose channels fill several blocks and whose maps are not a multiple of any tile."""
    block = BlockSpec(kind=kind, kernel=kernel, expand_ratio=3.0, se_ratio=se_ratio)  # type: ignore[arg-type]
    return NetworkSpec(
        name="wide",
        stem=StemSpec(channels=20),
        stages=(
            StageSpec(block=block, channels=24, repeats=2),
            StageSpec(block=block, channels=40, repeats=2, stride=2),
        ),
        head=HeadSpec(channels=72),
        classes=10,
        resolution=75,
        conventions=Conventions(activation=activation, padding=padding),  # type: ignore[arg-type]
    )


@pytest.mark.parametrize("activation", ["silu", "relu", "relu6", "hard_swish", "gelu"])
def test_every_activation(activation: Activation) -> None:
    network, images = random_network(wide(activation, 3, "symmetric", "mbconv", 0.25))
    agree(network, images, opened(network, 75, 2).run(images.numpy(), None))


@pytest.mark.parametrize("kernel", [3, 5, 7])
@pytest.mark.parametrize("padding", ["symmetric", "same"])
@pytest.mark.parametrize("kind", ["mbconv", "fused_mbconv"])
def test_kernels_paddings_and_blocks(kernel: int, padding: str, kind: str) -> None:
    network, images = random_network(wide("silu", kernel, padding, kind, 0.5))
    agree(network, images, opened(network, 75, 2).run(images.numpy(), None))


@pytest.mark.parametrize("winograd", [0, 2, 4])
@pytest.mark.parametrize("kind", ["fused_mbconv", "basic"])
def test_both_ways_to_compute_a_3x3_convolution(winograd: int, kind: str) -> None:
    """The layout takes the sooner one; each must give the same, whatever the layout takes."""
    network, images = random_network(wide("silu", 3, "symmetric", kind, 0.0))

    def change(placed: Layout) -> Layout:
        tiles = [dataclasses.replace(tile, winograd=0) for tile in placed.tiles]
        maps = list(placed.maps)
        floats = placed.floats
        for number, step in enumerate(placed.plan.steps):
            if step.kind == "convolution" and (step.kernel, step.stride) == (3, 1) and winograd:
                tiles[number] = Tile(pixels=3, blocks=1, winograd=winograd, strip=5)
                maps[step.input] = dataclasses.replace(maps[step.input], border=4)  # in a place of its own: it is wider
        for index, map in enumerate(maps):
            maps[index] = dataclasses.replace(map, offset=floats)
            floats += maps[index].floats
        return dataclasses.replace(placed, tiles=tuple(tiles), maps=tuple(maps), floats=floats)

    agree(network, images, opened(network, 75, 2, change=change).run(images.numpy(), None))


def test_the_answer_does_not_depend_on_threads_or_batch() -> None:
    network, images = random_network(effnet.find("v2-b0").replace(classes=10, resolution=64), batch=5)
    engines = [opened(network, 64, threads) for threads in (1, 2, 3)]
    wanted = engines[0].run(images.numpy(), None)
    agree(network, images, wanted)
    for engine in engines:
        for size in (1, 2, 5):
            np.testing.assert_array_equal(engine.run(images[:size].numpy(), None), wanted[:size])


@pytest.mark.slow
@pytest.mark.skipif(not X86, reason="flags of x86")
@pytest.mark.parametrize("flags", ["-march=x86-64", "-march=haswell"])
def test_narrower_vectors(flags: str) -> None:
    """SSE and AVX2 are what other machines have; this one runs them too."""
    if flags == "-march=haswell" and "avx2" not in Path("/proc/cpuinfo").read_text():
        pytest.skip("this processor has no AVX2")
    for spec in (
        wide("silu", 5, "same", "mbconv", 0.25),
        wide("gelu", 3, "symmetric", "basic", 0.0),
        effnet.find("v2-b0"),
    ):
        network, images = random_network(spec.replace(resolution=75))
        agree(network, images, opened(network, 75, 2, (flags,)).run(images.numpy(), None))


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
@pytest.mark.parametrize("pixels", [False, True])
def test_a_bundle_is_certified_opened_and_predicts(precision: str, pixels: bool, tmp_path: Path) -> None:
    network = tiny_network()
    network.labels = LABELS
    path = tmp_path / "tiny.native.effnet"
    export(network, "native", path, precision=precision, preprocessing_in_graph=pixels, threads=1)  # type: ignore[arg-type]
    bundle = open_bundle(path)
    assert bundle.certificate is not None and bundle.certificate.passed
    assert bundle.certificate.graph == bundle.certificate.expected == expected_work(bundle.manifest)
    assert engines_here("native") == ("native",)
    assert verify(bundle, threads=2).passed
    image = np.random.default_rng(0).integers(0, 256, (50, 60, 3), dtype=np.uint8)
    mine, theirs = effnet.load(path, threads=1).predict(image), effnet.load(network, device="cpu").predict(image)
    assert mine.label == theirs.label
    allowed = 1e-4 if precision == "fp32" else 2e-2
    assert [s.probability for s in mine.scores] == pytest.approx([s.probability for s in theirs.scores], abs=allowed)


def test_its_steps_are_timed() -> None:
    manifest = describe(find_model(tiny_network()), "native", "fp32")
    bundle = Bundle(manifest=manifest, certificate=None, payload=convert(tiny_network(), manifest))
    engine = open_engine(bundle, threads=1)
    engine.run(np.zeros((1, 3, 32, 32), np.float32))
    steps = engine._engine.seconds_of_steps()  # type: ignore[attr-defined]  # the checked door shows only `Engine`
    assert len(steps) == len(plan(manifest.spec, 32).steps) and 0 < sum(steps) < 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_forked_process_ends_and_leaves_the_engine_alone() -> None:
    network, images = random_network(wide("silu", 3, "symmetric", "mbconv", 0.25))
    engine = opened(network, 75, 2)
    wanted = engine.run(images.numpy(), None)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # forking beside threads is what is tested
        child = os.fork()
    if not child:
        del engine
        os._exit(0)
    end = time.monotonic() + 30
    while not os.waitpid(child, os.WNOHANG)[0]:
        if time.monotonic() > end:
            os.kill(child, signal.SIGKILL)
            pytest.fail("the forked process hangs")
        time.sleep(0.01)
    np.testing.assert_array_equal(engine.run(images.numpy(), None), wanted)


def test_other_weights_and_fewer_steps_are_refused(tmp_path: Path) -> None:
    network = tiny_network()
    manifest = describe(find_model(network), "native", "fp32")
    probes, terms = find_probes(None, manifest.preprocess), Terms(tolerance=1e-4)
    nudged = tiny_network()
    with torch.no_grad():
        nudged.features[1][1].block[0][0].weight[3, 2] += 0.05
    bundle = Bundle(manifest=manifest, certificate=None, payload=convert(nudged, manifest))
    with pytest.raises(ParityError, match="logits differ"):
        certify(bundle, network, probes, terms, threads=1)

    changed = tiny_network()
    changed.features[1][1] = torch.nn.Identity()
    with pytest.raises(ParityError, match="not the one of its spec"):
        convert(changed, manifest)

    shorter = build(network.spec.with_stage(1, repeats=1))
    manifest_of_it = describe(find_model(shorter), "native", "fp32", size=32)
    payload = convert(shorter, manifest_of_it)
    with pytest.raises(ParityError, match="MACs"):
        certify(Bundle(manifest=manifest, certificate=None, payload=payload), network, probes, terms, threads=1)


def test_damaged_payloads_are_refused() -> None:
    manifest = describe(find_model(tiny_network()), "native", "fp32")
    payload = convert(tiny_network(), manifest)
    changed = build(tiny_network().spec.with_stage(2, channels=16))
    other = convert(changed, describe(find_model(changed), "native", "fp32", size=32))
    for broken in (
        {**payload, "model.safetensors": payload["model.safetensors"][:-4]},
        {**payload, "model.safetensors": b"junk"},
        {**payload, "plan.json": b"{}"},
        {**payload, "model.safetensors": other["model.safetensors"]},
    ):
        bundle = Bundle(manifest=manifest, certificate=None, payload=broken)
        with pytest.raises(WeightsError):
            open_engine(bundle)
        with pytest.raises(WeightsError):
            count("native", broken)
    elsewhere = dataclasses.replace(manifest, preprocess=manifest.preprocess.with_size(64))
    with pytest.raises(WeightsError, match="other images"):
        open_engine(Bundle(manifest=elsewhere, certificate=None, payload=payload))


def test_a_network_larger_than_the_memory_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native_library, "_memory", lambda: 1 << 20)
    steps = plan(effnet.find("b0").replace(classes=2), 224)
    compiled = Library(library())
    placed = layout(steps, compiled.vectors)
    tensors = {name: np.zeros(shape, np.float32) for name, shape in steps.shapes().items()}
    with pytest.raises(EffnetError, match="GB") as caught:
        compiled.open(placed, pack(placed, tensors), 1, 0)
    assert caught.value.fix


def test_without_a_compiler_the_error_names_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    export(tiny_network(), "native", tmp_path / "tiny.effnet", threads=1)
    monkeypatch.setattr(compiling, "compiler", lambda: None)
    with pytest.raises(MissingDependencyError, match="compiler") as caught:
        open_engine(open_bundle(tmp_path / "tiny.effnet"))
    assert "g++" in str(caught.value)


def test_the_compiler_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "ccache g++")
    assert compiler() == ("ccache", "g++")
    monkeypatch.delenv("CXX")
    monkeypatch.setattr(shutil, "which", lambda name: f"/bin/{name}" if name == "clang++" else None)
    assert compiler() == ("/bin/clang++",)


@pytest.mark.parametrize(("command", "said"), [("false", "does not compile"), ("no-such-compiler", "cannot be run")])
def test_a_compiler_that_fails_is_an_error_and_leaves_nothing(
    command: str, said: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("EFFNET_HOME", str(tmp_path))
    monkeypatch.setenv("CXX", command)
    with pytest.raises(EffnetError, match=said) as caught:
        library()
    assert caught.value.fix and not list((tmp_path / "native").glob("*.so"))


def test_a_damaged_library_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("EFFNET_HOME", str(tmp_path))
    fake = tmp_path / "compile.sh"
    fake.write_text('#!/bin/sh\nfor last; do :; done\necho junk > "$last"\n')
    fake.chmod(0o755)
    monkeypatch.setenv("CXX", str(fake))
    with pytest.raises(EffnetError, match="cannot be loaded") as caught:
        library()
    assert "delete" in str(caught.value)


def test_a_bundle_must_be_certified_to_be_written(tmp_path: Path) -> None:
    manifest = describe(find_model(tiny_network()), "native", "fp32")
    bundle = Bundle(manifest=manifest, certificate=None, payload=convert(tiny_network(), manifest))
    with pytest.raises(EffnetError):
        write_bundle(bundle, tmp_path / "x.effnet")
    assert not list(tmp_path.iterdir())
