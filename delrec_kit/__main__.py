"""The command line: ``python -m delrec_kit run | sweep | report | recommend | stage``, thin over the notebooks."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, get_args

import typer

from delrec_kit.batch.notebooks import NotebookFailed, run_experiments, run_notebooks
from delrec_kit.run.directory import STAGES, RunDirectory
from delrec_kit.run.inputs import check_folders, looks_like_path
from delrec_kit.settings.config import DataConfig, KitConfig, resolve
from delrec_kit.settings.errors import KitError, nearest

USER_ERROR, FAILURE, INTERRUPTED = 2, 1, 130
SHARED_STAGES = {"distill": "prompt_stage", "finetune": "adapter_stage", "evaluate": "evaluation_stage"}
MANY = {"--columns", "--history", "--set"}  # options that take several values after one flag
DATASETS = get_args(DataConfig.model_fields["dataset"].annotation)

app = typer.Typer(add_completion=False, rich_markup_mode=None, help=__doc__)


@app.command(
    epilog="Settings for --set are the fields of delrec_kit/settings/config.py; config.json in a run lists them all."
)
def run(
    profile: Annotated[str, typer.Option(help="smoke, demo, cpu, minilm, colab-t4 or paper")] = "demo",
    dataset: Annotated[str | None, typer.Option(help=f"{', '.join(DATASETS[:-1])} or {DATASETS[-1]}")] = None,
    data_dir: Annotated[str | None, typer.Option(help="folder with the raw files")] = None,
    columns: Annotated[
        list[str] | None, typer.Option(metavar="NAME=THEIRS …", help="custom data: such as user=reviewer title=name")
    ] = None,
    llm: Annotated[str | None, typer.Option(help="tiny, minilm, a hub id or a folder")] = None,
    teacher: Annotated[str | None, typer.Option(help="sasrec, gru4rec or caser")] = None,
    seed: Annotated[str | None, typer.Option(help="of every random draw")] = None,
    run_dir: Annotated[Path | None, typer.Option(help="default: runs/DATASET-TEACHER-PROFILE-seedN")] = None,
    stages: Annotated[str, typer.Option(help="numbers of the notebooks to run, such as 03-05")] = ",".join(STAGES),
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="STAGE.FIELD=VALUE …", help="such as data.candidates=20")
    ] = None,
) -> None:
    """Run the numbered notebooks; what is done for these settings is skipped."""
    flags = {"data.dataset": dataset, "data.data_dir": data_dir, "llm.name": llm, "teacher.name": teacher, "seed": seed}
    overrides = [f"{key}={json.dumps(value)}" for key, value in flags.items() if value is not None and key != "seed"]
    overrides += _renamed(columns)
    overrides += [f"seed={seed}"] * (seed is not None) + (settings or [])
    numbers = _numbers(stages)
    config = resolve(profile, overrides)
    check_folders(config)
    overrides += _absolute(config)
    config = resolve(profile, overrides)
    if config.llm.name != "tiny" and set(numbers) & {"03", "04", "05"}:  # before a teacher is trained for nothing
        from delrec_kit.llm import check_reachable

        check_reachable(config.llm)
    directory = RunDirectory.create(run_dir or _default_folder(config), config)
    typer.echo(
        f"{directory.path}: profile {profile}, dataset {config.data.dataset}, teacher {config.teacher.name}, "
        f"LLM {config.llm.name}, seed {config.seed}"
    )
    run_notebooks(directory, profile, overrides, numbers)
    _summary(directory)


@app.command()
def report(
    run_dirs: Annotated[list[Path], typer.Argument(metavar="RUN_DIR …", help="run directories")],
    csv: Annotated[Path | None, typer.Option(metavar="FILE", help="write the numbers there too")] = None,
    markdown: Annotated[Path | None, typer.Option(metavar="FILE", help="write the table there too")] = None,
) -> None:
    """The comparison over one or many runs: mean ± standard deviation over seeds."""
    for file in (csv, markdown):
        if file is not None and not file.absolute().parent.is_dir():
            raise KitError(f"no folder {file.absolute().parent} to write {file.name} in")
        if file is not None and file.is_dir():
            raise KitError(f"{file} is a folder; name a file to write the report in")
    for folder in run_dirs:
        RunDirectory.open(folder).require("evaluation")
    _report(run_dirs, csv, markdown)


def _report(run_dirs: Sequence[Path], csv: Path | None, markdown: Path | None) -> None:
    from delrec_kit.evaluation import (
        costs_table,
        differences_table,
        report_table,
        report_text,
        times_table,
        write_report,
    )

    table = report_table(run_dirs)
    others = {
        "differences": differences_table(run_dirs),
        "costs": costs_table(run_dirs),
        "seconds": times_table(run_dirs).reset_index(),
    }
    typer.echo(report_text(table).to_string(index=False))
    for other in others.values():
        typer.echo("\n" + other.to_string(index=False, float_format="{:.3f}".format))
    write_report(table, csv, markdown, **others)


@app.command()
def sweep(
    grid: Annotated[
        Path, typer.Argument(metavar="GRID.yaml", help="profile, set and grid; see delrec_kit/batch/sweep.py")
    ],
    out: Annotated[Path | None, typer.Option(metavar="FOLDER", help="default: runs/ and the grid's name")] = None,
    jobs: Annotated[int, typer.Option(min=1, help="runs at a time; they share the cores")] = 1,
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="STAGE.FIELD=VALUE …", help="of every run, over what GRID says")
    ] = None,
) -> None:
    """Run every combination of a grid of settings, then report on all that ended well and execute notebook 06."""
    from delrec_kit.batch.sweep import read_grid, run_sweep

    cells = read_grid(grid, settings or [])
    folder = out or Path("runs") / grid.stem
    typer.echo(f"{len(cells)} runs in {folder}, {jobs} at a time")
    failed = run_sweep(cells, folder, jobs)
    done = [folder / cell.name for cell in cells if cell.name not in failed]
    if done:
        _report(done, folder / "report.csv", folder / "report.md")
        typer.echo(f"\ntables and figures  {run_experiments(folder)}, {folder / 'figures'}")
    if failed:
        what = f"{len(failed)} of {len(cells)} runs failed: {', '.join(failed)}"
        raise NotebookFailed(f"{what}; the same command takes them up")


@app.command()
def recommend(
    run_dir: Annotated[Path, typer.Argument(metavar="RUN_DIR", help="a run whose stages 01 to 04 are done")],
    history: Annotated[list[str], typer.Option(metavar="TITLE …", help="what was consumed, oldest first")],
    top: Annotated[int, typer.Option(min=1, help="how many to recommend")] = 10,
) -> None:
    """Rank titles for a person, with scores."""
    directory = RunDirectory.open(run_dir)
    directory.require("adapter")
    from delrec_kit.study import pipeline

    typer.echo(pipeline.recommend(directory, history, top).to_string(index=False, float_format="{:.3f}".format))


@app.command()
def explain(
    run_dir: Annotated[Path, typer.Argument(metavar="RUN_DIR", help="a run whose stages 01 to 04 are done")],
    user: Annotated[str, typer.Option(help="whose test case; an id of the data")],
    out: Annotated[Path, typer.Option(metavar="FILE", help="the page to write")] = Path("explanation.html"),
    method: Annotated[
        str | None, typer.Option(help="a row of the comparison with a language model; default: delrec")
    ] = None,
) -> None:
    """One user's choice taken apart, as a web page that needs no server."""
    if not out.absolute().parent.is_dir() or out.is_dir():
        raise KitError(f"{out} cannot be written: name a file in a folder that is there")
    directory = RunDirectory.open(run_dir)
    directory.require("adapter")
    from delrec_kit.study import pipeline
    from delrec_kit.study.explain import explain_user

    out.write_text(explain_user(pipeline.workbench(directory), user, method), encoding="utf-8")
    typer.echo(f"wrote {out}")


