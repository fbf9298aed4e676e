"""What a run says between two notebooks: the pictures that there are now, and how long the demo still takes."""

from collections.abc import Mapping, Sequence

from delrec_kit.run.directory import RunDirectory, read_json

DEMO = {"01": 17, "02": 28, "03": 52, "04": 48, "05a": 47, "05b": 54, "05c": 5}  # seconds on two free cores
SKIPPED = 2.0  # seconds under which a notebook was not run


def ahead(run: RunDirectory, took: Mapping[str, float], waiting: Sequence[str]) -> str:
    """Lines between the notebooks that ``took`` so many seconds and those ``waiting``; empty where there is nothing
    to say. The time left is that of the demo, at the pace of the notebooks before; other runs are too unlike."""
    last = next(reversed(took), None)
    told = _of_the_data(run) if last == "01" and took[last] > SKIPPED else []
    pictures = [path.name for path in sorted(run.figures.glob(f"{last}_*.png"))] if took.get(last, 0) > SKIPPED else []
    said = [f"pictures in {run.figures}: {', '.join(pictures)}"] if pictures else []
    if len(waiting) + len(took) > 1 and run.config.profile == "demo" and run.config.llm.name == "tiny":
        done = {name: seconds for name, seconds in took.items() if seconds > SKIPPED and name in DEMO}
        pace = sum(done.values()) / sum(DEMO[name] for name in done) if done else 1.0
        said.append(f"about {_told(pace * sum(DEMO.get(name, 0) for name in waiting))} left for {' '.join(waiting)}")
    return "\n".join(filter(None, [*told, "; ".join(said)]))


def _of_the_data(run: RunDirectory) -> list[str]:
    """What the data card says was left out, changed or is odd, for who sees no notebook."""
    card = run.folder("data") / "data.json"
    return [f"data: {notice}" for notice in read_json(card)["notices"]] if card.is_file() else []


def _told(seconds: float) -> str:
    return f"{seconds / 60:.0f} min" if seconds >= 90 else f"{10 * round(seconds / 10):.0f} s"
