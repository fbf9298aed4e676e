"""A trained sequential recommender: its settings and weights, and the scores it gives."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from delrec_kit.data import Ragged
from delrec_kit.run.directory import read_json, write_json
from delrec_kit.settings.config import TeacherConfig
from delrec_kit.settings.errors import KitError
from delrec_kit.teachers.models import MODELS, SequentialModel
from delrec_kit.teachers.sequences import padded

WEIGHTS, SETTINGS = "model.safetensors", "model.json"
BATCH = 256


@dataclass(frozen=True)
class Teacher:
    """A Scorer. n_items: N; epochs: after how many its weights were kept; seconds: what its training took."""

    model: SequentialModel
    config: TeacherConfig
    n_items: int
    epochs: int = 0
    seconds: float = 0.0

    def scores(self, histories: Ragged, users: np.ndarray | None = None) -> np.ndarray:
        """(B, N+1) float32 logits after the last L items of each history; column 0 is minus infinity.

        An empty history gets the item biases, a kind of popularity.
        """
        parts = [
            self._batch(histories.take(np.arange(start, min(start + BATCH, len(histories)))))
            for start in range(0, len(histories), BATCH)
        ]
        return np.concatenate(parts) if parts else np.empty((0, self.n_items + 1), np.float32)

    @torch.no_grad()
    def _batch(self, histories: Ragged) -> np.ndarray:
        training = self.model.training
        self.model.eval()
        device = self.model.bias.device
        items, sizes = padded(histories, self.config.length)
        states = self.model.states(items.to(device))[torch.arange(len(items)), (sizes - 1).clamp(min=0)]
        states = states * (sizes > 0).to(states)[:, None]
        logits = self.model.logits(states).float().cpu()
        self.model.train(training)
        return torch.nn.functional.pad(logits, (1, 0), value=-torch.inf).numpy()

    def save(self, folder: str | Path) -> None:
        """Write ``model.safetensors`` and ``model.json``."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        save_file({n: t.contiguous().cpu() for n, t in self.model.state_dict().items()}, folder / WEIGHTS)
        told = {"n_items": self.n_items, "epochs": self.epochs, "seconds": self.seconds}
        write_json(folder / SETTINGS, {**told, "config": self.config.model_dump()})

    @classmethod
    def load(cls, folder: str | Path) -> "Teacher":
        """Read what ``save`` wrote. Raises KitError where it is missing or does not fit together."""
        folder = Path(folder)
        missing = [name for name in (WEIGHTS, SETTINGS) if not (folder / name).is_file()]
        if missing:
            raise KitError(f"no teacher in {folder}: {missing[0]} is missing; run notebook 02 first")
        settings = read_json(folder / SETTINGS)
        config = TeacherConfig(**settings["config"])
        model = MODELS[config.name](settings["n_items"], config)
        try:
            model.load_state_dict(load_file(folder / WEIGHTS), strict=True)
        except RuntimeError as error:
            reason = " ".join(str(error).split())
            raise KitError(f"{folder / WEIGHTS} does not fit {SETTINGS}; run notebook 02 again ({reason})") from None
        return cls(model.eval(), config, settings["n_items"], settings["epochs"], settings["seconds"])


load_teacher = Teacher.load
