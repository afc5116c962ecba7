"""Which form of a training step is fastest on a CPU: layout, precision, fewer passes, products, allocators, compilers.

Forward, cross entropy, backward, RMSProp; float32 unless said. Each form lives in a process of its own, because an
allocator is a matter of the whole process; one step of each is asked for in turn, so that a slow moment of the machine
hits all alike. A ratio is the median over rounds of the time of `channels_last` (what training did before), over that
of the form: above 1 is faster. The whole is done `--runs` times with new processes. The profile says what share of a
step each kind of operator takes.

    python benchmarks/cpu_training_forms.py [--networks b0,v2-b0] [--batch 16] [--size 128] [--threads 1]
        [--rounds 9] [--runs 2] [--forms contiguous,kept_memory] [--jemalloc LIBRARY] [--note TEXT] [--output FILE]
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

BASE = "channels_last"
FORMS = {
    BASE: "what training did before",
    "contiguous": "NCHW",
    "bfloat16": "autocast",
    "silu_out_of_place": "torch keeps a copy of the input of one in place",
    "norm_silu": "batch norm and SiLU as one function that keeps the norm's input alone and computes the rest again",
    "products": "1x1 convolutions as matrix products on the NHWC view",
    "kept_memory": "glibc keeps what torch frees (mallopt)",
    "kept_memory_norm_silu": "both",
    "huge_pages": "glibc asks for huge pages too (GLIBC_TUNABLES)",
    "jemalloc": "another allocator, which keeps what is freed too (LD_PRELOAD; needs --jemalloc)",
    "our_operators": "effnet.kernels' torch references",
    "compiled": "torch.compile, Inductor",
}
KEPT = ("kept_memory", "kept_memory_norm_silu", "huge_pages")


def worker(form: str, network: str, batch: int, size: int, threads: int) -> None:
    """Do a step for each line of the input and answer with seconds, page faults and GB at most; or with a profile."""
    import torch

    from effnet.allocator import keep_freed_memory

    torch.set_num_threads(threads)
    if form in KEPT and not keep_freed_memory():
        raise SystemExit("this C library has no mallopt that helps")
    step = stepper(form, network, batch, size)
    step()
    print("ready", flush=True)
    for line in sys.stdin:
        if line.strip() == "profile":
            print(json.dumps(profiled(step)), flush=True)
            continue
        began, faults = time.perf_counter(), page_faults()
        step()
        print(json.dumps([time.perf_counter() - began, page_faults() - faults, peak_gb()]), flush=True)


def stepper(form: str, name: str, batch: int, size: int) -> Callable[[], None]:
    import torch
    from torch import Tensor, nn

    import effnet
    from effnet.nn import ConvNormAct, set_kernels

    torch.manual_seed(0)
    layout = torch.contiguous_format if form == "contiguous" else torch.channels_last
    network = effnet.build(effnet.find(name)).train().to(memory_format=layout)
    images = torch.randn(batch, 3, size, size).contiguous(memory_format=layout)
    labels = torch.randint(1000, (batch,))
    if form == "silu_out_of_place":
        for module in network.modules():
            if isinstance(module, nn.SiLU):
                module.inplace = False
    if form == "our_operators":
        set_kernels(network, "triton")
    if form.endswith("norm_silu"):
        for module in network.modules():
            if isinstance(module, ConvNormAct) and len(module) > 2:
                module.fused = norm_silu()
    if form == "products":
        for module in network.modules():
            if type(module) is nn.Conv2d and module.kernel_size == (1, 1) and module.groups == 1:
                module.forward = as_product(module)  # type: ignore[method-assign]
    forward: Callable[[Tensor], Tensor] = torch.compile(network) if form == "compiled" else network
    optimizer = torch.optim.RMSprop(network.parameters(), lr=1e-4, momentum=0.9)

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast("cpu", torch.bfloat16, form == "bfloat16"):
            loss = nn.functional.cross_entropy(forward(images), labels)
        loss.backward()
        optimizer.step()

    return step


def norm_silu() -> Callable[[Any, Any], Any]:
    """Return what computes a ConvNormAct with its norm and SiLU as one function."""
    import torch
    from torch import Tensor

    class NormSiLU(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, norm: Any) -> Tensor:
            y, mean, scale = torch.native_batch_norm(
                x, weight, bias, norm.running_mean, norm.running_var, True, norm.momentum, norm.eps
            )
            ctx.save_for_backward(x, weight, bias, mean, scale)
            ctx.eps = norm.eps
            return torch.nn.functional.silu(y, inplace=True)

        @staticmethod
        def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
            x, weight, bias, mean, scale = ctx.saved_tensors
            gain = weight * scale
            normed = torch.native_batch_norm(x, gain, bias, mean, torch.ones_like(mean), False, 0.0, 0.0)[0]
            inner = torch.ops.aten.silu_backward(gradients[0], normed)
            dx, dw, db = torch.ops.aten.native_batch_norm_backward(
                inner, x, weight, None, None, mean, scale, True, ctx.eps, [True, True, True]
            )
            return dx, dw, db, None

    def fused(module: Any, x: Tensor) -> Tensor:
        norm = module[1]
        norm.num_batches_tracked.add_(1)
        return NormSiLU.apply(module[0](x), norm.weight, norm.bias, norm)  # type: ignore[no-any-return]

    return fused


def as_product(module: Any) -> Callable[[Any], Any]:
    from torch.nn import functional

    def forward(x: Any) -> Any:
        weight = module.weight.flatten(1)  # (O, I, 1, 1) -> (O, I)
        return functional.linear(x.permute(0, 2, 3, 1), weight, module.bias).permute(0, 3, 1, 2)  # NCHW -> NHWC -> NCHW

    return forward


def profiled(step: Callable[[], None]) -> dict[str, float]:
    """Return the share of a step, in percent, of each kind of operator."""
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CPU]) as taken:
        step()
    events = taken.key_averages()
    whole = sum(event.self_cpu_time_total for event in events)
    shares = {event.key: round(100 * event.self_cpu_time_total / whole, 1) for event in events}
    return dict(sorted(((key, share) for key, share in shares.items() if share >= 1.5), key=lambda pair: -pair[1]))


def page_faults() -> int:
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt


def peak_gb() -> float:
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9


class Worker:
    """A form in its process."""

    def __init__(self, form: str, network: str, options: argparse.Namespace) -> None:
        environment = dict(os.environ)
        if form == "huge_pages":
            environment["GLIBC_TUNABLES"] = "glibc.malloc.hugetlb=1"
        if form == "jemalloc":
            environment["LD_PRELOAD"] = options.jemalloc
            environment["MALLOC_CONF"] = "dirty_decay_ms:-1,muzzy_decay_ms:-1"  # it keeps what is freed, as glibc above
        work = [form, network, options.batch, options.size, options.threads]
        self._process = subprocess.Popen(
            [sys.executable, __file__, "--work", *map(str, work)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )

    def ready(self) -> None:
        self._line()

    def ask(self, what: str) -> Any:
        assert self._process.stdin is not None
        self._process.stdin.write(what + "\n")
        self._process.stdin.flush()
        return json.loads(self._line())

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()

    def _line(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit("a worker ended; its message is above")
        return line


@contextmanager
def workers(forms: list[str], network: str, options: argparse.Namespace) -> Iterator[dict[str, Worker]]:
    made: dict[str, Worker] = {}
    try:
        for form in forms:  # one after the other: each warms up alone
            made[form] = Worker(form, network, options)
            made[form].ready()
        yield made
    finally:
        for one in made.values():
            one.close()


def measured(forms: list[str], network: str, options: argparse.Namespace) -> dict[str, Any]:
    taken: dict[str, list[list[float]]] = {form: [] for form in forms}
    with workers(forms, network, options) as made:
        for number in range(options.rounds + 1):
            turn = number % len(forms)
            for form in forms[turn:] + forms[:turn]:
                found = made[form].ask("step")
                if number:  # the first round warms up
                    taken[form].append(found)
        shares = {form: made[form].ask("profile") for form in forms if form not in ("compiled",)}
    base = [seconds for seconds, _, _ in taken[BASE]]
    result = {}
    for form, rows in taken.items():
        ratios = sorted(b / seconds for b, (seconds, _, _) in zip(base, rows, strict=True))
        result[form] = {
            "seconds": round(statistics.median(seconds for seconds, _, _ in rows), 3),
            "times_as_fast": round(statistics.median(ratios), 3),
            "low_high": [round(ratios[0], 3), round(ratios[-1], 3)],
            "page_faults_a_step": statistics.median(faults for _, faults, _ in rows),
            "peak_gb": round(rows[-1][2], 2),
            "shares_percent": shares.get(form),
        }
    return result


def main() -> None:
    if sys.argv[1:2] == ["--work"]:
        form, network, *numbers = sys.argv[2:]
        worker(form, network, *map(int, numbers))
        return
    from machine import describe

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", default="b0,v2-b0")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--runs", type=int, default=2)
    parser.add_argument("--forms", help=f"of {', '.join(FORMS)}")
    parser.add_argument("--jemalloc", help="libjemalloc.so.2, for the form of that name")
    parser.add_argument("--note", help="what should be known of the measurement")
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    asked = options.forms.split(",") if options.forms else [form for form in FORMS if form != BASE]
    if unknown := set(asked) - set(FORMS):
        parser.error(f"unknown forms {', '.join(sorted(unknown))}: use {', '.join(FORMS)}")
    forms = [BASE, *(form for form in asked if form != BASE and (form != "jemalloc" or options.jemalloc))]
    result: dict[str, Any] = {
        "what": "a training step: forward, cross entropy, backward, RMSProp",
        **{name: getattr(options, name) for name in ("batch", "size", "threads", "rounds")},
        "machine": describe("effnet", "torch"),
        "forms": {form: FORMS[form] for form in forms},
    }
    if options.note:
        result["note"] = options.note
    for network in options.networks.split(","):
        result[network] = [measured(forms, network, options) for _ in range(options.runs)]
        for run in result[network]:
            print(network, {form: (row["times_as_fast"], row["low_high"]) for form, row in run.items()}, flush=True)
    text = json.dumps(result, indent=1)
    if options.output:
        options.output.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
