"""What a run directory holds, stage by stage, looked at from outside and without changing it."""

from collections.abc import Iterator

from delrec_kit.run.directory import RunDirectory
from delrec_kit.run.files import Damage, damages, read_marker
from delrec_kit.run.stages import DEPENDS, number_of

WHOLE, NOT_RUN = "whole", "not run"


def checked(run: RunDirectory) -> Iterator[tuple[str, str, int, list[str]]]:
    """Every file of every stage against its checksum: number and name of the stage, how many files were written, and
    a line for each thing that is wrong. What was not run is not wrong."""
    for stage in DEPENDS:
        folder = run.folder(stage)
        if not folder.exists():
            yield number_of(stage), stage, 0, []
            continue
        marker, wrong = read_marker(folder), [f"{each.file} {each.what}" for each in damages(folder)]
        if not isinstance(marker, Damage) and (reason := run.undone(stage)) is not None:
            wrong.append(reason)
        yield number_of(stage), stage, 0 if isinstance(marker, Damage) else len(marker.get("files", {})), wrong


def check_text(run: RunDirectory) -> tuple[str, bool]:
    """The table of ``checked`` to read, and whether all is well."""
    lines, well = [], True
    for number, stage, files, wrong in checked(run):
        well = well and not wrong
        there = run.folder(stage).exists()
        known = f"{files} files" if files or not there else "no checksums: made by an older kit"
        says = [*wrong[:5], *([f"and {len(wrong) - 5} more"] if len(wrong) > 5 else [])]
        says = says or ([f"{WHOLE}, {known}"] if there else [NOT_RUN])
        lines += [f"{(number if not n else ''):<5}{(stage if not n else ''):<16}{text}" for n, text in enumerate(says)]
    return "\n".join(lines), well
