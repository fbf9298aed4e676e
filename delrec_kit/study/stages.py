"""The stages of a run, one a numbered notebook. Each returns at once if it is done for the run's settings.

Notebooks 03 and 04 show stages 1 and 2 as code; ``distill_stage`` and ``finetune_stage`` are the same steps, for
several processes: ``accelerate launch -m delrec_kit stage distill RUN_DIR``.
"""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from delrec_kit.run.directory import RunDirectory, read_json, write_json
from delrec_kit.run.files import DONE, is_undamaged, write_marker
from delrec_kit.run.processes import main_only, wait, writing
from delrec_kit.settings.config import LISTED
from delrec_kit.settings.errors import KitError
from delrec_kit.settings.methods import METHODS
from delrec_kit.settings.rows import adapted_rows

if TYPE_CHECKING:
    from delrec_kit.llm import LlmRecommender
    from delrec_kit.study.study import Study
    from delrec_kit.training.finetune import Finetuned

LABELS = 2**26  # of the teacher that a warm start may hold, a prefix times a title each


def prepare_stage(run: RunDirectory):
    """01: read or make the interactions, validate, split, draw candidate sets. Returns the prepared data.

    Raises KitError where stage 1 could not be done with them, or a prompt would be longer than the model reads.
    """
    from delrec_kit.data import PreparedData, prepare
    from delrec_kit.data.candidates import check_lists
    from delrec_kit.study.lengths import check_prompts_fit
    from delrec_kit.training.tasks import check_lengths

    if not run.is_done("data"):
        with run.writing("data") as folder:
            prepare(run.config.data, run.config.seed).save(folder)
    data, distill = PreparedData.load(run.require("data")), run.config.distill
    check_lengths(data.split.train, distill)
    if "rps" in distill.tasks and run.config.llm.name != "minilm":  # whose prompts list nothing
        check_lists(data.split, run.config.data.candidates, distill.h, LISTED)
    check_prompts_fit(run.config, data)
    return data


def teacher_stage(run: RunDirectory) -> dict:
    """02: train the teacher and the baselines, label prefixes for distillation. Returns the teacher's metrics."""
    from delrec_kit.data import PreparedData
    from delrec_kit.teachers import train_stage

    data = PreparedData.load(run.require("data"))
    if not run.is_done("teacher"):
        with run.writing("teacher") as folder:
            train_stage(data, run.config.teacher, run.config.seed, folder, run.checkpoints("teacher"))
    return read_json(run.require("teacher") / "metrics.json")


def distill_stage(run: RunDirectory) -> pd.DataFrame:
    """03: distil the teacher's pattern into P. Returns the learning curve."""
    from delrec_kit.llm import SoftPrompt
    from delrec_kit.study.study import Study
    from delrec_kit.training import distill

    def work(folder: Path) -> None:
        config, study = run.config, Study(run)
        llm, writer = study.language_model()
        P = SoftPrompt.untrained(llm, config.distill.k, config.seed, config.distill.conditioned)
        delrec = study.asking("llm_distilled_prompt", llm, writer, P)
        tasks = study.tasks(delrec).stage_1(config.distill)
        counts = begin_stage_1(study, delrec, folder)
        curve, travelled = distill(delrec, tasks, config, study.validation(delrec), run.checkpoints("prompt"))
        counts |= {task: len(examples) for task, examples in tasks.items()}
        save_stage_1(folder, delrec, curve, travelled, counts)

    _once(run, "prompt", work)
    return pd.read_csv(run.require("prompt") / "curve.csv")


