"""The five stages, one a numbered notebook. Each returns at once if it is done for the run's settings."""

import shutil
from collections.abc import Sequence
from difflib import get_close_matches
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from delrec_kit.config import TrainConfig, resolve
from delrec_kit.data import PreparedData, Ragged, answer_index, prepare
from delrec_kit.errors import KitError
from delrec_kit.evaluation import compare, expected_ranks, write_comparison
from delrec_kit.interpret import agreement_table, attention_mass
from delrec_kit.llm import LanguageModel, PromptWriter, SoftPrompt, load_llm, score_candidates
from delrec_kit.processes import device, main_only, wait, writing
from delrec_kit.runs import RunDirectory, read_json, write_json
from delrec_kit.teachers import load_teacher, top_items, train_stage
from delrec_kit.training import (
    ExampleWriter,
    Validation,
    check_lengths,
    distill,
    final_prompt,
    finetune,
    load_adapter,
)

ADAPTED = {"llm_finetuned": False, "delrec": True}  # method -> is P in the prompt?


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


def open_llm(run: RunDirectory, data: PreparedData) -> tuple[LanguageModel, PromptWriter]:
    """The run's frozen language model, and what writes its prompts."""
    llm = load_llm(run.config.llm, device())
    writer = PromptWriter(
        llm.tokenizer, data.domain, data.split.titles, format=llm.format, verbalizer=run.config.llm.verbalizer
    )
    llm.study(writer.table)
    return llm, writer


def example_prompts(run: RunDirectory, data: PreparedData, writer: PromptWriter) -> list[tuple[str, str, str]]:
    """One training example of each task as (task, text of the prompt, title of the answer)."""
    examples = _example_writer(run, data, writer)
    config, seed = run.config.distill, run.config.seed
    lists = pd.read_parquet(run.require("teacher") / "distillation.parquet")
    made = {}
    if config.weight_ta:
        made["temporal analysis"] = examples.temporal_analysis(1, config, seed)
    if config.weight_rps:
        made["recommendation pattern simulating"] = examples.pattern_simulating(lists, 1, config, seed)
    made["next item (stage 2)"] = examples.next_item(1, config.k, seed)
    return [
        (task, writer.text(rows.prompts[0]), data.split.titles[rows.candidates[0][rows.targets[0].argmax()]])
        for task, rows in made.items()
    ]


def prompt_stage(run: RunDirectory) -> pd.DataFrame:
    """03: distil the teacher's pattern into P. Returns the learning curve."""
    run.require("teacher")
    if not _done(run, "prompt"):
        with writing(run, "prompt") as folder:
            _distill(run, folder)
    return pd.read_csv(run.require("prompt") / "curve.csv")


def _distill(run: RunDirectory, folder: Path) -> None:
    config, seed = run.config, run.config.seed
    data = load_data(run)
    llm, writer = open_llm(run, data)
    soft = SoftPrompt.untrained(llm, config.distill.k, seed).to(llm.device)
    soft.save(folder / "untrained.safetensors", llm)
    examples = _example_writer(run, data, writer)
    lists = pd.read_parquet(run.folder("teacher") / "distillation.parquet")
    count = config.distill.examples
    tasks = {}
    if config.distill.weight_ta > 0:
        tasks["ta"] = examples.temporal_analysis(count, config.distill, seed)
    if config.distill.weight_rps > 0:
        tasks["rps"] = examples.pattern_simulating(lists, count, config.distill, seed)
    measure = _measure(run, data, llm, writer, soft, config.distill)
    curve = distill(
        llm, writer, soft, tasks, measure, config.distill, seed, run.checkpoints("prompt"), config.llm.length_normalised
    )
    soft.save(folder / "soft_prompt.safetensors", llm)
    curve.to_csv(folder / "curve.csv", index=False)
    counts = {name: len(rows) for name, rows in tasks.items()}
    write_json(folder / "metrics.json", {"examples": counts, "trainable": soft.vectors.numel()})


def adapter_stage(run: RunDirectory) -> pd.DataFrame:
    """04: fine-tune by AdaLoRA, once without a soft prompt and once with the frozen P. Returns the learning curves."""
    run.require("prompt")
    if not _done(run, "adapter"):
        with writing(run, "adapter") as folder:
            curves = {method: _finetune(run, method, folder) for method in ADAPTED}
            table = pd.concat([curve.assign(method=method) for method, curve in curves.items()])
            table.to_csv(folder / "curve.csv", index=False)
    return pd.read_csv(run.require("adapter") / "curve.csv")


