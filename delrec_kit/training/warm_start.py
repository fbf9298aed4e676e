"""Where the conditioned soft tokens begin: at what a linear map says of the teacher's choice, without a language model.

The map from what the teacher expects (``Prompt.expects``) to the vectors of titles is learned in seconds. Where the
model compares its answer with vectors, these are meant: a transformer's residual stream passes on much of what it
reads. Stage 1 then teaches the tokens to be understood.
"""

import numpy as np
import torch
from torch.nn import functional as F

from delrec_kit.llm import LlmRecommender
from delrec_kit.settings.streams import stream
from delrec_kit.training.examples import Examples
from delrec_kit.training.loss import NEVER

SCALE = 20.0  # of cosines before the softmax
PASSES, BATCH, LEARNING_RATE = 6, 64, 5e-3
FEWEST = 150  # steps


def warm_start(recommender: LlmRecommender, examples: Examples, seed: int) -> float:
    """Set the maps of a conditioned P (in place) to one that is fitted to ``examples``, scaled so that they speak as
    loud as the constant vectors. Returns the loss of ``fit_map``."""
    soft = recommender.P
    linear, loss = fit_map(recommender, examples, seed)
    expects = torch.from_numpy(np.stack([prompt.expects for prompt in examples.prompts])).to(linear)
    with torch.no_grad():
        loud = soft.vectors.norm(dim=1).mean() / (expects @ linear).norm(dim=1).mean().clamp(min=1e-9)
        soft.maps.copy_((linear * loud * expects.shape[1] ** 0.5).expand_as(soft.maps))
    return loss


def fit_map(recommender: LlmRecommender, examples: Examples, seed: int) -> tuple[torch.Tensor, float]:
    """The linear map (d, d) from what the prompts of ``examples`` expect to the vectors of titles, by which the titles'
    cosines and the recommender's prior say best what the examples' targets say.

    Returns:
        The map, and the mean loss of the last tenth of the steps, KL divergence in nats.
    """
    prior, device = recommender.prior, recommender.llm.device
    expects = np.stack([prompt.expects for prompt in examples.prompts])
    expects = torch.from_numpy(expects).to(device, torch.float32)
    titles = F.normalize(recommender.llm.answer_vectors(recommender.writer.table).to(device, torch.float32), dim=1)
    linear = torch.nn.Parameter(torch.eye(expects.shape[1], device=device))
    steps = max(FEWEST, PASSES * len(expects) // BATCH)
    optimizer = torch.optim.AdamW([linear], LEARNING_RATE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, steps)
    rng, losses = stream(seed, "batches of the warm start"), []
    for _ in range(steps):
        rows = rng.integers(0, len(expects), BATCH)
        target = torch.from_numpy(examples.targets[rows].astype(np.float32)).to(device)
        answer = F.normalize(expects[rows] @ linear, dim=1)
        listed = torch.from_numpy(examples.candidates[rows]).to(device)
        if listed.shape[1]:
            scores = torch.einsum("bd,bmd->bm", answer, titles[listed])
        else:
            scores, listed = answer @ titles[1:].T, slice(1, None)
        scores = recommender.scale * SCALE * scores + (0.0 if prior is None else prior[listed])
        scores = scores.masked_fill(target < 0, NEVER)
        loss = F.kl_div(scores.log_softmax(-1), target.clamp(min=0), reduction="batchmean")
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        losses.append(loss.item())
    return linear.detach(), float(np.mean(losses[-max(1, steps // 10) :]))