def begin_stage_1(study: "Study", delrec: "LlmRecommender", folder: Path) -> dict[str, int]:
    """Save P as it is before stage 1, then warm-start what is conditioned of it on all that the teacher has labelled;
    returns how many examples that took."""
    from delrec_kit.study.scores import save_terms
    from delrec_kit.study.study import UNTRAINED
    from delrec_kit.training import warm_start

    delrec.P.save(folder / UNTRAINED, delrec.llm, delrec.writer)
    save_terms(study, folder, delrec)
    config = study.run.config
    if not (delrec.P.c and "rps" in config.distill.tasks):
        return {}
    most = max(1, LABELS // len(delrec.writer.table.lengths)) if delrec.llm.ranks_all else len(study.lists)
    examples = study.tasks(delrec).pattern_simulating(most, config.distill.h, config.distill.rps)
    loss = warm_start(delrec, examples, config.seed)
    print(f"warm start: {len(examples)} prefixes, loss {loss:.3f} without the language model")
    return {"warm_start": len(examples)}


def save_stage_1(
    folder: Path,
    delrec: "LlmRecommender",
    curve: pd.DataFrame,
    travelled: pd.DataFrame,
    counts: dict[str, int],
    loss: Callable | None = None,
) -> None:
    """What later notebooks read of stage 1: P, the learning curve, how far each soft token travelled, the price, and
    which loss it was, the library's by default."""
    from delrec_kit.study.study import DISTILLED, WORDS
    from delrec_kit.training import identity, kl_loss

    delrec.P.save(folder / DISTILLED, delrec.llm, delrec.writer)
    write_json(folder / WORDS, delrec.writer.templates)
    curve.to_csv(folder / "curve.csv", index=False)
    travelled.to_csv(folder / "growth.csv", index=False)
    used = identity(loss or kl_loss)
    said = {"loss": used, "own_loss": used != identity(kl_loss)}
    write_json(folder / "metrics.json", {"examples": counts, "trainable": delrec.P.numbers, **said})


def check_loss(run: RunDirectory, stage: str, loss: Callable) -> None:
    """Raise KitError where the finished ``stage`` was trained with another loss than the one in the notebook."""
    from delrec_kit.training import identity

    made = {read_json(path)["loss"] for path in run.require(stage).rglob("metrics.json")}
    if made != {identity(loss)}:
        raise KitError(
            f"{stage}/ of {run.path.name} was trained with another loss than the one above: delete {stage}/ there, or "
            "take another run_dir"
        )


def finetune_stage(run: RunDirectory) -> pd.DataFrame:
    """04: fine-tune by AdaLoRA, each of ``finetune.methods`` by itself. Returns the learning curves."""
    from delrec_kit.study.study import Study
    from delrec_kit.training import finetune

    def work(folder: Path) -> None:
        for name in adapted_rows(run.config):
            if not is_finished(run, name):
                study = Study(run)
                recommender = study.beginning(name)
                examples = study.tasks(recommender).of(METHODS[name], run.config.distill, run.config.finetune.examples)
                steps = run.checkpoints("adapter") / name
                tuned = finetune(recommender, examples, run.config, study.validation(recommender), steps)
                save_adapted(run, recommender, tuned, examples)
        gather_adapted(run, folder)

    _once(run, "adapter", work)
    return pd.read_csv(run.require("adapter") / "curve.csv")


def is_finished(run: RunDirectory, name: str, loss: Callable | None = None) -> bool:
    """Whether stage 2 of the method ``name`` is finished with this ``loss`` (the library's by default); a run that died
    later takes it up from there."""
    from delrec_kit.training import identity, kl_loss

    wait()
    record = _finished(run, name) / "metrics.json"
    whole = record.is_file() and is_undamaged(record.parent)
    return whole and read_json(record)["loss"] == identity(loss or kl_loss)


def save_adapted(run: RunDirectory, recommender: "LlmRecommender", tuned: "Finetuned", examples) -> None:
    """Keep a finished adapter (with its P where that learned too) beside the checkpoints until all are done."""
    from delrec_kit.study.study import DISTILLED
    from delrec_kit.training import identity, kl_loss

    name = recommender.name
    draft = run.checkpoints("adapter") / f"{name}-draft"
    tuned.save(draft)

    def finish() -> None:
        draft.mkdir(parents=True, exist_ok=True)
        if METHODS[name].learns_prompt:
            recommender.P.save(draft / DISTILLED, recommender.llm, recommender.writer)
        tuned.curve.to_csv(draft / "curve.csv", index=False)
        own = tuned.loss != identity(kl_loss)
        counts = {"examples": len(examples), "true_labels": examples.true_labels, "trainable": tuned.trainable}
        write_json(draft / "metrics.json", {**counts, "ranks": tuned.ranks, "loss": tuned.loss, "own_loss": own})
        write_marker(draft, {})
        shutil.rmtree(_finished(run, name), ignore_errors=True)  # of another loss, or damaged
        draft.rename(_finished(run, name))

    main_only(finish)


def gather_adapted(run: RunDirectory, folder: Path) -> None:
    """Copy every finished adapter into the stage's ``folder``, with the curves of all in one table. Only the main
    process does: when it is through, what is copied goes."""

    def gather() -> None:
        curves = []
        for name in adapted_rows(run.config):
            shutil.copytree(_finished(run, name), folder / name, ignore=shutil.ignore_patterns(DONE))
            curves.append(pd.read_csv(folder / name / "curve.csv").assign(method=name))
        pd.concat(curves).to_csv(folder / "curve.csv", index=False)

    main_only(gather)


def evaluation_stage(run: RunDirectory) -> dict:
    """05a: rank the test cases with every method and compare. Returns the comparison."""
    from delrec_kit.study.compare import evaluate
    from delrec_kit.study.study import Study

    run.require("adapter")
    _once(run, "evaluation", lambda folder: evaluate(Study(run), folder))
    return read_json(run.require("evaluation") / "comparison.json")


def interpretation_stage(run: RunDirectory) -> None:
    """05b: look inside: recency profiles, attention, what single pieces of the prompt do, and whether to believe it."""
    from delrec_kit.study.inside import look_inside
    from delrec_kit.study.study import Study

    run.require("evaluation")
    _once(run, "interpretation", lambda folder: look_inside(Study(run), folder))


def _once(run: RunDirectory, stage: str, work: Callable[[Path], None]) -> None:
    """``work(folder)`` unless the stage is done, which all processes of a launch ask before one changes the answer."""
    done = run.is_done(stage)
    wait()
    if not done:
        with writing(run, stage) as folder:
            work(folder)


def _finished(run: RunDirectory, name: str) -> Path:
    return run.checkpoints("adapter") / f"{name}-finished"
