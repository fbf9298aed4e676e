"""Where the conditioned soft tokens begin: at what a linear map says of the teacher's choice, without a language model.

The map from what the teacher expects (``Prompt.state``) to the vectors of titles is learned in seconds. Where the model
compares its answer with vectors, these are meant: a transformer's residual stream passes on much of what it reads.
Stage 1 then teaches the tokens to be understood.
"""

import numpy as np
import torch
from torch.nn import functional as F

from delrec_kit.llm import SoftPrompt
from delrec_kit.training.examples import Examples
from delrec_kit.training.task import NEVER

SCALE = 20.0  # of cosines before the softmax
PASSES, BATCH, LEARNING_RATE = 6, 64, 5e-3
FEWEST = 150  # steps


def warm_start(
    soft: SoftPrompt, examples: Examples, vectors: torch.Tensor, seed: int, prior: torch.Tensor | None = None
) -> float:
    """Set the maps of ``soft`` (in place) to one that is fitted to ``examples``, scaled so that they speak as loud as
    the constant vectors.

    vectors (N+1, d): of titles; prior (N+1,): what is added to the items' scores. Returns the mean loss of the last
    tenth of the steps, KL divergence in nats.
    """
    device = soft.vectors.device
    states = torch.from_numpy(np.stack([prompt.state for prompt in examples.prompts])).to(device, torch.float32)
    titles = F.normalize(vectors.to(device, torch.float32), dim=1)
    said = torch.nn.Parameter(torch.eye(states.shape[1], device=device))
    steps = max(FEWEST, PASSES * len(states) // BATCH)
    optimizer = torch.optim.AdamW([said], LEARNING_RATE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, steps)
    rng, losses = np.random.default_rng(seed), []
    for _ in range(steps):
        rows = rng.integers(0, len(states), BATCH)
        target = torch.from_numpy(examples.targets[rows].astype(np.float32)).to(device)
        told = F.normalize(states[rows] @ said, dim=1)
        listed = torch.from_numpy(examples.candidates[rows]).to(device)
        if listed.shape[1]:
            scores = torch.einsum("bd,bmd->bm", told, titles[listed])
        else:
            scores, listed = told @ titles[1:].T, slice(1, None)
        scores = SCALE * scores + (0.0 if prior is None else prior[listed])
        scores = scores.masked_fill(target < 0, NEVER)
        loss = F.kl_div(scores.log_softmax(-1), target.clamp(min=0), reduction="batchmean")
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        losses.append(loss.item())
    with torch.no_grad():
        loud = soft.vectors.norm(dim=1).mean() / (states @ said).norm(dim=1).mean().clamp(min=1e-9)
        soft.maps.copy_((said * loud * states.shape[1] ** 0.5).expand_as(soft.maps))
    return float(np.mean(losses[-max(1, steps // 10) :]))
