"""The training of the tiny T5: a curriculum from short lists to long, with a listwise loss over whole titles."""

import json
import time
from collections import deque
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn import functional as F
from transformers import T5ForConditionalGeneration

from delrec_kit.llm.titles import PackedTitles
from tools.tiny_t5.corpus import GENRES, LEVELS, Batch, Corpus
from tools.tiny_t5.forward import FlatT5
from tools.tiny_t5.network import new_network

TOKEN_LOSS, GENRE_LOSS = 0.15, 0.3  # weights beside the listwise loss
PASS_MARK, WINDOW = 0.88, 60  # a level ends when so many first choices of its last 60 batches are right
SLOT_NOISE = 0.5  # of the embeddings' spread, at the rule's words in a quarter of the batches
EASIER = 0.25  # share of batches from the levels below
POSITION_RATE = 8.0  # the few numbers of the position biases learn faster than the rest
CHECKPOINT_EVERY = 100
FILES = ("weights.safetensors", "optimizer.safetensors", "state.json")


@dataclass(frozen=True)
class Plan:
    """steps: how long; minutes: a limit in which the whole schedule is then fitted, so that the result depends on
    the machine's speed; width: d; layers of the encoder and the decoder."""

    steps: int = 5000
    minutes: float | None = None
    width: int = 128
    encoder_layers: int = 4
    decoder_layers: int = 2
    learning_rate: float = 3e-3
    warmup: int = 100
    decay: float = 0.45
    seed: int = 0


