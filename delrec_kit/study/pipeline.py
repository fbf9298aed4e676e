"""The five stages, one a numbered notebook. Each returns at once if it is done for the run's settings."""

import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from delrec_kit.data import Cases, PreparedData, Ragged, item_of, prepare
from delrec_kit.llm import LanguageModel, PromptWriter, SoftPrompt, score_candidates
from delrec_kit.run.directory import RunDirectory, read_json, write_json
from delrec_kit.run.processes import main_only, wait, writing
from delrec_kit.settings.config import resolve
from delrec_kit.settings.errors import KitError
from delrec_kit.settings.methods import METHODS
from delrec_kit.study.compare import evaluate
from delrec_kit.study.workbench import OWN_PROMPT, Workbench
from delrec_kit.teachers import load_teacher, top_items, train_stage
from delrec_kit.training import ExampleWriter, check_lengths, distill, finetune, warm_start

LABELS = 2**26  # of the teacher that a warm start may hold, a prefix times a title each


def open_run(run_dir: str | Path, profile: str = "demo", overrides: Sequence[str] = ()) -> RunDirectory:
    """The run in ``run_dir`` with the settings of ``profile`` and ``stage.field=value`` overrides on top."""
    return RunDirectory.create(run_dir, resolve(profile, overrides))


def prepare_stage(run: RunDirectory) -> PreparedData:
    """01: read or make the interactions, validate, split, draw candidate sets."""
    if not run.is_done("data"):
        with run.writing("data") as folder:
            prepare(run.config.data, run.config.seed).save(folder)
    data = load_data(run)
    check_lengths(data.split.train, run.config.distill)
    return data


def load_data(run: RunDirectory) -> PreparedData:
    return PreparedData.load(run.require("data"))


def teacher_stage(run: RunDirectory) -> dict:
    """02: train the teacher and the baselines, label prefixes for distillation. Returns the teacher's metrics."""
    data = load_data(run)
    if not run.is_done("teacher"):
        with run.writing("teacher") as folder:
            train_stage(data, run.config.teacher, run.config.seed, folder, run.checkpoints("teacher"))
    return read_json(run.require("teacher") / "metrics.json")


def workbench(run: RunDirectory) -> Workbench:
    """Data, language model, prompts and examples of a run whose teacher is trained."""
    run.require("teacher")
    return Workbench(run, load_data(run))


def example_prompts(bench: Workbench, writer: PromptWriter) -> list[tuple[str, str, str]]:
    """One training example of each task as (task, text of the prompt, title of the answer)."""
    config, seed = bench.run.config.distill, bench.run.config.seed
    examples, made = bench.example_writer(writer), {}
    if config.weight_ta:
        made["temporal analysis"] = examples.temporal_analysis(1, config, seed)
    if config.weight_rps:
        made["recommendation pattern simulating"] = examples.pattern_simulating(bench.lists, 1, config, seed)
    made["next item (stage 2)"] = examples.next_item(1, config.k, seed)
    titles = bench.data.split.titles
    first = {task: rows[0] for task, rows in made.items()}
    return [
        (task, writer.text(prompt), titles[items[target.argmax()]]) for task, (prompt, items, target) in first.items()
    ]


def prompt_stage(run: RunDirectory) -> pd.DataFrame:
    """03: distil the teacher's pattern into P. Returns the learning curve."""
    run.require("teacher")
    if not _done(run, "prompt"):
        with writing(run, "prompt") as folder:
            _distill(run, folder)
    return pd.read_csv(run.require("prompt") / "curve.csv")


def _distill(run: RunDirectory, folder: Path) -> None:
    config, seed, bench = run.config, run.config.seed, workbench(run)
    llm, writer = bench.open_llm()
    soft = SoftPrompt.untrained(llm, config.distill.k, seed, config.distill.conditioned).to(llm.device)
    soft.save(folder / "untrained.safetensors", llm)
    examples, count = bench.example_writer(writer), config.distill.examples
    tasks = {}
    if config.distill.weight_ta > 0:
        tasks["ta"] = examples.temporal_analysis(count, config.distill, seed)
    if config.distill.weight_rps > 0:
        tasks["rps"] = examples.pattern_simulating(bench.lists, count, config.distill, seed)
    began = _begin(bench, llm, writer, soft, examples)
    measure = bench.measure(llm, writer, soft, METHODS["llm_distilled_prompt"], config.distill)
    curve, growth = distill(
        llm, writer, soft, tasks, measure, config.distill, seed, run.checkpoints("prompt"), config.llm.length_normalised
    )
    soft.save(folder / "soft_prompt.safetensors", llm)
    curve.to_csv(folder / "curve.csv", index=False)
    growth.to_csv(folder / "growth.csv", index=False)
    counts = {name: len(rows) for name, rows in tasks.items()} | began
    write_json(folder / "metrics.json", {"examples": counts, "trainable": soft.numbers})


