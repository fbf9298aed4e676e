"""Recommendations for many people into a file, by this process or shared among several."""

import sys
from collections.abc import Sequence
from pathlib import Path

from delrec_kit.batch.elsewhere import On, Runner, each_through, runner
from delrec_kit.settings.errors import KitError
from delrec_kit.study.parts import write_recommendations, write_share
from delrec_kit.study.people import People
from delrec_kit.study.study import Study


def to_file(
    study: Study, people: People, top: int, out: Path, words: Sequence[str], by: tuple[int, On, Sequence[str]]
) -> str:
    """``write_recommendations``; by: how many processes, where, and the engine's options (``elsewhere.runner``). Each
    is ``python -m delrec_kit`` with the same ``words`` as this process, and its share; no more are started than parts
    are missing, and none of this machine for a single part. Returns a sentence on who got none, empty where all did."""
    jobs, on, options = by
    if jobs == 1 and on == "here":
        return write_recommendations(study, people, top, out)
    where = runner(on, jobs, out.absolute().parent, options)

    def shared(parts: Path, missing: int) -> bool:
        if on == "here" and missing == 1:
            return False
        few = min(jobs, missing)
        _each(words, few, runner(on, few, parts, []) if on == "here" else where, parts)  # few share all the cores
        return True

    return write_recommendations(study, people, top, out, shared=shared)


def a_share(study: Study, people: People, top: int, out: Path, share: str) -> None:
    """The part of one of these processes, such as "2/8"."""
    number, _, of = share.partition("/")
    if not (number.isdecimal() and of.isdecimal() and int(number) < int(of)):
        raise KitError(f"--share {share}: write NUMBER/OF, such as 0/4")
    write_share(study, people, top, out, int(number), int(of))


def _each(words: Sequence[str], jobs: int, where: Runner, parts: Path) -> None:
    def work(share: int) -> None:
        command = [sys.executable, "-m", "delrec_kit", *words, "--share", f"{share}/{jobs}"]
        where(command, parts / f"share-{share}.log")

    each_through(work, range(jobs), jobs, where)
