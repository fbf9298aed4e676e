"""How far P travels in stage 1: where each soft token stands at every validation."""

from pathlib import Path

import pandas as pd
import torch
from transformers import TrainerCallback

from delrec_kit.llm import SoftPrompt
from delrec_kit.run.directory import read_json, write_json


class SoftPromptTravel(TrainerCallback):
    """Keeps, at each validation, of each soft token: length (over its length at the start), moved (distance from the
    start, over the length there). Of a conditioned token, its constant part. A ``Resumable``."""

    def __init__(self, soft: SoftPrompt):
        self.soft = soft
        self.start = soft.vectors.detach().clone()
        self.rows = self._row(0)

    def on_evaluate(self, args, state, control, **kwargs):
        self.rows += self._row(state.global_step)

    @property
    def table(self) -> pd.DataFrame:
        """step, token, length, moved."""
        return pd.DataFrame(self.rows, columns=["step", "token", "length", "moved"]).drop_duplicates(["step", "token"])

    def save(self, folder: Path) -> None:
        write_json(folder / "travel.json", {"start": self.start.tolist(), "rows": self.rows})

    def load(self, folder: Path) -> None:
        kept = read_json(folder / "travel.json")
        self.start, self.rows = torch.tensor(kept["start"], device=self.start.device), kept["rows"]

    @torch.no_grad()
    def _row(self, step: int) -> list[list[float]]:
        now, first = self.soft.vectors, self.start.norm(dim=1)
        length, moved = (now.norm(dim=1) / first).tolist(), ((now - self.start).norm(dim=1) / first).tolist()
        return [[step, token, *each] for token, each in enumerate(zip(length, moved, strict=True))]