def _begin(
    bench: Workbench, llm: LanguageModel, writer: PromptWriter, soft: SoftPrompt, examples: ExampleWriter
) -> dict[str, int]:
    """Warm-start a conditioned P on all that the teacher has labelled; how many examples that took."""
    config, seed = bench.run.config.distill, bench.run.config.seed
    if not (soft.c and config.warm_start and config.weight_rps):
        return {}
    most = len(bench.lists) if examples.listed else max(1, LABELS // len(writer.table.lengths))
    lessons = examples.pattern_simulating(bench.lists, most, config, seed)
    loss = warm_start(soft, lessons, llm.answer_vectors(writer.table), seed, llm.prior)
    print(f"warm start: {len(lessons)} prefixes, loss {loss:.3f} without the language model")
    return {"warm_start": len(lessons)}


def adapter_stage(run: RunDirectory) -> pd.DataFrame:
    """04: fine-tune by AdaLoRA, each of ``finetune.methods`` by itself. Returns the learning curves."""
    run.require("prompt")
    if not _done(run, "adapter"):
        with writing(run, "adapter") as folder:
            curves = {name: _finetune(run, name, folder) for name in run.config.finetune.methods}
            table = pd.concat([curve.assign(method=name) for name, curve in curves.items()])
            table.to_csv(folder / "curve.csv", index=False)
    return pd.read_csv(run.require("adapter") / "curve.csv")


def _done(run: RunDirectory, stage: str) -> bool:
    """Asked by all processes of a launch before one of them changes the answer."""
    done = run.is_done(stage)
    wait()
    return done


def _finetune(run: RunDirectory, name: str, folder: Path) -> pd.DataFrame:
    """One adapter; a run that died after the first takes that one up from its checkpoint folder."""
    config, method = run.config, METHODS[name]
    finished = run.checkpoints("adapter") / f"{name}-finished"
    wait()
    if not finished.exists():
        bench = workbench(run)
        llm, writer = bench.open_llm()
        soft = bench.soft_prompt(method, llm)
        draft = run.checkpoints("adapter") / f"{name}-draft"
        examples = bench.lessons(writer).of(method, config.finetune.examples)
        curve, ranks = finetune(
            llm,
            writer,
            soft,
            examples,
            bench.measure(llm, writer, soft, method, config.finetune),
            config.finetune,
            config.seed,
            run.checkpoints("adapter") / name,
            draft,
            f"stage 2, {name}",
            config.llm.length_normalised,
            method.learns_prompt,
            method.fades,
        )
        trainable = sum(p.numel() for n, p in llm.named_parameters() if ".lora_" in n)
        trainable += soft.numbers if method.learns_prompt else 0

        def finish() -> None:
            if method.learns_prompt:
                soft.save(draft / OWN_PROMPT, llm)
            curve.to_csv(draft / "curve.csv", index=False)
            told = {"examples": len(examples), "true_labels": examples.true_labels, "trainable": trainable}
            write_json(draft / "metrics.json", {**told, "ranks": ranks})
            draft.rename(finished)

        main_only(finish)
    shutil.copytree(finished, folder / name)
    return pd.read_csv(finished / "curve.csv")


def evaluation_stage(run: RunDirectory) -> dict:
    """05: score the test cases with every method, compare them, and look inside. Returns the comparison."""
    run.require("adapter")
    if not _done(run, "evaluation"):
        with writing(run, "evaluation") as folder:
            evaluate(workbench(run), folder)
    return read_json(run.require("evaluation") / "comparison.json")


def recommend(run: RunDirectory, titles: Sequence[str], top: int = 10) -> pd.DataFrame:
    """What DELRec recommends to a person who consumed ``titles``, oldest first: rank, title, score, teacher_rank.

    The teacher proposes its first max(m, top) items of the whole catalogue, history excluded; the fine-tuned language
    model with P ranks them by log-likelihood. Raises KitError for an unknown title, naming the nearest one.
    """
    run.require("adapter")
    data = load_data(run)
    history = Ragged.from_lists([[item_of(data.split.titles, title) for title in titles]])
    scores = load_teacher(run.folder("teacher")).scores(history)
    free = scores.shape[1] - 1 - len(set(history[0]))
    if not free:
        raise KitError("the history holds the whole catalogue; there is nothing left to recommend")
    proposed = top_items(scores, history, min(max(top, run.config.data.candidates), free))
    bench = Workbench(run, data)
    method = "delrec" if "delrec" in run.config.finetune.methods else run.config.finetune.methods[-1]
    llm, writer, soft = bench.open_method(method)
    first = proposed[:, : run.config.distill.h]
    expects = bench.expectations(writer)
    person = Cases(np.zeros(1, dtype=np.int64), history, np.zeros(1, dtype=np.int64))
    states = None if expects is None else expects.of_cases(person)
    prompts = bench.ask(METHODS[method]).prompts(writer, list(history), proposed, first, states)
    scores = score_candidates(llm, writer, prompts, proposed, soft, length_normalised=run.config.llm.length_normalised)[
        0
    ]
    order = np.argsort(-scores, kind="stable")[:top]
    return pd.DataFrame(
        {
            "rank": np.arange(1, len(order) + 1),
            "title": [data.split.titles[proposed[0, i]] for i in order],
            "score": scores[order],
            "teacher_rank": order + 1,
        }
    )
