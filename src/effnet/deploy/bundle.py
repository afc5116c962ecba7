"""A bundle: one file with a graph, the description of how to feed it, and its certificate.

For ONNX the file is a plain `.onnx` that any tool opens: the two JSON texts are entries of its metadata, and are found
here by a scan over protobuf's fields, without the onnx package. For every other format it is a ZIP (stored, so that the
graph can be mapped) with the ending `.effnet`. Nothing in a bundle is executed by opening it.
"""

from __future__ import annotations

import hashlib
import io
import re
import stat
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from effnet.deploy.certificate import Certificate
from effnet.deploy.document import AGAIN
from effnet.deploy.manifest import Format, Manifest
from effnet.deploy.onnx_graph import require_plain
from effnet.deploy.protobuf import Field, ProtobufError, fields, length_delimited
from effnet.errors import EffnetError, InputError, WeightsError
from effnet.weights.atomic import atomic_write

PAYLOADS: Mapping[Format, tuple[str, ...]] = {
    "onnx": ("model.onnx",),
    "openvino": ("model.xml", "model.bin"),
    "torch": ("model.pt2",),
    "executorch": ("model.pte",),
    "litert": ("model.tflite",),
    "native": ("plan.json", "model.safetensors"),
}
"""The files of each format."""

MAX_BYTES = 4 << 30
"""Largest bundle that is read: L2, the largest network, has 2 GB."""

_CONTROL = re.compile(rb"""type\s*=\s*["'](Loop|TensorIterator|If)["']""")
"""OpenVINO's operations whose rounds nobody bounds."""

_MANIFEST, _CERTIFICATE = "manifest.json", "certificate.json"
_ZIP = b"PK\x03\x04"
_MADE = (1980, 1, 1, 0, 0, 0)  # the earliest date a ZIP knows: the same bundle gives the same bytes

# Fields of ONNX's ModelProto and StringStringEntryProto.
_IR_VERSION, _METADATA, _KEY, _VALUE = 1, 14, 1, 2
_ONNX_FIELDS = frozenset({1, 2, 3, 4, 5, 6, 7, 8, 14, 20, 25, 26})
_KEYS = {b"effnet.manifest": _MANIFEST, b"effnet.certificate": _CERTIFICATE}


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    """A graph with its description.

    Attributes:
        manifest: what it is and how to feed it.
        certificate: the proof; None only while it is being made.
        payload: the graph's files by name, as `PAYLOADS` names them.

    Raises:
        WeightsError: files of another format, or not those that the certificate was made for.
    """

    manifest: Manifest
    certificate: Certificate | None
    payload: Mapping[str, bytes]

    def __post_init__(self) -> None:
        """Refuse parts that do not belong together."""
        wanted = PAYLOADS[self.manifest.format]
        if set(self.payload) != set(wanted):
            what = (
                f"{self.manifest.format} needs {' and '.join(wanted)}, this has {', '.join(self.payload) or 'nothing'}"
            )
            raise WeightsError(what, where=self.manifest.name, fix=AGAIN)
        if self.certificate is None:
            return
        certified = dict(self.certificate.sha256)
        for name, digest in digests(self.manifest, self.payload).items():
            if certified.pop(name, None) != digest:
                raise WeightsError(f"its {name} is not the one its certificate was made for", fix=AGAIN)
        if certified:
            raise WeightsError(f"its certificate is for {', '.join(certified)} too", fix=AGAIN)


def digests(manifest: Manifest, payload: Mapping[str, bytes]) -> dict[str, str]:
    """Return the sha256 of the manifest and of each file, as a certificate holds them."""
    texts = {_MANIFEST: manifest.to_json().encode(), **payload}
    return {name: hashlib.sha256(text).hexdigest() for name, text in texts.items()}


def is_bundle(path: str | Path) -> bool:
    """Whether a file looks like a bundle; `open_bundle` says what is wrong with one that only looks so."""
    place = Path(path)
    try:
        if not stat.S_ISREG(place.stat().st_mode):
            return False
        with place.open("rb") as file:
            if file.read(4) == _ZIP:
                with zipfile.ZipFile(file) as archive:
                    return _MANIFEST in archive.namelist()
            return any(_key(field) in _KEYS for field in _onnx(file))
    except (OSError, ValueError, zipfile.BadZipFile, ProtobufError, NotImplementedError):
        return False


def open_bundle(path: str | Path) -> Bundle:
    """Read a bundle and check that it is whole: its files are those that its certificate was made for.

    Raises:
        InputError: there is no such file.
        WeightsError: damaged, too large, without a certificate, or no bundle.
    """
    place = Path(path)
    data = _content(place)
    try:
        manifest, certificate, payload = _from_zip(data) if data[:4] == _ZIP else _from_onnx(data)
        read = Manifest.from_json(manifest)
        return Bundle(manifest=read, certificate=Certificate.from_json(certificate), payload=payload)
    except EffnetError as error:
        inner = f"{path} ({error.where})" if error.where else str(path)
        raise WeightsError(error.what, where=inner, fix=error.fix or AGAIN) from None


