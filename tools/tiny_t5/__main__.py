"""``python -m tools.tiny_t5 --out DIR``: train the tiny T5, measure it, write it with its card."""

from pathlib import Path
from typing import Annotated

import torch
import typer

from tools.tiny_t5.card import write_model
from tools.tiny_t5.train import Plan, Trainer


def main(
    out: Annotated[Path, typer.Option(help="folder for the finished model, its tokenizer and its card")],
    steps: Annotated[int, typer.Option(help="training steps")] = Plan.steps,
    minutes: Annotated[
        float | None, typer.Option(help="fit the whole schedule into so many minutes; depends on the machine's speed")
    ] = None,
    work: Annotated[Path | None, typer.Option(help="folder for checkpoints (default: OUT.checkpoint); resumes")] = None,
    seed: Annotated[int, typer.Option(min=0)] = 0,
    threads: Annotated[int, typer.Option(min=1)] = 1,
) -> None:
    torch.set_num_threads(threads)
    trainer = Trainer(Plan(steps=steps, minutes=minutes, seed=seed), work or out.with_name(out.name + ".checkpoint"))
    network = trainer.run()
    write_model(network, trainer.corpus, out, trainer.step, trainer.seconds, seed)


if __name__ == "__main__":
    typer.run(main)
