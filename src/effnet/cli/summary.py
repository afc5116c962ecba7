"""`effnet summary`: one network, layer by layer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from typer import Argument, Option, echo

from effnet.errors import InputError

if TYPE_CHECKING:
    from effnet.cost import NetworkCost
    from effnet.spec import NetworkSpec


def summary(
    model: Annotated[str, Argument(help="A published name (b0), a JSON file of --spec, a model file or a run.")],
    resolution: Annotated[int | None, Option("--resolution", help="Input side in pixels, if not the native.")] = None,
    batch: Annotated[int, Option("--batch", help="Images at once, for the memory figures.")] = 1,
    dtype: Annotated[str, Option("--dtype", help="float32, float16, bfloat16 or int8.")] = "float32",
    edits: Annotated[
        list[str] | None,
        Option("--set", metavar="PLACE.FIELD=VALUE", help="Edit first: stage3.kernel=5, classes=10. Repeatable."),
    ] = None,
    spec_only: Annotated[bool, Option("--spec", help="Print the network's specification as JSON, to edit.")] = False,
    as_json: Annotated[bool, Option("--json", help="Print totals and layers as JSON.")] = False,
) -> None:
    """Print what a network is made of and what it costs: parameters, MACs, activations, bytes and memory."""
    from effnet.cli.arguments import network
    from effnet.cost import cost
    from effnet.editing import apply_edits

    if spec_only and as_json:
        raise InputError("--spec and --json are both given", fix="choose one")
    spec = apply_edits(network(model), edits or [])
    if spec_only:
        echo(spec.to_json())
        return
    counted = cost(spec, resolution, batch, dtype)  # type: ignore[arg-type]  # cost refuses other dtypes
    if as_json:
        echo(_json(spec, counted))
        return
    from effnet.cli.terminal import width, wrapped

    echo(wrapped(_text(spec, counted), width()))


def _text(spec: NetworkSpec, counted: NetworkCost) -> str:
    from effnet.quantities import billions, millions, size_text

    batch = "1 image" if counted.batch == 1 else f"{counted.batch} images"
    lines = [
        str(spec.replace(resolution=counted.resolution)),
        "",
        _layers(counted),
        "",
        f"at {counted.resolution} px: {millions(counted.params)} parameters ({counted.params:,}), "
        f"{billions(counted.macs)} MACs ({counted.macs:,}), {millions(counted.activations)} activations",
        f"inference, {batch}, {counted.dtype}: {size_text(counted.weight_bytes)} weights "
        f"+ {size_text(counted.peak_inference_bytes)} live tensors at the peak; moves at least "
        f"{size_text(counted.bytes_read + counted.bytes_written)}",
    ]
    if counted.training_bytes is not None and counted.total_training_bytes is not None:
        lines.append(
            f"training, {batch}: {size_text(counted.training_bytes)} saved tensors + "
            f"{size_text(counted.weight_bytes)} weights + {size_text(counted.gradient_bytes)} gradients + "
            f"{size_text(counted.optimizer_bytes)} optimizer = {size_text(counted.total_training_bytes)}"
        )
    return "\n".join([*lines, *_notes(spec, counted)])


def _layers(counted: NetworkCost) -> str:
    from effnet.cli.terminal import width
    from effnet.report.tables import text_table

    rows = []
    for layer in counted.layers:
        window = f"{layer.kernel}x{layer.kernel}" + (f" s{layer.stride}" if layer.stride > 1 else "")
        rows.append(
            (
                layer.name,
                layer.kind.replace("_", " "),
                "" if layer.kind in ("squeeze_excite", "linear") else window,
                _shape(layer.in_shape),
                _shape(layer.out_shape),
                f"{layer.params:,}",
                f"{layer.macs / 1e6:,.2f}",
                f"{layer.activations:,}",
                f"{layer.live_bytes / 1e6:,.2f}",
            )
        )
    total = (f"{counted.params:,}", f"{counted.macs / 1e6:,.2f}", f"{counted.activations:,}")
    rows.append(("total", "", "", "", "", *total, f"{counted.peak_inference_bytes / 1e6:,.2f}"))
    headers = ("layer", "kind", "window", "in", "out", "params", "MACs (M)", "activations", "live MB")
    return text_table(headers, rows, left=5, footer=True, width=width(), spare=("live MB", "activations", "in"))


def _shape(shape: tuple[int, int, int]) -> str:
    return "x".join(str(side) for side in shape)


def _notes(spec: NetworkSpec, counted: NetworkCost) -> list[str]:
    from effnet.unrolling import strided

    notes = []
    if counted.resolution != spec.resolution:
        train = f", trained at {spec.train_resolution}" if spec.train_resolution != spec.resolution else ""
        notes.append(f"note: the native resolution is {spec.resolution} px{train}; accuracy falls away from it")
    if strided(counted.resolution, spec.stride) == 1:
        notes.append(
            f"note: {counted.resolution} px over a stride of {spec.stride} leaves a single pixel; for small images "
            "try --set stem.stride=1"
        )
    return notes


def _json(spec: NetworkSpec, counted: NetworkCost) -> str:
    from dataclasses import asdict

    from effnet.cli.arguments import as_json

    body: dict[str, Any] = {"name": spec.name, "family": spec.family, "native_resolution": spec.resolution}
    totals = asdict(counted)
    layers = totals.pop("layers")
    derived = ("weight_bytes", "gradient_bytes", "optimizer_bytes", "total_inference_bytes", "total_training_bytes")
    body |= totals | {name: getattr(counted, name) for name in derived}
    return as_json(body | {"spec": spec.to_dict(), "layers": layers})