def _done(run: RunDirectory, stage: str) -> bool:
    """Asked by all processes of a launch before one of them changes the answer."""
    done = run.is_done(stage)
    wait()
    return done


def _finetune(run: RunDirectory, method: str, folder: Path) -> pd.DataFrame:
    """One adapter; a run that died after the first takes that one up from its checkpoint folder."""
    config = run.config
    finished = run.checkpoints("adapter") / f"{method}-finished"
    wait()
    if not finished.exists():
        data = load_data(run)
        llm, writer = open_llm(run, data)
        soft = _distilled_prompt(run, llm) if ADAPTED[method] else None
        draft = run.checkpoints("adapter") / f"{method}-draft"
        examples = _example_writer(run, data, writer).next_item(
            config.finetune.examples, soft.k if soft else 0, config.seed
        )
        curve, ranks = finetune(
            llm,
            writer,
            soft,
            examples,
            _measure(run, data, llm, writer, soft, config.finetune),
            config.finetune,
            config.seed,
            run.checkpoints("adapter") / method,
            draft,
            f"stage 2, {method}",
            config.llm.length_normalised,
        )
        trainable = sum(p.numel() for n, p in llm.named_parameters() if ".lora_" in n)

        def finish() -> None:
            curve.to_csv(draft / "curve.csv", index=False)
            write_json(draft / "metrics.json", {"examples": len(examples), "trainable": trainable, "ranks": ranks})
            draft.rename(finished)

        main_only(finish)
    shutil.copytree(finished, folder / method)
    return pd.read_csv(finished / "curve.csv")


def evaluation_stage(run: RunDirectory) -> dict:
    """05: score the test cases with every method, compare them, and look inside. Returns the comparison."""
    run.require("adapter")
    if not _done(run, "evaluation"):
        with writing(run, "evaluation") as folder:
            _evaluate(run, folder)
    return read_json(run.require("evaluation") / "comparison.json")


def _evaluate(run: RunDirectory, folder: Path) -> None:
    config, data = run.config, load_data(run)
    scores = {**_baseline_scores(run, data), **_llm_scores(run, data, folder)}
    if data.oracle is not None:
        scores["oracle"] = data.oracle
    cases, candidates = data.split.test, data.test_candidates
    answer = answer_index(candidates, cases.target)
    ranks = {method: expected_ranks(values, answer) for method, values in scores.items()}
    users = [data.split.user_keys[u] for u in cases.user]
    pd.DataFrame({"user": users, **{method: list(v) for method, v in scores.items()}}).to_parquet(
        folder / "scores.parquet", index=False
    )
    comparison = compare(
        ranks,
        protocol="candidates",
        m=candidates.shape[1],
        seed=config.seed,
        resamples=config.evaluation.resamples,
    )
    write_comparison(folder, comparison, ranks, users)
    variants = {method: v for method, v in scores.items() if method.startswith("llm_") or method == "delrec"}
    agreement_table(variants, scores["teacher"], config.distill.h, config.evaluation.resamples, config.seed).to_csv(
        folder / "agreement.csv", index=False
    )


def _baseline_scores(run: RunDirectory, data: PreparedData) -> dict[str, np.ndarray]:
    baselines = pd.read_parquet(run.folder("teacher") / "baselines.parquet")
    teacher = pd.read_parquet(run.folder("teacher") / "test.parquet")
    return {
        "popularity": np.stack(baselines["popularity"]),
        "markov": np.stack(baselines["markov"]),
        "teacher": np.stack(teacher["candidate_scores"]),
    }


def _llm_scores(run: RunDirectory, data: PreparedData, folder: Path) -> dict[str, np.ndarray]:
    """Scores (U, m) of the test candidates by each variant of the language model; attention of the distilled one."""
    llm, writer = open_llm(run, data)
    distilled = _distilled_prompt(run, llm)
    untrained = SoftPrompt.load(run.folder("prompt") / "untrained.safetensors", llm)
    scores = {
        method: _score_test(run, data, llm, writer, soft, method)
        for method, soft in (
            ("llm_zero_shot", None),
            ("llm_untrained_prompt", untrained),
            ("llm_distilled_prompt", distilled),
        )
    }
    looked = slice(run.config.evaluation.attention_users)
    prompts = _test_prompts(run, data, writer, distilled)[looked]
    attention_mass(llm, writer, prompts, data.test_candidates[looked], distilled).to_csv(
        folder / "attention.csv", index=False
    )
    for method, with_prompt in ADAPTED.items():
        llm, writer = open_llm(run, data)
        load_adapter(llm, run.folder("adapter") / method)
        scores[method] = _score_test(run, data, llm, writer, distilled if with_prompt else None, method)
    return scores