def write_bundle(bundle: Bundle, path: str | Path) -> Path:
    """Write a certified bundle to `path`, whole or not at all; the same bundle gives the same bytes.

    Raises:
        InputError: it has no certificate, or one that did not pass.
        StorageError: no room or no permission.
    """
    certificate = bundle.certificate
    if certificate is None or not certificate.passed:
        what = "has no certificate" if certificate is None else "; ".join(certificate.failures())
        raise InputError(what, where=bundle.manifest.name, fix="export it again: effnet export")
    texts = {_MANIFEST: bundle.manifest.to_json().encode(), _CERTIFICATE: certificate.to_json().encode()}
    content = _onnx_parts(bundle, texts) if bundle.manifest.format == "onnx" else _zip_parts(bundle, texts)
    target = Path(path)
    needs = sum(map(len, texts.values())) + sum(map(len, bundle.payload.values()))
    with atomic_write(target, needs=needs) as temporary, temporary.open("wb") as file:
        for part in content:
            file.write(part)
    return target


def _content(path: Path) -> bytes:
    try:
        state = path.stat()
        if not stat.S_ISREG(state.st_mode):
            raise InputError("is not a file", where=str(path), fix="give a bundle: .onnx or .effnet")
        if state.st_size > MAX_BYTES:
            raise WeightsError(f"is {state.st_size} bytes, more than {MAX_BYTES}", where=str(path), fix=AGAIN)
        if not state.st_size:
            raise WeightsError("is empty", where=str(path), fix=AGAIN)
        return path.read_bytes()
    except FileNotFoundError:
        raise InputError("there is no such file", where=str(path), fix="check the path") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(f"cannot be read: {reason}", where=str(path), fix="check its permissions") from None


def _key(field: Field) -> bytes | None:
    """Return the key of a metadata entry; None for any other field."""
    if field.number != _METADATA or field.value is None:
        return None
    return next((entry.value for entry in fields(field.value) if entry.number == _KEY), None)


def _onnx(file: BinaryIO) -> Iterator[Field]:
    """Return the fields of an ONNX model, the content of its graph not read."""
    for number, field in enumerate(length_delimited(file, wanted=_METADATA)):
        if field.number not in _ONNX_FIELDS or (number == 0 and field.number != _IR_VERSION):
            raise ProtobufError("not an ONNX model")
        yield field


def _from_onnx(data: bytes) -> tuple[bytes, bytes, dict[str, bytes]]:
    texts: dict[str, bytes] = {}
    graph: list[bytes] = []
    kept = 0
    try:
        for field in _onnx(io.BytesIO(data)):
            key = _key(field)
            if key not in _KEYS:
                continue
            assert field.value is not None and key is not None
            graph.append(data[kept : field.start])
            kept = field.stop
            if _KEYS[key] in texts:
                raise WeightsError(f"has two entries {key.decode()}", fix=AGAIN)
            texts[_KEYS[key]] = next((e.value or b"" for e in fields(field.value) if e.number == _VALUE), b"")
    except ProtobufError as error:
        raise WeightsError(
            f"is no bundle, or damaged: {error}", fix="give an .onnx or .effnet of effnet export"
        ) from None
    if set(texts) != set(_KEYS.values()):
        raise WeightsError("is an ONNX model without effnet's description", fix="make it with: effnet export")
    model = b"".join([*graph, data[kept:]])
    require_plain(model)
    return texts[_MANIFEST], texts[_CERTIFICATE], {"model.onnx": model}


def _onnx_parts(bundle: Bundle, texts: Mapping[str, bytes]) -> Iterator[bytes]:
    # Serialised messages that follow each other are one message whose repeated fields are joined.
    yield bundle.payload["model.onnx"]
    for key, name in _KEYS.items():
        entry = _delimited(_KEY, key) + _delimited(_VALUE, texts[name])
        yield _delimited(_METADATA, entry)


def _delimited(number: int, value: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(value)) + value


def _varint(value: int) -> bytes:
    parts = bytearray()
    while value > 0x7F:
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*parts, value])


def _from_zip(data: bytes) -> tuple[bytes, bytes, dict[str, bytes]]:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            entries = archive.infolist()
            known = {_MANIFEST, _CERTIFICATE, *(name for names in PAYLOADS.values() for name in names)}
            names = [entry.filename for entry in entries]
            if _MANIFEST not in names or not known.issuperset(names) or len(set(names)) != len(names):
                raise WeightsError("is an archive, but not a bundle", fix="give what effnet export wrote")
            if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
                raise WeightsError("is compressed, which bundles are not", fix=AGAIN)
            content = {name: archive.read(name) for name in names}
    except (zipfile.BadZipFile, ValueError, EOFError, OSError, NotImplementedError, RuntimeError) as error:
        raise WeightsError(f"is damaged: {str(error)[:200] or 'not a ZIP'}", fix=AGAIN) from None
    if _CERTIFICATE not in content:
        raise WeightsError("has no certificate", fix=AGAIN)
    if control := _CONTROL.search(content.get("model.xml", b"")):
        what = f"its graph has {control[1].decode()}, which no network of effnet has"
        raise WeightsError(what, fix=AGAIN)
    return content.pop(_MANIFEST), content.pop(_CERTIFICATE), content


def _zip_parts(bundle: Bundle, texts: Mapping[str, bytes]) -> Iterator[bytes]:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, value in [*texts.items(), *sorted(bundle.payload.items())]:
            entry = zipfile.ZipInfo(name, _MADE)
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, value)
    yield buffer.getvalue()
