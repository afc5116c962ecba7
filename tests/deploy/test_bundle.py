"""The bundle: one file, read whole or refused, that other tools open too."""

from __future__ import annotations

import dataclasses
import io
import tempfile
import zipfile
from pathlib import Path

import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from effnet.deploy.bundle import PAYLOADS, Bundle, digests, is_bundle, open_bundle, write_bundle
from effnet.deploy.manifest import FORMATS, Format
from effnet.errors import EffnetError, InputError, WeightsError
from tests.deploy.bundles import GRAPH, bundle, certificate, manifest


@pytest.mark.parametrize("format", FORMATS)
def test_everything_comes_back(format: Format, tmp_path: Path) -> None:
    whole = bundle(format)
    path = write_bundle(whole, tmp_path / "model")
    assert list(tmp_path.iterdir()) == [path]
    assert is_bundle(path)
    back = open_bundle(path)
    assert (back.manifest, back.certificate, dict(back.payload)) == (whole.manifest, whole.certificate, whole.payload)
    again = write_bundle(back, tmp_path / "again")
    assert again.read_bytes() == path.read_bytes()


def test_other_tools_read_the_onnx_file_and_its_description(tmp_path: Path) -> None:
    whole = bundle()
    model = onnx.load(write_bundle(whole, tmp_path / "model.onnx"))
    assert whole.certificate is not None
    assert {entry.key: entry.value for entry in model.metadata_props} == {
        "effnet.manifest": whole.manifest.to_json(),
        "effnet.certificate": whole.certificate.to_json(),
    }
    assert model.graph.name == "tiny"


def test_an_onnx_file_that_another_tool_has_written_again_is_still_the_bundle(tmp_path: Path) -> None:
    model = onnx.ModelProto(ir_version=10, producer_name="effnet")
    model.graph.name = "g"
    model.metadata_props.add(key="made by", value="us")
    payload = {"model.onnx": model.SerializeToString()}
    proof = certificate(sha256=digests(manifest(), payload))
    path = write_bundle(Bundle(manifest=manifest(), certificate=proof, payload=payload), tmp_path / "m.onnx")
    path.write_bytes(onnx.load(path).SerializeToString())
    assert open_bundle(path).payload == payload


@pytest.mark.parametrize("format", ["onnx", "openvino"])
def test_every_truncation_is_noticed(format: Format, tmp_path: Path) -> None:
    data = write_bundle(bundle(format), tmp_path / "model").read_bytes()
    cut = tmp_path / "cut"
    for length in {*range(0, len(data), max(1, len(data) // 80)), len(data) - 1}:
        cut.write_bytes(data[:length])
        with pytest.raises(WeightsError) as caught:
            open_bundle(cut)
        assert "Fix:" in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("format", ["onnx", "openvino"])
@given(place=st.floats(0, 1, exclude_max=True), flip=st.integers(1, 255))
@settings(max_examples=200)
def test_a_changed_byte_is_refused_or_changes_nothing(format: Format, place: float, flip: int) -> None:
    whole = bundle(format)
    with tempfile.TemporaryDirectory() as folder:
        path = write_bundle(whole, Path(folder) / "model")
        data = bytearray(path.read_bytes())
        data[int(place * len(data))] ^= flip
        path.write_bytes(data)
        try:
            back = open_bundle(path)
        except EffnetError as error:
            assert isinstance(error, WeightsError) and "\n" not in str(error)
            return
    assert (back.manifest, dict(back.payload)) == (whole.manifest, whole.payload)
    # Figures in the certificate are not signed: they can be lied about, but not the files that they are for.
    assert back.certificate is not None and whole.certificate is not None
    assert back.certificate.sha256 == whole.certificate.sha256


def test_labels_cannot_be_swapped_unnoticed(tmp_path: Path) -> None:
    whole = bundle("litert")
    swapped = dataclasses.replace(whole.manifest, labels=("bee", "개미", "cat"))
    with pytest.raises(WeightsError, match=r"manifest\.json is not the one"):
        Bundle(manifest=swapped, certificate=whole.certificate, payload=whole.payload)


def test_a_graph_cannot_be_swapped_unnoticed() -> None:
    whole = bundle()
    with pytest.raises(WeightsError, match=r"model\.onnx is not the one"):
        dataclasses.replace(whole, payload={"model.onnx": GRAPH + b"\x28\x01"})
    with pytest.raises(WeightsError, match=r"openvino needs model\.xml and model\.bin"):
        Bundle(manifest=manifest("openvino"), certificate=None, payload={"model.xml": b""})


def test_what_is_not_certified_is_not_written(tmp_path: Path) -> None:
    bare = dataclasses.replace(bundle(), certificate=None)
    failed = bundle(tolerance=1e-9)
    for refused in (bare, failed):
        with pytest.raises(InputError):
            write_bundle(refused, tmp_path / "model.onnx")
    assert list(tmp_path.iterdir()) == []


def test_foreign_files_are_told_apart(tmp_path: Path) -> None:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("../../evil", b"")
        file.writestr("manifest.json", manifest("litert").to_json())
    foreign = {
        "plain.onnx": (GRAPH, "without effnet's description"),
        "text.onnx": (b"hello world, this is text", "no bundle"),
        "page.onnx": (b"<!doctype html>", "no bundle"),
        "empty.onnx": (b"", "empty"),
        "archive.effnet": (archive.getvalue(), "not a bundle"),
    }
    for name, (content, complaint) in foreign.items():
        path = tmp_path / name
        path.write_bytes(content)
        assert is_bundle(path) == (name == "archive.effnet")
        with pytest.raises(WeightsError, match=complaint):
            open_bundle(path)
    assert not is_bundle(tmp_path) and not is_bundle(tmp_path / "missing")
    with pytest.raises(InputError, match="no such file"):
        open_bundle(tmp_path / "missing")
    with pytest.raises(InputError, match="not a file"):
        open_bundle(tmp_path)


def test_compressed_archives_are_refused(tmp_path: Path) -> None:
    whole = bundle("litert")
    path = tmp_path / "bomb.effnet"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("manifest.json", whole.manifest.to_json())
        file.writestr("model.tflite", bytes(1 << 20))
    with pytest.raises(WeightsError, match="compressed"):
        open_bundle(path)


def test_every_format_has_its_files() -> None:
    assert set(PAYLOADS) == set(FORMATS)