def recommend(run: RunDirectory, titles: Sequence[str], top: int = 10) -> pd.DataFrame:
    """What DELRec recommends to a person who consumed ``titles``, oldest first: rank, title, score, teacher_rank.

    The teacher proposes its first max(m, top) items of the whole catalogue, history excluded; the fine-tuned language
    model with P ranks them by log-likelihood. Raises KitError for an unknown title, naming the nearest one.
    """
    run.require("adapter")
    data = load_data(run)
    history = Ragged.from_lists([[_item(data.split.titles, title) for title in titles]])
    scores = load_teacher(run.folder("teacher")).scores(history)
    free = scores.shape[1] - 1 - len(set(history[0]))
    if not free:
        raise KitError("the history holds the whole catalogue; there is nothing left to recommend")
    proposed = top_items(scores, history, min(max(top, run.config.data.candidates), free))
    llm, writer = open_llm(run, data)
    soft = _distilled_prompt(run, llm)
    load_adapter(llm, run.folder("adapter") / "delrec")
    prompt = final_prompt(writer, history[0], proposed[0], run.config.llm.history, soft.k)
    scores = score_candidates(
        llm, writer, [prompt], proposed, soft, length_normalised=run.config.llm.length_normalised
    )[0]
    order = np.argsort(-scores, kind="stable")[:top]
    return pd.DataFrame(
        {
            "rank": np.arange(1, len(order) + 1),
            "title": [data.split.titles[proposed[0, i]] for i in order],
            "score": scores[order],
            "teacher_rank": order + 1,
        }
    )


def _item(titles: Sequence[str], wanted: str) -> int:
    folded = {title.casefold(): item for item, title in reversed(list(enumerate(titles))) if item}
    item = folded.get(wanted.strip().casefold())
    if item is None:
        near = [titles[folded[title]] for title in _nearest_titles(wanted.casefold(), list(folded))]
        raise KitError(f"no title '{wanted}' in the catalogue; nearest: {', '.join(map(repr, near)) or 'none'}")
    return item


def _nearest_titles(wanted: str, titles: Sequence[str]) -> list[str]:
    """Up to three; who writes no year is matched without it."""
    bare = [title.rpartition(" (")[0] or title for title in titles]
    known = dict(zip(titles if "(" in wanted else bare, titles, strict=True))
    return [known[match] for match in get_close_matches(wanted, known, n=3, cutoff=0.3)]


def _distilled_prompt(run: RunDirectory, llm: LanguageModel) -> SoftPrompt:
    return SoftPrompt.load(run.require("prompt") / "soft_prompt.safetensors", llm).requires_grad_(False)


def _example_writer(run: RunDirectory, data: PreparedData, writer: PromptWriter) -> ExampleWriter:
    split = data.split
    return ExampleWriter(writer, split.train, split.consumed(), run.config.data.candidates, run.config.llm.history)


def _measure(
    run: RunDirectory,
    data: PreparedData,
    llm: LanguageModel,
    writer: PromptWriter,
    soft: SoftPrompt | None,
    config: TrainConfig,
):
    teacher = np.stack(pd.read_parquet(run.folder("teacher") / "valid.parquet")["candidate_scores"])
    validation = Validation.sample(
        data.split.valid, data.valid_candidates, teacher, config.valid_users, run.config.seed
    )
    settings = run.config.llm
    return partial(validation.measure, llm, writer, soft, settings.history, settings.length_normalised)


def _test_prompts(run: RunDirectory, data: PreparedData, writer: PromptWriter, soft: SoftPrompt | None) -> list:
    shown, k = run.config.llm.history, 0 if soft is None else soft.k
    histories = data.split.test.history
    return [final_prompt(writer, histories[u], row, shown, k) for u, row in enumerate(data.test_candidates)]


def _score_test(run: RunDirectory, data: PreparedData, llm, writer, soft: SoftPrompt | None, what: str) -> np.ndarray:
    return score_candidates(
        llm,
        writer,
        _test_prompts(run, data, writer, soft),
        data.test_candidates,
        soft,
        run.config.evaluation.batch,
        run.config.llm.length_normalised,
        what=f"scoring {what}",
    )
