"""Which form of a B0 training step is fastest on a CPU: layout, precision, SiLU in place or not, oneDNN, our operators.

Float32 unless said; forward, cross entropy, backward, RMSProp. The forms take turns; a ratio is the median of rounds
of the time of channels last, which training uses, over that of the form.

    python benchmarks/cpu_training_forms.py [--batch 16] [--rounds 7] [--forms contiguous,bfloat16] [--output FILE]
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from machine import describe
from torch import Tensor, nn

import effnet
from effnet.nn import set_kernels

FORMS = ("channels_last", "contiguous", "bfloat16", "silu_out_of_place", "our_operators", "no_onednn", "compiled")


def stepper(form: str, images: Tensor, labels: Tensor) -> Callable[[], None]:
    layout = torch.contiguous_format if form == "contiguous" else torch.channels_last
    network = effnet.build(effnet.find("b0")).train().to(memory_format=layout)
    images = images.contiguous(memory_format=layout)
    if form == "silu_out_of_place":
        for module in network.modules():
            if isinstance(module, nn.SiLU):
                module.inplace = False
    if form == "our_operators":
        set_kernels(network, "triton")
    forward: Callable[[Tensor], Tensor] = torch.compile(network) if form == "compiled" else network
    optimizer = torch.optim.RMSprop(network.parameters(), lr=1e-4, momentum=0.9)

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        enabled = form != "no_onednn"
        with torch.backends.mkldnn.flags(enabled=enabled), torch.autocast("cpu", torch.bfloat16, form == "bfloat16"):
            loss = nn.functional.cross_entropy(forward(images), labels)
        with torch.backends.mkldnn.flags(enabled=enabled):
            loss.backward()
        optimizer.step()

    return step


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--forms", default=",".join(FORMS[1:-1]), help=f"of {', '.join(FORMS[1:])}")
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    forms = ["channels_last", *arguments.forms.split(",")]
    if unknown := set(forms) - set(FORMS):
        parser.error(f"unknown forms {', '.join(sorted(unknown))}: use {', '.join(FORMS[1:])}")
    torch.manual_seed(0)
    images = torch.randn(arguments.batch, 3, arguments.size, arguments.size)
    labels = torch.randint(1000, (arguments.batch,))
    steps = {form: stepper(form, images, labels) for form in forms}
    times: dict[str, list[float]] = {form: [] for form in forms}
    for number in range(arguments.rounds + 1):
        turn = number % len(forms)
        for form in forms[turn:] + forms[:turn]:
            began = time.perf_counter()
            steps[form]()
            if number:  # the first round warms up
                times[form].append(time.perf_counter() - began)
    base = times["channels_last"]
    result = {
        "what": f"seconds of a training step of B0 at {arguments.size} px",
        "batch": arguments.batch,
        "rounds": arguments.rounds,
        "threads": torch.get_num_threads(),
        "machine": describe("torch"),
        "seconds": {form: round(statistics.median(t), 3) for form, t in times.items()},
        "channels_last_over_form": {
            form: round(statistics.median(b / s for b, s in zip(base, t, strict=True)), 3) for form, t in times.items()
        },
    }
    text = json.dumps(result, indent=2)
    if arguments.output:
        arguments.output.write_text(text + "\n", encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
