"""The training of the tiny T5: a curriculum from short lists to long, listwise and token losses together."""

import json
import math
import time
from collections import deque
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch.nn import functional as F
from transformers import T5Config, T5ForConditionalGeneration

from delrec_kit.llm.encoder_decoder import EncoderDecoder
from delrec_kit.llm.pretraining.corpus import LEVELS, Batch, Corpus
from delrec_kit.llm.titles import PackedTitles

TOKEN_LOSS = 0.1  # weight of the titles' plain log-likelihood beside the listwise loss
PASS_MARK = 0.85  # share of prompts whose first choice the rule favours, to move up a level
WINDOW = 200  # batches over which that share is taken
WARMUP = 300
WEIGHTS, STATE = "weights.safetensors", "state.json"


def new_model(corpus: Corpus, width: int, layers: tuple[int, int], seed: int) -> EncoderDecoder:
    """A T5 of ``layers`` (encoder, decoder): reading is the harder part, so the encoder is the deeper one."""
    torch.manual_seed(seed)
    config = T5Config(
        vocab_size=-(-len(corpus.tokenizer) // 64) * 64,
        d_model=width,
        d_kv=32,
        num_heads=width // 32,
        d_ff=4 * width,
        num_layers=layers[0],
        num_decoder_layers=layers[1],
        feed_forward_proj="relu",
        dropout_rate=0.0,
        tie_word_embeddings=False,
        relative_attention_num_buckets=32,
        relative_attention_max_distance=256,
        pad_token_id=0,
        eos_token_id=1,
        decoder_start_token_id=0,
    )
    llm = EncoderDecoder(T5ForConditionalGeneration(config), corpus.tokenizer, {"llm": "tiny"})
    llm.model.set_attn_implementation("eager")  # measured a third faster than SDPA at these sizes on CPU
    llm.requires_grad_(True)
    return llm


def losses(llm: EncoderDecoder, corpus: Corpus, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
    """The loss to train on, and the scores (B, m)."""
    titles = PackedTitles.build(corpus.writer.table, batch.candidates, llm.start)
    scores = llm.score_titles(corpus.writer.batch(batch.prompts), titles)
    targets = torch.from_numpy(batch.targets)
    listwise = F.kl_div(F.log_softmax(scores, dim=-1), targets, reduction="batchmean")
    token = -(targets * scores / titles.lengths).sum(1).mean()
    return listwise + TOKEN_LOSS * token, scores


def hits(scores: torch.Tensor, batch: Batch) -> float:
    """Share of prompts whose first choice the rule favours at all."""
    first = scores.argmax(1, keepdim=True)
    return torch.from_numpy(batch.targets).gather(1, first).gt(0).float().mean().item()


def train(
    folder: Path, steps: int, width: int, layers: tuple[int, int], learning_rate: float, seed: int
) -> tuple[EncoderDecoder, Corpus]:
    """Train for ``steps``; a run that died takes up its weights, level and step (Adam's moments start anew)."""
    corpus = Corpus()
    llm = new_model(corpus, width, layers, seed)
    folder.mkdir(parents=True, exist_ok=True)
    step, level = _resume(folder, llm)
    master = [p.detach().float().clone().requires_grad_(True) for p in llm.parameters()]
    llm.to(torch.bfloat16)  # half the memory traffic, which is what bounds a model this small; fp32 copies are stepped
    optimizer = torch.optim.AdamW(master, lr=learning_rate, weight_decay=0.01, betas=(0.9, 0.98), fused=True)
    window: deque[float] = deque(maxlen=WINDOW)
    started = time.monotonic()
    llm.train()
    begun = step
    while step < steps:
        rng = np.random.default_rng((seed, step))
        now = level if rng.random() < 0.8 else int(rng.integers(level + 1))
        batch = corpus.batch(LEVELS[now], rng)
        rate = min(1.0, (step - begun + 1) / WARMUP) * max(0.02, 0.5 * (1 + math.cos(math.pi * step / steps)))
        for group in optimizer.param_groups:
            group["lr"] = learning_rate * rate
        loss, scores = losses(llm, corpus, batch)
        llm.zero_grad(set_to_none=True)
        loss.backward()
        for whole, half in zip(master, llm.parameters(), strict=True):
            whole.grad = half.grad.float()
        torch.nn.utils.clip_grad_norm_(master, 1.0)
        optimizer.step()
        with torch.no_grad():
            for whole, half in zip(master, llm.parameters(), strict=True):
                half.copy_(whole)
        step += 1
        if now == level:
            window.append(hits(scores.detach(), batch))
        if level < len(LEVELS) - 1 and len(window) == WINDOW and np.mean(window) > PASS_MARK:
            level += 1
            window.clear()
            print(f"step {step}: level {level} begins", flush=True)
        if step % 100 == 0:
            speed = (step - begun) / (time.monotonic() - started)
            print(
                f"step {step}/{steps} level {level} loss {loss.item():.3f} right {np.mean(window or [0]):.3f} "
                f"({speed:.1f} steps/s)",
                flush=True,
            )
        if step % 1000 == 0 or step == steps:
            _checkpoint(folder, llm, master, step, level)
    return llm.float().eval(), corpus


def _resume(folder: Path, llm: EncoderDecoder) -> tuple[int, int]:
    if not (folder / STATE).is_file():
        return 0, 0
    state = json.loads((folder / STATE).read_text())
    missing, unexpected = llm.model.load_state_dict(load_file(folder / WEIGHTS), strict=False)
    if unexpected or not set(missing) <= {"encoder.embed_tokens.weight", "decoder.embed_tokens.weight"}:
        raise ValueError(f"{folder / WEIGHTS} is of another model: {unexpected or missing}")
    print(f"resuming at step {state['step']}, level {state['level']}", flush=True)
    return state["step"], state["level"]


def _checkpoint(folder: Path, llm: EncoderDecoder, master: list[torch.Tensor], step: int, level: int) -> None:
    names = [name for name, _ in llm.model.named_parameters()]
    tensors = {name: t.detach() for name, t in zip(names, master, strict=True)}
    save_file(tensors, folder / (WEIGHTS + ".new"))
    (folder / (WEIGHTS + ".new")).rename(folder / WEIGHTS)
    (folder / STATE).write_text(json.dumps({"step": step, "level": level}))
