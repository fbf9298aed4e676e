"""The stages of a run: what each depends on, and so what makes it stale."""

from delrec_kit.run.config_file import differing
from delrec_kit.settings.config import KitConfig

STAGES = {  # number of the notebook -> what it makes
    "01": "data", "02": "teacher", "03": "prompt", "04": "adapter", "05a": "evaluation", "05b": "interpretation",
}  # fmt: skip
DEPENDS = {  # settings that a stage reads, beyond those of the stages before it
    "data": ("seed", "data"),
    "teacher": ("teacher",),
    "prompt": ("llm", "train", "distill"),
    "adapter": ("finetune",),
    "evaluation": ("evaluation",),
    "interpretation": (),
}
# settings that older runs lack, and with which value these stay done: that of what the kit did then (but for the folds
# of fewer than 500 people, which were two)
LATER = [("finetune", "epochs", 0), ("teacher", "folds", 0)]
SAYS = "{key} was {there}, and config.json says {asked}"


def number_of(stage: str) -> str:
    """The number of the notebook that makes ``stage``."""
    return next(number for number, name in STAGES.items() if name == stage)


def until(stage: str) -> list[str]:
    """The stages before ``stage``, and itself."""
    return list(DEPENDS)[: list(DEPENDS).index(stage) + 1]


def counted_settings(config: KitConfig) -> dict:
    """The settings, without where raw data lie, for what counts of a folder is what lies in it, without how many
    prompts the memory holds at a time, and without what came later and is as it was before: runs of an older kit stay
    done."""
    settings = config.model_dump(mode="json")
    settings["data"].pop("data_dir")
    settings["train"].pop("at_once")
    for stage, field, before in LATER:
        if settings[stage][field] == before:
            settings[stage].pop(field)
    return settings


def why_stale(marker: dict, now: dict) -> str:
    """In what the record of a stage differs from ``now``: settings and inputs that it reads, results before it."""
    if not now.keys() <= marker.keys():  # of an older kit
        return "was made with other settings, or from other results"
    if marker["settings"] != now["settings"]:
        return f"was made with other settings: {differing(marker['settings'], now['settings'], SAYS)}"
    read = marker["inputs"], now["inputs"]
    files = [name for name in {**read[0], **read[1]} if read[0].get(name) != read[1].get(name)]
    results = [name for name in now["before"] if marker["before"].get(name) != now["before"][name]]
    changed = [f"the file {name}" for name in files] + [f"the results of stage {number_of(name)}" for name in results]
    return f"was made before {', '.join(changed) or 'an earlier stage'} changed"
