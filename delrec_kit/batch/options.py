"""Words of the command line that several commands take."""

from pathlib import Path
from typing import Annotated

import typer

from delrec_kit.batch.elsewhere import On

Settings = Annotated[list[str] | None, typer.Option("--set", metavar="STAGE.FIELD=VALUE", help="such as distill.k=20")]
Jobs = Annotated[int, typer.Option(min=1, help="runs or processes at a time; on one machine they share its cores")]
Where = Annotated[On, typer.Option(help="this machine, or an engine that finds others; see docs/models.md")]
EngineOptions = Annotated[list[str] | None, typer.Option(metavar="NAME=VALUE", help="such as slurm_partition=gpu")]
RunDir = Annotated[Path, typer.Argument(metavar="RUN_DIR", help="a run whose stages 01 to 04 are done")]
AnyRun = Annotated[Path, typer.Argument(metavar="RUN_DIR", help="a run, finished or not")]
