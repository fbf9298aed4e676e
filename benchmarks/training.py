"""A step of each stage over the bare backbone's forward and backward, and stage 1 over peft's prompt tuning."""

import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from peft import PromptTuningConfig, TaskType, get_peft_model
from transformers import Trainer, TrainingArguments

from benchmarks.common import Material, medians, next_item_examples, open_model
from delrec_kit.llm import PackedTitles, PromptBatch
from delrec_kit.settings.resolve import resolve
from delrec_kit.training import Joined, distill, finetune

K, M, BATCH, STEPS = 10, 15, 20, 16


def bench(data_dir: str | None, tokenizer: str | None, runs: int, shape: str = "t5-mini") -> list[dict]:
    material = Material.load(data_dir, tokenizer, M)
    recommender = open_model(shape, material, K)
    llm, writer = recommender.llm, recommender.writer
    examples = next_item_examples(material, recommender, BATCH * STEPS, M)
    config = resolve("demo", ["train.epochs=1", f"train.batch={BATCH}"])
    falling = lambda: (lambda left: lambda: {"loss": next(left)})(iter(range(100, 0, -1)))  # noqa: E731

    def stage_1():
        with tempfile.TemporaryDirectory() as folder:
            distill(recommender, {"rps": examples}, config, falling(), Path(folder) / "c")

    bare_soft, bare_full = (_bare(llm, writer, examples, learn) for learn in ("prompt", "weights"))
    peft_way = _peft_prompt_tuning(material, shape, examples, writer)
    seconds = medians({"stage 1": stage_1, "bare": bare_soft, "peft": peft_way}, runs)
    rows = [
        _row("stage 1", "bare forward and backward of the same tokens", seconds["stage 1"], seconds["bare"], 1.2),
        _row(
            "stage 1, m = 15 titles",
            "peft PromptTuning in a Trainer, 1 title",
            seconds["stage 1"],
            seconds["peft"],
            1.0,
        ),
    ]
    bare = medians({"bare": bare_full}, runs)["bare"]

    def stage_2():
        with tempfile.TemporaryDirectory() as folder:
            fresh = open_model(shape, material, K)
            fresh.P.requires_grad_(False)
            started = time.perf_counter()
            finetune(fresh, Joined([examples]), config, falling(), Path(folder) / "c")
            return time.perf_counter() - started

    whole = float(np.median([stage_2() for _ in range(runs)]))
    rows.append(_row("stage 2 (AdaLoRA)", "bare forward and backward, no adapter", whole, bare, 1.2))
    tokens = int(np.sum(examples.lengths))
    return [{"prompts": material.name, "model": shape, "prompt tokens a step": tokens // STEPS, **row} for row in rows]


def _row(ours: str, peer: str, a: float, b: float, goal: float) -> dict:
    return {
        "ours": ours,
        "peer": peer,
        "ours, s a step": round(a / STEPS, 3),
        "peer, s a step": round(b / STEPS, 3),
        "ratio": round(a / b, 2),
        "goal": f"<= {goal}",
    }


def _bare(llm, writer, examples, learn: str):
    """Encoder and decoder on as many tokens, none of them padding; gradients to the input or through a scaled copy."""
    tokens, titles = int(np.mean(examples.lengths)), []
    for start in range(0, len(examples), BATCH):
        rows = slice(start, start + BATCH)
        titles.append(writer.pack(examples.prompts[rows], examples.candidates[rows]))
    ids = torch.randint(10, 90, (BATCH, tokens))
    prompts = PromptBatch(ids, torch.ones_like(ids), torch.zeros_like(ids, dtype=torch.bool))

    def run():
        for packed in titles:
            embedded = llm.embeddings(ids).detach().requires_grad_()
            hidden = llm.model.get_encoder()(inputs_embeds=embedded, attention_mask=prompts.mask).last_hidden_state
            whole = _without_padding(packed)
            decoded = llm._decode(_reading(prompts, hidden), whole).last_hidden_state
            llm._likelihoods(decoded, whole).sum().backward()

    return run


def _reading(prompts, hidden):
    from delrec_kit.llm.families.model import Reading

    return Reading(prompts, hidden)


def _without_padding(packed: PackedTitles) -> PackedTitles:
    """The same number of real tokens in rows of equal length: what a bare pass would have to do at the least."""
    B = packed.inputs.shape[0]
    S = len(packed.place) // B
    rows = {name: getattr(packed, name)[:, :S] for name in ("inputs", "offset", "block")}
    block = rows["block"].clamp(min=0)
    return PackedTitles(
        rows["inputs"], rows["offset"], block, torch.arange(B * S), packed.labels[: B * S].clone(),
        packed.owner[: B * S].clone(), packed.lengths, packed.first, packed.items,
    )  # fmt: skip


def _peft_prompt_tuning(material: Material, shape: str, examples, writer):
    """peft's soft prompt before the same prompts, learning the answer's title by token loss in a plain Trainer."""
    llm = open_model(shape, material).llm
    config = PromptTuningConfig(task_type=TaskType.SEQ_2_SEQ_LM, num_virtual_tokens=K)
    model = get_peft_model(llm.model, config)
    answers = examples.candidates[np.arange(len(examples)), examples.targets.argmax(1)]
    rows = [
        {
            "input_ids": torch.from_numpy(p.ids[p.ids >= 0]),
            "labels": torch.tensor([*writer.answers[int(item)], writer.answers.eos]),
        }
        for p, item in zip(examples.prompts, answers)
    ]

    def collate(batch):
        pad = lambda name, value: torch.nn.utils.rnn.pad_sequence(  # noqa: E731
            [row[name] for row in batch], batch_first=True, padding_value=value
        )
        ids = pad("input_ids", llm.format.pad)
        return {"input_ids": ids, "attention_mask": (ids != llm.format.pad).long(), "labels": pad("labels", -100)}

    def run():
        with tempfile.TemporaryDirectory() as folder:
            arguments = TrainingArguments(
                output_dir=folder, max_steps=STEPS, per_device_train_batch_size=BATCH, learning_rate=5e-2,
                report_to="none", disable_tqdm=True, save_strategy="no", logging_strategy="no", use_cpu=True,
                remove_unused_columns=False, dataloader_pin_memory=False,
                train_sampling_strategy="group_by_length",
            )  # fmt: skip
            Trainer(model=model, args=arguments, train_dataset=rows, data_collator=collate).train()

    return run
