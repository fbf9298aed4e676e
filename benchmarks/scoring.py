"""Scoring m candidates: packed behind one reading of the prompt, against three ways in which it is commonly done."""

from collections.abc import Sequence
from functools import partial

import numpy as np
import torch
from torch.nn import functional as F
from torch.nn.utils.rnn import pad_sequence

from benchmarks.common import Material, medians, next_item_examples, open_model

BATCH = 8


@torch.no_grad()
def one_forward_a_candidate(llm, writer, examples):
    """(a) encoder and decoder run anew for each candidate, 32 rows at a time."""
    pairs = [(p.ids, c) for p, row in zip(examples.prompts, examples.candidates) for c in row]
    for i in range(0, len(pairs), 32):
        ids = _padded([torch.from_numpy(p) for p, _ in pairs[i : i + 32]], llm.format.pad)
        labels = _padded([_title(writer, c) for _, c in pairs[i : i + 32]], -100)
        logits = llm.model(input_ids=ids, attention_mask=(ids != llm.format.pad).long(), labels=labels).logits
        F.cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction="none")


@torch.no_grad()
def encoder_once_expanded(llm, writer, examples):
    """(b) the encoder once a prompt, its states repeated for one decoder row a candidate."""
    m = examples.candidates.shape[1]
    for i in range(0, len(examples), BATCH):
        ids = _padded([torch.from_numpy(p.ids) for p in examples.prompts[i : i + BATCH]], llm.format.pad)
        mask = (ids != llm.format.pad).long()
        hidden = llm.model.get_encoder()(input_ids=ids, attention_mask=mask).last_hidden_state
        labels = _padded([_title(writer, c) for row in examples.candidates[i : i + BATCH] for c in row], -100)
        logits = llm.model(
            encoder_outputs=(hidden.repeat_interleave(m, 0),),
            attention_mask=mask.repeat_interleave(m, 0),
            labels=labels,
        ).logits
        F.cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction="none")


@torch.no_grad()
def generate_and_match(llm, writer, examples):
    """(c) beam search for m titles, each then looked up among the candidates."""
    m = examples.candidates.shape[1]
    for i in range(0, len(examples), BATCH):
        ids = _padded([torch.from_numpy(p.ids) for p in examples.prompts[i : i + BATCH]], llm.format.pad)
        texts = llm.model.generate(
            input_ids=ids,
            attention_mask=(ids != llm.format.pad).long(),
            num_beams=m,
            num_return_sequences=m,
            max_new_tokens=int(writer.answers.lengths[examples.candidates].max()) + 1,
            do_sample=False,
        )
        llm.tokenizer.batch_decode(texts, skip_special_tokens=True)


def bench(
    data_dir: str | None,
    tokenizer: str | None,
    runs: int,
    users: int = 8,
    shape: str = "t5-small",
    sizes: Sequence[int] = (15, 20),
) -> list[dict]:
    rows = []
    for m in sizes:
        material = Material.load(data_dir, tokenizer, m)
        recommender = open_model(shape, material)
        llm, writer = recommender.llm, recommender.writer
        examples = next_item_examples(material, recommender, users, m)
        ways = {
            "ours": partial(recommender.score_prompts, examples.prompts, examples.candidates),
            "a": partial(one_forward_a_candidate, llm, writer, examples),
            "b": partial(encoder_once_expanded, llm, writer, examples),
            "c": partial(generate_and_match, llm, writer, examples),
        }
        seconds = medians(ways, runs, warm=0)  # a run takes half a minute: nothing to warm
        rows.append(
            {
                "m": m,
                "prompts": material.name,
                "model": f"{shape}, random weights, fp32",
                "prompt tokens": round(float(np.mean(examples.lengths))),
                "title tokens": round(float(writer.answers.lengths[examples.candidates].mean()), 1),
                "users/s": round(users / seconds["ours"], 1),
                "over (a) one forward a candidate": round(seconds["a"] / seconds["ours"], 2),
                "over (b) encoder once, expanded": round(seconds["b"] / seconds["ours"], 2),
                "over (c) generate and match": round(seconds["c"] / seconds["ours"], 2),
            }
        )
    return rows


def _title(writer, item) -> torch.Tensor:
    return torch.tensor([*writer.answers[int(item)], writer.answers.eos])


def _padded(rows: list[torch.Tensor], value: int) -> torch.Tensor:
    return pad_sequence(rows, batch_first=True, padding_value=value)
