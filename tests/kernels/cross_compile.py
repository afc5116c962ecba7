"""Compile a kernel for a GPU that is not there, and read what the assembler says it costs."""

from __future__ import annotations

import re
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

TOOLS = Path(triton.__file__).parent / "backends" / "nvidia" / "bin"


@dataclass(frozen=True)
class Usage:
    """Of one thread, except `shared` (bytes a program)."""

    registers: int
    stack: int
    shared: int
    local_loads: int
    local_stores: int
    wide_loads: int
    """Instructions that load 16 bytes."""


def compiled(
    kernel: Any, pointers: dict[str, str], constants: dict[str, Any], warps: int, capability: int, **options: Any
) -> Usage:
    """Compile as a launch would where every pointer divides by 16 and, as EIGHT says, channels by 8.

    Args:
        pointers: dtype of the pointer arguments that are not float32 (`*fp32`), such as {"x": "*bf16"}; scalars are
            named here too, when they are not int32.
        capability: 80 (A100), 90 (H100, H200).
    """
    signature: dict[str, str] = {}
    attributes: dict[tuple[int], list[list[Any]]] = {}
    for place, name in enumerate(kernel.arg_names):
        if name in constants:
            signature[name] = "constexpr"
            continue
        scalar = name.isupper() or name in _SCALARS or name.split("_")[-1] in ("n", "c", "t", "k")
        signature[name] = pointers.get(name, "i32" if scalar else "*fp32")
        if signature[name].startswith("*"):
            attributes[(place,)] = [["tt.divisibility", 16]]
    source = ASTSource(kernel, signature, constexprs=constants, attrs=attributes)
    built = triton.compile(source, target=GPUTarget("cuda", capability, 32), options={"num_warps": warps, **options})
    return _usage(built.asm["cubin"], built.metadata.shared)


_SCALARS = {"rows", "bands", "columns", "tiles", "parts", "count"}


def _usage(cubin: bytes, shared: int) -> Usage:
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(cubin)
        file.flush()
        resources, code = (
            subprocess.run([TOOLS / "cuobjdump", flag, file.name], check=True, capture_output=True, text=True).stdout
            for flag in ("-res-usage", "-sass")
        )

    def number(name: str) -> int:
        found = re.search(rf"{name}:(\d+)", resources)
        assert found, f"cuobjdump said nothing of {name}: {resources[:400]}"
        return int(found[1])

    return Usage(
        registers=number("REG"),
        stack=number("STACK"),
        shared=shared,
        local_loads=len(re.findall(r"\bLDL\b", code)),
        local_stores=len(re.findall(r"\bSTL\b", code)),
        wide_loads=len(re.findall(r"LDG\.E[.\w]*\.128", code)),
    )
