"""Engines: the network's own logits from each of them, whatever the batch, and clear refusals."""

from __future__ import annotations

import dataclasses
import importlib.util
import tomllib
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from effnet.data.preprocess import to_array
from effnet.deploy.engines import ENGINES, engines_here, open_engine, opening
from effnet.deploy.engines.torch import network_engine
from effnet.errors import InputError, MissingDependencyError, UnknownNameError, WeightsError
from effnet.inference.cores import usable_cores
from tests.deploy.bundles import bundle as dead_bundle
from tests.deploy.exported import tiny_bundle
from tests.tiny import tiny_network

ONNX = [name for name in ("onnxruntime", "openvino") if importlib.util.find_spec(name) is not None]
PACKAGED = [name for name, kind in ENGINES.items() if kind.package]  # the native engine has tests of its own
PIXELS = np.random.default_rng(0).integers(0, 256, (11, 32, 32, 3), dtype=np.uint8)


def wanted(count: int) -> np.ndarray:
    """Logits of the plain network."""
    network = tiny_network()
    assert network.preprocess is not None
    with torch.inference_mode():
        return network(torch.from_numpy(to_array(list(PIXELS[:count]), network.preprocess))).numpy()


def images(count: int) -> np.ndarray:
    preprocess = tiny_network().preprocess
    assert preprocess is not None
    return to_array(list(PIXELS[:count]), preprocess)


@pytest.mark.parametrize("engine", ONNX)
@pytest.mark.parametrize("threads", [1, 2])
def test_an_engine_computes_the_networks_logits_at_any_batch(engine: str, threads: int) -> None:
    opened = open_engine(tiny_bundle(), engine, threads)
    for count in (1, 3, 1, 11):
        logits = opened.run(images(count))
        assert (logits.shape, logits.dtype) == ((count, 7), np.float32)
        np.testing.assert_allclose(logits, wanted(count), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("engine", ONNX)
@pytest.mark.parametrize("batch", [1, 4])
def test_a_fixed_batch_is_filled_and_cut(engine: str, batch: int) -> None:
    opened = open_engine(tiny_bundle(batch=batch), engine, 1)
    for count in (1, 3, 4, 5, 11):
        np.testing.assert_allclose(opened.run(images(count)), wanted(count), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("engine", ONNX)
def test_a_graph_may_take_pixels(engine: str) -> None:
    opened = open_engine(tiny_bundle(pixels=True), engine, 1)
    np.testing.assert_allclose(opened.run(PIXELS[:5]), wanted(5), atol=1e-4, rtol=1e-4)
    with pytest.raises(InputError, match="uint8"):
        opened.run(images(5))


@pytest.mark.parametrize("engine", ONNX)
def test_results_of_one_run_outlive_the_next(engine: str) -> None:
    opened = open_engine(tiny_bundle(), engine, 1)
    first = opened.run(images(3)[:1])
    kept = first.copy()
    opened.run(images(3)[1:2])
    np.testing.assert_array_equal(first, kept)


def test_strided_images_are_as_good_as_contiguous_ones() -> None:
    opened = open_engine(tiny_bundle(), threads=1)
    whole = images(6)
    np.testing.assert_allclose(opened.run(whole[::2]), opened.run(whole)[::2], atol=1e-5)


@given(shape=st.lists(st.integers(0, 5), max_size=5), kind=st.sampled_from(["float32", "float64", "uint8"]))
@settings(max_examples=30)
def test_what_the_graph_cannot_take_is_refused(shape: list[int], kind: str) -> None:
    with pytest.raises(InputError, match=r"the graph takes float32 \(N, 3, 32, 32\)"):
        open_engine(tiny_bundle(), threads=1).run(np.zeros(shape, kind))


@pytest.mark.parametrize("engine", ONNX)
def test_settings_say_what_was_chosen(engine: str) -> None:
    opened = open_engine(tiny_bundle(), engine, 2)
    assert opened.name == engine
    assert opened.threads == opened.settings["threads"] == 2
    assert opened.settings["version"]


def test_threads_are_the_processors_there_are_unless_said() -> None:
    assert open_engine(tiny_bundle()).threads == usable_cores()
    for wrong in (0, -1, 1.5, True, "2"):
        with pytest.raises(InputError, match="threads"):
            open_engine(tiny_bundle(), threads=wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("quota", "cores"), [("max 100000", None), ("100000 100000", 1), ("50000 100000", 1), ("", None), ("a b", None)]
)
def test_a_containers_quota_counts(tmp_path: Path, quota: str, cores: int | None) -> None:
    file = tmp_path / "cpu.max"
    file.write_text(quota)
    assert usable_cores(file) == (cores or usable_cores(tmp_path / "nothing"))


def test_the_default_engine_of_onnx_is_onnx_runtime() -> None:
    assert open_engine(tiny_bundle()).name == ONNX[0] == engines_here("onnx")[0]
    assert set(engines_here("onnx")) == set(ONNX)


def test_an_unknown_engine_suggests_a_known_one() -> None:
    with pytest.raises(UnknownNameError, match="did you mean onnxruntime"):
        open_engine(tiny_bundle(), "onnx-runtime")


def test_an_engine_for_another_format_says_which_to_use() -> None:
    with pytest.raises(InputError, match="use onnxruntime or openvino"):
        open_engine(tiny_bundle(), "litert")


@pytest.mark.parametrize("engine", PACKAGED)
def test_a_missing_package_says_what_installs_it(engine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opening, "_is_installed", lambda _: False)
    kind = ENGINES[engine]
    with pytest.raises(MissingDependencyError) as caught:
        open_engine(dead_bundle(kind.formats[0]), engine)
    project = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text("utf-8"))["project"]
    if engine == "torch":  # comes with effnet itself: no extra would bring it back
        assert caught.value.fix == "pip install torch"
        assert any(need.startswith("torch>") for need in project["dependencies"])
    else:
        assert caught.value.fix == f"pip install 'effnet[{kind.extra}]'"
        distribution = str(kind.package).replace("_", "-")
        assert any(need.startswith(f"{distribution}>") for need in project["optional-dependencies"][kind.extra])


@pytest.mark.parametrize("engine", PACKAGED)
def test_a_graph_that_no_runtime_can_read_is_an_error_of_the_bundle(engine: str) -> None:
    kind = ENGINES[engine]
    if importlib.util.find_spec(kind.package) is None:
        pytest.skip(f"{kind.package} is not installed")
    for format in kind.formats:
        with pytest.raises(WeightsError, match="refuses"):
            open_engine(dead_bundle(format), engine, 1)


@pytest.mark.parametrize("compiled", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_a_network_itself_is_an_engine(compiled: bool) -> None:
    opened = network_engine(tiny_network(), 1, compiled=compiled)
    np.testing.assert_allclose(opened.run(images(3)), wanted(3), atol=1e-4, rtol=1e-4)
    assert opened.settings["form"] != ""


def test_a_manifest_that_lies_about_its_graph_gives_an_error_and_no_traceback() -> None:
    with pytest.raises(WeightsError, match="manifest says from pictures"):
        open_engine(tiny_bundle(input_name="pictures"), "onnxruntime", 1)
    wrong_size = tiny_bundle()
    described = dataclasses.replace(wrong_size.manifest, preprocess=wrong_size.manifest.preprocess.with_size(40))
    opened = open_engine(dataclasses.replace(wrong_size, manifest=described, certificate=None), "onnxruntime", 1)
    with pytest.raises(InputError, match="failed"):
        opened.run(np.zeros((1, 3, 40, 40), np.float32))