class Trainer:
    """Weights in float32 are stepped; each step computes with a bfloat16 copy of them."""

    def __init__(self, plan: Plan, folder: Path):
        self.plan, self.folder = plan, folder
        self.corpus = Corpus()
        self.network = new_network(
            len(self.corpus.tokenizer), plan.width, plan.encoder_layers, plan.decoder_layers, plan.seed
        )
        self.weights = {name: p.detach().clone().requires_grad_() for name, p in self.network.named_parameters()}
        self.genre_head = torch.zeros(len(GENRES), plan.width, requires_grad=True)
        self.optimizers = _optimizers(self.weights, self.genre_head, plan.learning_rate)
        self.step, self.level, self.seconds = 0, 0, 0.0
        self.window: deque[float] = deque(maxlen=WINDOW)
        folder.mkdir(parents=True, exist_ok=True)
        if (folder / FILES[2]).is_file():
            self._resume()

    def run(self) -> T5ForConditionalGeneration:
        """Train to the end of the plan, from wherever the last checkpoint stands; returns the trained network."""
        started = time.monotonic() - self.seconds
        while (done := self._done()) < 1:
            self._climb(done)
            self._set_rate(done)
            rng = np.random.default_rng((self.plan.seed, self.step))
            level = self.level if rng.random() > EASIER else int(rng.integers(self.level + 1))
            batch = self.corpus.training_batch(LEVELS[level], rng)
            loss, right = self._learn(batch, rng)
            if level == self.level:
                self.window.append(right)
            self.step += 1
            self.seconds = time.monotonic() - started
            if self.step % CHECKPOINT_EVERY == 0:
                right = np.mean(self.window or [0.0])
                print(f"step {self.step}/{self.plan.steps}, level {self.level + 1} of {len(LEVELS)}, loss {loss:.3f}, "
                      f"right {right:.3f}, {self.seconds:.0f} s", flush=True)  # fmt: skip
                self._save()
        self._save()
        self.network.load_state_dict(self.weights, strict=False)
        return self.network.eval()

    def _done(self) -> float:
        by_time = self.seconds / 60 / self.plan.minutes if self.plan.minutes else 0.0
        return max(self.step / self.plan.steps, by_time)

    def _climb(self, done: float) -> None:
        """Up a level when the present one is mastered, or when its share of the training has passed."""
        late = done > 0.7 * (self.level + 1) / len(LEVELS)
        mastered = len(self.window) == WINDOW and np.mean(self.window) > PASS_MARK
        if self.level < len(LEVELS) - 1 and (mastered or late):
            self.level += 1
            self.window.clear()

    def _set_rate(self, done: float) -> None:
        rate = min(1.0, (self.step + 1) / self.plan.warmup) * min(1.0, max(0.02, (1 - done) / self.plan.decay))
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = self.plan.learning_rate * rate * group.get("speed", 1.0)

    def _learn(self, batch: Batch, rng: np.random.Generator) -> tuple[float, float]:
        """One step. Returns the listwise loss and the share of prompts whose first choice is among the best."""
        copy = {name: w.detach().bfloat16().requires_grad_() for name, w in self.weights.items()}
        prompts = self.corpus.writer.batch(batch.prompts)
        titles = PackedTitles.build(self.corpus.writer.table, batch.candidates, 0)
        noise = self._noise(batch, prompts.ids.shape, rng) if rng.random() < 0.25 else None
        scores, state = FlatT5(copy, self.network.config).scores(prompts, titles, noise)
        targets, genres = torch.from_numpy(batch.targets), torch.from_numpy(batch.genres)
        listwise = F.kl_div(F.log_softmax(scores, dim=-1), targets, reduction="batchmean")
        token = -(targets * scores / titles.lengths).sum(1).mean()
        genre = -(genres * F.log_softmax(state @ self.genre_head.T, dim=-1)).sum(1).mean()
        (listwise + TOKEN_LOSS * token + GENRE_LOSS * genre).backward()
        for name, weight in self.weights.items():
            weight.grad = copy[name].grad.float()
        nn.utils.clip_grad_norm_([*self.weights.values(), self.genre_head], 1.0)
        for optimizer in self.optimizers:
            optimizer.step()
            optimizer.zero_grad()
        return listwise.item(), first_choice_right(scores.detach().numpy(), batch.targets).mean()

    def _noise(self, batch: Batch, shape: torch.Size, rng: np.random.Generator) -> torch.Tensor:
        """(B, L, d) noise at the rule's words: what stands there later is no word at all."""
        at_slot = np.zeros((*shape, 1), dtype=np.float32)
        for row, prompt in enumerate(batch.prompts):
            for segment in prompt.segments:
                if segment.name == "soft":
                    at_slot[row, segment.start : segment.stop] = 1.0
        spread = float(self.weights["shared.weight"].detach().std()) * SLOT_NOISE
        noise = rng.standard_normal((*shape, self.plan.width), dtype=np.float32)
        return torch.from_numpy(noise * at_slot * spread)

    def _save(self) -> None:
        moments = {
            f"{i}.{j}.{key}": torch.as_tensor(value).clone()
            for i, optimizer in enumerate(self.optimizers)
            for j, entry in optimizer.state_dict()["state"].items()
            for key, value in entry.items()
        }
        weights = {name: w.detach().clone() for name, w in self.weights.items()}
        state = {"step": self.step, "level": self.level, "seconds": self.seconds, "window": list(self.window)}
        for name, tensors in zip(
            FILES, (weights | {"genre_head": self.genre_head.detach().clone()}, moments), strict=False
        ):
            save_file(tensors, self.folder / f"{name}.new")
        (self.folder / f"{FILES[2]}.new").write_text(json.dumps(state | {"plan": asdict(self.plan)}))
        for name in FILES:
            (self.folder / f"{name}.new").replace(self.folder / name)

    @torch.no_grad()
    def _resume(self) -> None:
        state = json.loads((self.folder / FILES[2]).read_text())
        self.step, self.level, self.seconds = state["step"], state["level"], state["seconds"]
        self.window.extend(state["window"])
        for name, tensor in load_file(self.folder / FILES[0]).items():
            (self.genre_head if name == "genre_head" else self.weights[name]).copy_(tensor)
        moments: list[dict[int, dict]] = [{} for _ in self.optimizers]
        for name, tensor in load_file(self.folder / FILES[1]).items():
            i, j, key = name.split(".")
            moments[int(i)].setdefault(int(j), {})[key] = tensor
        for optimizer, entries in zip(self.optimizers, moments, strict=True):
            optimizer.load_state_dict({**optimizer.state_dict(), "state": entries})
        print(f"resuming at step {self.step}, level {self.level + 1}", flush=True)


def first_choice_right(scores: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """(B,) whether the candidate with the highest score is one of those with the highest weight."""
    return targets[np.arange(len(targets)), scores.argmax(1)] >= targets.max(1) - 1e-6


def _optimizers(weights: dict[str, torch.Tensor], head: torch.Tensor, rate: float) -> list[torch.optim.Optimizer]:
    """Muon for the matrices within the layers (it needs a fraction of AdamW's steps), AdamW for the rest."""
    biases = [w for name, w in weights.items() if "relative_attention_bias" in name]
    others = [w for name, w in weights.items() if w.ndim == 1 or name == "shared.weight"]
    matrices = [w for name, w in weights.items() if not any(w is x for x in (*biases, *others))]
    groups = [{"params": [*others, head], "speed": 1.0}, {"params": biases, "speed": POSITION_RATE}]
    return [
        torch.optim.Muon(matrices, lr=rate, weight_decay=0.01, momentum=0.9, adjust_lr_fn="match_rms_adamw"),
        torch.optim.AdamW(groups, lr=rate, weight_decay=0.0, betas=(0.9, 0.98)),
    ]
