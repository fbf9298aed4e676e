"""What transformers' Trainer is told for a ``Loop``."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from transformers import TrainingArguments

from delrec_kit.settings.errors import KitError


@contextmanager
def underflow_to_zero() -> Iterator[None]:
    """Where a softmax is sure, gradients underflow, and a CPU multiplies such numbers four times slower than zeros."""
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(False)


def arguments(loop: Any, device: torch.device, validated: bool) -> TrainingArguments:
    processes = int(os.environ.get("WORLD_SIZE", "1"))
    if loop.batch % processes:
        raise KitError(
            f"a batch of {loop.batch} cannot be shared by {processes} processes; set batch to a multiple of them"
        )
    arguments = TrainingArguments(
        output_dir=str(loop.folder),
        max_steps=loop.steps,
        per_device_train_batch_size=loop.batch // processes,
        learning_rate=loop.learning_rate,
        weight_decay=loop.weight_decay,
        warmup_steps=loop.warmup,
        max_grad_norm=loop.clip,
        optim=loop.optimizer,
        eval_strategy="steps" if validated else "no",
        **dict.fromkeys(("save_strategy", "logging_strategy"), "steps"),
        **dict.fromkeys(("eval_steps", "save_steps", "logging_steps"), loop.every),
        save_total_limit=2,
        load_best_model_at_end=validated,
        metric_for_best_model=f"eval_{loop.best}" if validated else None,
        remove_unused_columns=False,
        label_names=[],
        disable_tqdm=True,
        logging_nan_inf_filter=False,  # it makes a GPU wait at every step
        report_to="none",
        restore_callback_states_from_checkpoint=True,
        seed=loop.seed,
        use_cpu=device.type == "cpu",
        dataloader_pin_memory=device.type != "cpu",
    )
    arguments._n_gpu = min(1, arguments.n_gpu)  # else Trainer copies the model to every GPU and multiplies the batch
    return arguments
