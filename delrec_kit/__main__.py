"""python -m delrec_kit run | report | sweep | recommend | explain | export | stage | check | status."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from delrec_kit.batch.ending import FAILURE, exit_code
from delrec_kit.batch.notebooks import NotebookFailed, numbers_of, run_experiments, run_notebooks
from delrec_kit.batch.options import AnyRun, EngineOptions, Jobs, RunDir, Settings, Where
from delrec_kit.batch.printed import print_report, print_summary
from delrec_kit.run.directory import RunDirectory
from delrec_kit.run.inputs import check_writable, settled
from delrec_kit.run.redo import left, stage_named
from delrec_kit.settings.errors import KitError, nearest
from delrec_kit.settings.resolve import renamed_columns

SHARED_STAGES = {"distill": "prompt", "finetune": "adapter", "evaluate": "evaluation"}  # command -> stage

app = typer.Typer(add_completion=False, rich_markup_mode=None, help=__doc__, pretty_exceptions_enable=False)


@app.command(epilog="All settings: docs/settings.md, and config.json in a run, resolved. --set may stand many times.")
def run(
    profile: Annotated[str, typer.Option(help="a name in profiles/, or a YAML file of your own")] = "demo",
    dataset: Annotated[str | None, typer.Option(help="data.dataset: demo, ml-100k, custom …")] = None,
    data_dir: Annotated[str | None, typer.Option(help="data.data_dir: folder with the raw files")] = None,
    columns: Annotated[list[str] | None, typer.Option(metavar="OURS=THEIRS", help="such as user=reviewer")] = None,
    llm: Annotated[str | None, typer.Option(help="llm.name: tiny, minilm, a hub id or a folder")] = None,
    teacher: Annotated[str | None, typer.Option(help="teacher.name: sasrec, gru4rec or caser")] = None,
    seed: Annotated[int | None, typer.Option(help="of every random draw")] = None,
    run_dir: Annotated[Path | None, typer.Option(help="default: runs/DATASET-TEACHER-PROFILE-seedN")] = None,
    stages: Annotated[str, typer.Option(help="numbers of the notebooks to run, such as 03-05 or 01,02")] = "01-05",
    redo: Annotated[str | None, typer.Option(metavar="STAGE", help="replace it and what follows, if done too")] = None,
    settings: Settings = None,
) -> None:
    """Run the numbered notebooks; what is done for these settings is skipped."""
    flags = {"data.dataset": dataset, "data.data_dir": data_dir, "llm.name": llm, "teacher.name": teacher, "seed": seed}
    overrides = [f"{key}={json.dumps(value)}" for key, value in flags.items() if value is not None]
    overrides += [*renamed_columns(columns or ()), *(settings or [])]
    numbers = numbers_of(stages)
    config, overrides = settled(profile, overrides)
    if config.llm.name != "tiny" and {"03", "04", "05a"} & set(numbers):  # before a teacher is trained for nothing
        from delrec_kit.llm import check_reachable

        check_reachable(config.llm)
    default = Path("runs") / f"{config.data.dataset}-{config.teacher.name}-{config.profile}-seed{config.seed}"
    directory = RunDirectory.create(run_dir or default, config, stage_named(redo) if redo else None)
    typer.echo(
        f"{directory.path}: profile {config.profile}, dataset {config.data.dataset}, teacher {config.teacher.name}, "
        f"LLM {config.llm.name}, seed {config.seed}"
    )
    if stages_left := left(directory.path):
        typer.echo(f"to be made anew, each old one kept until then: {', '.join(stages_left)}")
    run_notebooks(directory, profile, overrides, numbers)
    print_summary(directory)


@app.command()
def report(
    run_dirs: Annotated[list[Path], typer.Argument(metavar="RUN_DIR …", help="run directories")],
    csv: Annotated[Path | None, typer.Option(metavar="FILE", help="write the numbers there too")] = None,
    markdown: Annotated[Path | None, typer.Option(metavar="FILE", help="write the table there too")] = None,
) -> None:
    """The comparison over one or many runs: mean ± standard deviation over seeds."""
    for file in (csv, markdown):
        if file is not None:
            check_writable(file)
    for folder in run_dirs:
        RunDirectory.open(folder).require("evaluation")
    print_report(run_dirs, csv, markdown)


@app.command()
def sweep(
    grid: Annotated[Path, typer.Argument(metavar="GRID.yaml", help="see experiments/ and batch/sweep.py")],
    out: Annotated[Path | None, typer.Option(metavar="FOLDER", help="default: runs/ and the grid's name")] = None,
    jobs: Jobs = 1,
    on: Where = "here",
    option: EngineOptions = None,
    settings: Settings = None,
) -> None:
    """Run every combination of a grid of settings, then report on all that ended well and execute notebook 06.

    With --on the folder must be one that all machines see.
    """
    from delrec_kit.batch.elsewhere import runner
    from delrec_kit.batch.sweep import read_grid, run_sweep

    cells = read_grid(grid, settings or [])
    folder = out or Path("runs") / grid.stem
    where = runner(on, jobs, folder, option or [])
    typer.echo(f"{len(cells)} runs in {folder}, {jobs} at a time, {on}")
    failed = run_sweep(cells, folder, jobs, where)
    done = [folder / cell.name for cell in cells if cell.name not in failed]
    if done:
        print_report(done, folder / "report.csv", folder / "report.md")
        typer.echo(f"\ntables and figures  {run_experiments(folder)}, {folder / 'figures'}")
    if failed:
        what = f"{len(failed)} of {len(cells)} runs failed: {', '.join(failed)}"
        raise NotebookFailed(f"{what}; the same command takes them up")


@app.command()
def recommend(
    context: typer.Context,
    run_dir: RunDir,
    history: Annotated[list[str] | None, typer.Option(metavar="TITLE", help="what somebody had, oldest first")] = None,
    user: Annotated[list[str] | None, typer.Option(metavar="ID", help="users of the data, by id")] = None,
    everybody: Annotated[bool, typer.Option("--all", help="all users of the data")] = False,
    histories: Annotated[Path | None, typer.Option(metavar="FILE", help="rows of user, and item or title")] = None,
    top: Annotated[int, typer.Option(min=1, help="how many to recommend")] = 10,
    out: Annotated[Path | None, typer.Option(metavar="FILE", help=".parquet, .csv or .jsonl; default: screen")] = None,
    jobs: Jobs = 1,
    on: Where = "here",
    option: EngineOptions = None,
    share: Annotated[str | None, typer.Option(hidden=True)] = None,
) -> None:
    """Rank items for people, with scores: --history, --user, --all or --histories says for whom.

    A user's history is all that is known, test target included. FILE: .csv, .parquet or .jsonl, oldest first or with
    a timestamp. A job that was killed goes on by the same command.
    """
    if sum(map(bool, (history, user, everybody, histories))) != 1:
        raise KitError("say for whom: one of --history, --user, --all, --histories")
    if out is None and (everybody or histories):
        raise KitError("name the file to write with --out, such as recommendations.parquet")
    directory = RunDirectory.open(run_dir)
    directory.require("adapter")
    from delrec_kit.batch.recommending import a_share, to_file
    from delrec_kit.study import people as who
    from delrec_kit.study import recommend as screen
    from delrec_kit.study.parts import check_output, without
    from delrec_kit.study.study import Study

    if out is not None:
        check_output(out)
    if history and out is None:
        typer.echo(screen.recommend(directory, history, top).to_string(index=False, float_format="{:.3f}".format))
        return
    study = Study(directory)
    people = who.asked_for(study, history, histories, user)
    if share is not None:
        told, said = f"share {share}", a_share(study, people, top, out, share)
    elif out is None:
        table = screen.ranked_for(study, study.recommender(study.answering()), people, top)
        told, said = table.to_string(index=False, float_format="{:.3f}".format), without(study, people, top)
    else:
        told, said = f"wrote {out}", to_file(study, people, top, out, context.obj, (jobs, on, option or []))
    typer.echo("\n".join(filter(None, (told, said))))


@app.command()
def explain(
    run_dir: RunDir,
    user: Annotated[str | None, typer.Option(help="an id of the data; where no id is a number, 1, 2, … too")] = None,
    out: Annotated[Path, typer.Option(metavar="FILE", help="the page to write")] = Path("explanation.html"),
    png: Annotated[Path | None, typer.Option(metavar="FILE", help="a picture of it too")] = None,
    method: Annotated[str | None, typer.Option(help="a row with a language model; default: delrec")] = None,
) -> None:
    """One user's choice taken apart, as a web page to touch that needs no server."""
    check_writable(out, ".html")
    if png is not None:
        check_writable(png, ".png")
    directory = RunDirectory.open(run_dir)
    directory.require("adapter")
    from delrec_kit.study.explain import explain_user

    page, view = explain_user(directory, user, method)
    out.write_text(page.html(), encoding="utf-8")
    if png is not None:
        view.picture()[0].savefig(png, dpi=150)
    typer.echo(f"wrote {' and '.join(map(str, filter(None, (out, png))))}")