@app.command()
def stage(
    name: Annotated[str, typer.Argument(metavar="distill|finetune|evaluate")],
    run_dir: Annotated[Path, typer.Argument(metavar="RUN_DIR", help="a run whose stages before this one are done")],
) -> None:
    """One stage of a prepared run, also in several processes: accelerate launch -m delrec_kit stage distill RUN_DIR."""
    if name not in SHARED_STAGES:
        raise KitError(f"unknown stage '{name}'{nearest(name, SHARED_STAGES)}")
    directory = RunDirectory.open(run_dir)
    from delrec_kit.run.processes import is_main
    from delrec_kit.study import pipeline

    getattr(pipeline, SHARED_STAGES[name])(directory)
    if is_main():
        typer.echo(f"{name}: done, in {directory.folder(SHARED_STAGES[name].removesuffix('_stage'))}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code. A mistake of the user's is one line on stderr and code 2."""
    command = typer.main.get_command(app)
    words = spread(list(sys.argv[1:] if arguments is None else arguments)) or ["--help"]
    try:
        code = command.main(words, prog_name="python -m delrec_kit", standalone_mode=False)
        if code == INTERRUPTED:  # how typer hands on Ctrl-C
            raise KeyboardInterrupt
        return code if isinstance(code, int) else 0
    except KitError as error:
        return _say(str(error), USER_ERROR)
    except NotebookFailed as error:
        return _say(str(error), FAILURE)
    except (KeyboardInterrupt, typer.Abort):
        return _say("interrupted; the same command takes it up again", INTERRUPTED)
    except Exception as error:
        if not hasattr(error, "format_message"):
            raise
        return _say(_usage(command, words, error), USER_ERROR)


def spread(words: Sequence[str]) -> list[str]:
    """Give each value after ``--history`` or ``--set`` a flag of its own, until the next word that starts with --."""
    spreading, result = None, []
    for place, word in enumerate(words):
        if word.startswith("--"):
            spreading = word if word in MANY else None
            alone = place + 1 == len(words) or words[place + 1].startswith("--")
            if spreading is None or alone:
                result.append(word)
        else:
            result.append(word if spreading is None else f"{spreading}={word}")
    return result


def _usage(command, words: Sequence[str], error: Exception) -> str:
    """click's message in one line, with the nearest flag or command."""
    text = " ".join(error.format_message().split()).rstrip(".")
    commands = command.commands
    inside = commands.get(words[0]) if words else None
    if type(error).__name__ == "NoSuchOption" and inside is not None:
        known = [name for parameter in inside.params for name in parameter.opts if name.startswith("--")]
        return f"unknown flag {error.option_name}{nearest(error.option_name, known)}"
    if words and inside is None and not words[0].startswith("-"):
        return f"unknown command '{words[0]}'{nearest(words[0], commands)}"
    return f"{text[0].lower()}{text[1:]}; see python -m delrec_kit {words[0] if inside else ''} --help"


def _say(message: str, code: int) -> int:
    typer.echo(f"error: {' '.join(message.split())}", err=True)
    return code


def _renamed(columns: Sequence[str] | None) -> list[str]:
    pairs = [text.partition("=")[::2] for text in columns or ()]
    for ours, theirs in pairs:
        if not theirs:
            raise KitError(f"--columns takes name=theirs, such as user=reviewer, not '{ours}'")
    return [f"data.columns={json.dumps(dict(pairs))}"] if pairs else []


def _numbers(stages: str) -> list[str]:
    wanted = []
    for part in (part.strip() for part in stages.split(",") if part.strip()):
        first, last = (number.strip().zfill(2) for number in (part.partition("-")[0], part.rpartition("-")[2]))
        for number in (first, last):
            if number not in STAGES:
                raise KitError(f"unknown stage '{number}' (known: {', '.join(STAGES)}, or a range such as 03-05)")
        wanted += [number for number in STAGES if first <= number <= last]
    if not wanted:
        raise KitError(f"--stages names no stage (known: {', '.join(STAGES)})")
    return [number for number in STAGES if number in wanted]


def _absolute(config: KitConfig) -> list[str]:
    """Folders as seen from where the user stands; the notebooks run elsewhere."""
    folders = {"data.data_dir": config.data.data_dir}
    if looks_like_path(config.llm.name) or (config.llm.name != "tiny" and Path(config.llm.name).is_dir()):
        folders["llm.name"] = config.llm.name
    return [f"{key}={json.dumps(str(Path(f).expanduser().resolve()))}" for key, f in folders.items() if f is not None]


def _default_folder(config: KitConfig) -> Path:
    return Path("runs") / f"{config.data.dataset}-{config.teacher.name}-{config.profile}-seed{config.seed}"


def _summary(run: RunDirectory) -> None:
    """The comparison in brief, if there is one for these settings, and where to look further."""
    if run.is_done("evaluation"):
        from delrec_kit.evaluation import comparison_table, load_comparison

        comparison = load_comparison(run.folder("evaluation"))
        table = comparison_table(comparison)
        brief = [column for column in table if column not in ("HR@1", "NDCG@10")]
        table[brief] = table[brief].map(lambda cell: cell.partition(" ")[0])
        typer.echo(
            f"\n{comparison['users']} users, the answer among {comparison['m']}; "
            f"in brackets 95 % intervals, all of them in {run.folder('evaluation') / 'comparison.json'}"
        )
        typer.echo(table.to_string())
    typer.echo(f"\nexecuted notebooks  {run.path / 'notebooks'}\nfigures             {run.figures}")


if __name__ == "__main__":
    sys.exit(main())
