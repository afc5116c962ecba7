"""What each process of test_distributed.py runs: a small training run that writes its digest, by rank.

torchrun --nproc-per-node 2 -m tests.training.rank OUT [key=json ...]
"""

from __future__ import annotations

import faulthandler
import json
import os
import signal
import sys
from pathlib import Path

import torch

from effnet.training.checkpoint import CheckpointStore
from effnet.training.distributed import join
from effnet.training.events import Evaluated, Event, Stepped
from effnet.training.recipe import Recipe
from effnet.training.trainer import Trainer
from tests.tiny import tiny_network
from tests.tiny_data import CLASSES, colours
from tests.training.runs import RECIPE, digest

PATIENCE = 150
"""Seconds after which a process that waits for the others ends and says where it waited; a run takes ten."""


def main(out: Path, options: dict[str, object]) -> None:
    torch.set_num_threads(1)
    faulthandler.dump_traceback_later(PATIENCE, exit=True)
    with join(torch.device("cpu")) as world:
        losses: list[float] = []
        scores: list[float] = []

        def watch(event: Event) -> None:
            if isinstance(event, Stepped):
                losses.append(event.loss)
            if isinstance(event, Evaluated):
                scores.append(event.metrics["top1"])

        def kill(event: Event) -> None:
            if isinstance(event, Stepped) and event.step == options.get("kill_at") and not world.restarts:
                os.kill(os.getpid(), signal.SIGKILL)

        network = tiny_network(classes=len(CLASSES))
        assert network.preprocess is not None
        recipe = Recipe.from_dict(options.get("settings", {}), base=RECIPE)  # type: ignore[arg-type]
        trainer = Trainer(
            network, recipe, colours(), preprocess=network.preprocess, world=world, observers=[watch, kill]
        )
        store = CheckpointStore(out / "checkpoints")
        restored = store.load()
        if restored:
            trainer.restore(restored.state)
        trainer.run(store.save, save_seconds=0)
        trainer.close()
        state = trainer.state()
        result = {
            "digest": digest(state["network"]),
            "optimizer": digest(state["optimizer"]),
            "steps": trainer.step,
            "losses": losses,
            "scores": scores,
            "restarts": world.restarts,
        }
        (out / f"rank{world.rank}.json").write_text(json.dumps(result))
        if world.leads:
            torch.save(state["network"], out / "network.pth")


if __name__ == "__main__":
    main(Path(sys.argv[1]), json.loads(sys.argv[2]))