@app.command()
def export(
    run_dir: RunDir,
    out: Annotated[Path, typer.Argument(metavar="OUT", help="the folder to make")],
    method: Annotated[str | None, typer.Option(help="a row with a language model; default: delrec")] = None,
    dtype: Annotated[str, typer.Option(help="of the weights: float32 or bfloat16")] = "float32",
    user: Annotated[list[str] | None, typer.Option(metavar="ID", help="whose prompts, where P is conditioned")] = None,
    tied: Annotated[bool, typer.Option(help="leave a tied head tied: scores change, it says how much")] = False,
) -> None:
    """A plain Hugging Face checkpoint: adapter merged, P as words of the tokenizer, and a card on how to score."""
    directory = RunDirectory.open(run_dir)
    directory.require("adapter")
    from delrec_kit.study.export import export as write

    typer.echo(f"wrote {out}: {write(directory, out, method, dtype, user or (), tied)}")


@app.command()
def stage(
    name: Annotated[str, typer.Argument(metavar="distill|finetune|evaluate")],
    run_dir: Annotated[Path, typer.Argument(metavar="RUN_DIR", help="a run whose stages before this one are done")],
) -> None:
    """One stage of a prepared run, also in several processes: accelerate launch -m delrec_kit stage distill RUN_DIR.
    With --use_fsdp before -m they share out the frozen weights, too."""
    if name not in SHARED_STAGES:
        raise KitError(f"unknown stage '{name}'{nearest(name, SHARED_STAGES)}")
    directory = RunDirectory.open(run_dir)
    from delrec_kit.run.processes import is_main
    from delrec_kit.study import stages

    make = {"distill": stages.distill_stage, "finetune": stages.finetune_stage, "evaluate": stages.evaluation_stage}
    make[name](directory)
    if is_main():
        typer.echo(f"{name}: done, in {directory.folder(SHARED_STAGES[name])}")


@app.command()
def check(run_dir: AnyRun) -> None:
    """Every file of every finished stage against its checksum; exit code 1 where something is wrong."""
    from delrec_kit.run.inspection import check_text

    text, well = check_text(RunDirectory.open(run_dir))
    typer.echo(text)
    if not well:
        waits = left(run_dir)
        more = f"; the run command with --redo goes on with {', '.join(waits)}" if waits else ""
        typer.echo(f"put a damaged file back, or delete the folder of its stage and run that again{more}", err=True)
        raise typer.Exit(FAILURE)


@app.command()
def status(run_dir: AnyRun) -> None:
    """How far each stage is: done, running or stopped; rate, time left and last metrics."""
    from delrec_kit.run.status import status_text

    directory = RunDirectory.open(run_dir)
    typer.echo(f"{directory.path}: profile {directory.config.profile}, seed {directory.config.seed}")
    typer.echo(status_text(directory))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code. A mistake of the user's is one line on stderr and code 2."""
    words = list(sys.argv[1:] if arguments is None else arguments) or ["--help"]
    return exit_code(lambda: app(words, prog_name="python -m delrec_kit", obj=words))


if __name__ == "__main__":
    sys.exit(main())
