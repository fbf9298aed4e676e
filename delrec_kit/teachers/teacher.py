"""A trained sequential recommender: its settings and weights, and the scores it gives."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from delrec_kit.data import Cases, Ragged
from delrec_kit.run.directory import read_json, write_json
from delrec_kit.settings.config import TeacherConfig
from delrec_kit.settings.errors import KitError
from delrec_kit.teachers.models import MODELS, SequentialModel
from delrec_kit.teachers.scorer import CatalogueScorer

WEIGHTS, SETTINGS = "model.safetensors", "model.json"
BATCH = 256


@dataclass(frozen=True)
class Teacher(CatalogueScorer):
    """n_items: N; epochs: after how many its weights were kept; seconds: what its training took."""

    model: SequentialModel
    config: TeacherConfig
    n_items: int
    epochs: int = 0
    seconds: float = 0.0

    @torch.no_grad()
    def catalogue(self, cases: Cases) -> np.ndarray:
        """Logits after the last L items of each history; an empty one gets the item biases, a kind of popularity."""
        training, device = self.model.training, self.model.bias.device
        self.model.eval()
        scores = np.full((len(cases), self.n_items + 1), -np.inf, np.float32)
        for start in range(0, len(cases), BATCH):
            rows = np.arange(start, min(start + BATCH, len(cases)))
            items, sizes = padded(cases.history.take(rows), self.config.length)
            states = self.model.states(items.to(device))[torch.arange(len(items)), (sizes - 1).clamp(min=0)]
            states = states * (sizes > 0).to(states)[:, None]
            scores[rows, 1:] = self.model.logits(states).float().cpu().numpy()
        self.model.train(training)
        return scores

    def save(self, folder: str | Path) -> None:
        """Write ``model.safetensors`` and ``model.json``."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        save_file({n: t.contiguous().cpu() for n, t in self.model.state_dict().items()}, folder / WEIGHTS)
        facts = {"n_items": self.n_items, "epochs": self.epochs, "seconds": self.seconds}
        write_json(folder / SETTINGS, {**facts, "config": self.config.model_dump()})

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


def padded(histories: Ragged, length: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The last L items of each history, as the models read them: items (U, L), 0 on the right, and sizes (U,), how many
    of each row are items."""
    sizes = np.minimum(histories.lengths, length)
    table = np.zeros((len(histories), length), dtype=np.int64)
    last = Ragged.slices(histories.values, histories.offsets[1:] - sizes, sizes)
    table[np.arange(length) < sizes[:, None]] = last.values
    return torch.from_numpy(table), torch.from_numpy(sizes)
