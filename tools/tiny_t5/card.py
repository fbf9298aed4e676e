"""What the finished model can read, on prompts drawn anew, and the card that says so."""

import json
from collections.abc import Collection
from pathlib import Path

import numpy as np
import torch
from transformers import T5ForConditionalGeneration

from delrec_kit.llm.families.model import LanguageModel
from delrec_kit.llm.loading import load_llm
from delrec_kit.llm.titles import PackedTitles
from delrec_kit.settings.config import LlmConfig
from tools.tiny_t5.corpus import KIND_WEIGHTS, TASKS, Batch, Corpus, Level
from tools.tiny_t5.train import first_choice_right

HELD_OUT = 2_000_000_000  # training batches are drawn from (seed, step); no step is this large
LONG = Level(10, 10, 15, 50, 1.0)  # ten films watched, 15 listed


SKILLS: dict[str, tuple[str, str | None]] = {
    "genre of a title": ("genre", None),
    "genre of the last film": ("genre_last", None),
    "listed film of a stated genre": ("property", None),
    **{f"rule: {kind}": (kind, "final") for kind in KIND_WEIGHTS},
    **{f"rule: {kind}, {task} prompt": (kind, task) for kind in ("last", "unless") for task in TASKS[1:]},
    "no rule: a kind that was watched most": ("silent", "final"),
}


def measure(
    llm: LanguageModel, corpus: Corpus, prompts: int, only: Collection[str] = tuple(SKILLS)
) -> dict[str, dict[str, float]]:
    """Accuracy, chance level and n of each skill; every skill on ``prompts`` prompts of ten films and 15 listed.

    A choice is right if it is among those that the rule favours most; chance is the mean share of such candidates.
    """
    return {
        name: _skill(llm, corpus, number, *asked, prompts)
        for number, (name, asked) in enumerate(SKILLS.items())
        if name in only
    }


def _skill(llm: LanguageModel, corpus: Corpus, number: int, what: str, task: str | None, prompts: int) -> dict:
    right, chance = [], []
    for part in range(-(-prompts // LONG.batch)):
        rng = np.random.default_rng((HELD_OUT, number, part))
        batch = corpus.ruled(LONG, task, what, rng) if task else corpus.facts(LONG, what, rng)
        right.append(first_choice_right(_scores(llm, corpus, batch), batch.targets))
        chance.append((batch.targets >= batch.targets.max(1, keepdims=True) - 1e-6).mean(1))
    right, chance = np.concatenate(right), np.concatenate(chance)
    return {"accuracy": round(float(right.mean()), 3), "chance": round(float(chance.mean()), 3), "n": len(right)}


@torch.no_grad()
def _scores(llm: LanguageModel, corpus: Corpus, batch: Batch) -> np.ndarray:
    titles = PackedTitles.build(corpus.writer.table, batch.candidates, llm.format.start)
    return llm.score_titles(corpus.writer.batch(batch.prompts), titles).numpy()


def write_model(
    network: T5ForConditionalGeneration, corpus: Corpus, folder: Path, steps: int, seconds: float, seed: int
) -> dict:
    """Writes weights (bfloat16), tokenizer, card.json and README.md; returns the card.

    The card's numbers are those of the files as the kit loads them, unquantised and in 4-bit.
    """
    network.to(torch.bfloat16).save_pretrained(folder)
    corpus.tokenizer.save_pretrained(folder)
    name = str(folder)
    full = load_llm(LlmConfig(name=name, quantization="fp32"), device="cpu")
    short = load_llm(LlmConfig(name=name, quantization="nf4"), device="cpu")
    card = {
        "parameters": sum(p.numel() for p in full.model.parameters()),
        "vocabulary": len(corpus.tokenizer),
        "steps": steps,
        "seconds": round(seconds),
        "seed": seed,
        "films": corpus.items,
        "skills": measure(full, corpus, 500),
        "skills_4bit": measure(short, corpus, 200),
    }
    (folder / "card.json").write_text(json.dumps(card, indent=1) + "\n")
    (folder / "README.md").write_text(_card_text(card))
    return card


def _card_text(card: dict) -> str:
    rows = [
        f"| {name} | {full['accuracy']:.3f} | {card['skills_4bit'][name]['accuracy']:.3f} | {full['chance']:.3f} |"
        for name, full in card["skills"].items()
    ]
    n, n4 = (next(iter(card[key].values()))["n"] for key in ("skills", "skills_4bit"))
    return TEXT.format(**card, millions=card["parameters"] / 1e6, n=n, n4=n4, table="\n".join(rows),
                       cpu_minutes=card["seconds"] / 60)  # fmt: skip


TEXT = """# Model card: the tiny T5 of delrec_kit

A stock T5 encoder-decoder of {millions:.1f} million parameters with a vocabulary of {vocabulary} whole words and
letters. It is made for the kit's demo, where it goes through the path that a large language model takes, 4-bit
included. It knows the words of the {films} made-up films of the demo's catalogue and of the kit's prompts, in English,
and nothing else; any other word it spells in letters that it has not learned to read.

## Training
Text only about the catalogue and about lists of films drawn uniformly at random: what kind of film a title names,
choosing among titles, and following preference rules that are written out where the soft prompt will stand ("always
like the last one", "the sequel of the last one, else the most frequent kind", "after horror comes comedy"). It has
never seen a person of the made world, nor a probability of any person's choice; the catalogue is fixed, and the same
for every seed of the demo.

{steps} steps, {cpu_minutes:.0f} minutes on one CPU core, seed {seed}. To train it again:

    python -m tools.tiny_t5 --out DIR --steps {steps} --seed {seed}

A run that is cut off goes on from its last checkpoint when the command is given again. The data depend on the seed
alone; the last digits of the weights also on the processor and its bfloat16 arithmetic.

## What it can read
Share of held-out prompts (drawn anew, ten films watched, 15 listed where the task lists any) on which the title with
the highest log-likelihood is among those that the rule favours most; n = {n} each, {n4} in 4-bit (NF4).

| skill | accuracy | in 4-bit | chance |
|---|---|---|---|
{table}

"last": the same kind as the last film; "sequel": the next part of its series; "series": any part of it; "unless": a
sequel, else another rule; "mostly": two rules of unequal weight, right only if the best of the weighted whole comes
first; "after": one to four habits such as "after horror comes comedy", of which one applies; "different" and "not":
with half the list forbidden; "often": the most frequent kind. In "ta" prompts the last film is the one before the gap.

## Limits
Synthetic through and through: its figures say that the machinery works, not how a real language model would do. A rule
counts as read in the words of the training's paraphrases; rules with an accuracy near chance or far below 1 it follows
only in part. Not for any use outside the kit.
"""
