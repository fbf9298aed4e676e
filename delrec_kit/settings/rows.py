"""The rows of a run's comparison by names that say what P they have, see ``methods.named``."""

from typing import TYPE_CHECKING

from delrec_kit.settings.methods import base_of, named

if TYPE_CHECKING:
    from delrec_kit.settings.config import KitConfig


def frozen_rows(config: "KitConfig") -> list[str]:
    """Those with the frozen language model."""
    return [named(name, config.distill.conditioned, config.distill.tasks) for name in config.evaluation.methods]


def adapted_rows(config: "KitConfig") -> list[str]:
    """Those that learn in stage 2."""
    return [named(name, config.distill.conditioned, config.distill.tasks) for name in config.finetune.methods]


def all_rows(config: "KitConfig") -> list[str]:
    """Every row with a language model, the frozen ones first. Raises ValueError where two would be the same, or a name
    says what the settings do not."""
    rows = [*frozen_rows(config), *adapted_rows(config)]
    if len(set(rows)) < len(rows):
        raise ValueError(f"two rows would be the same: {rows}")
    return rows


def called(config: "KitConfig", name: str) -> str:
    """The row ``name`` as this run calls it, whose P may not be the paper's; any other name as it is."""
    rows = all_rows(config)
    return name if name in rows else {base_of(row): row for row in rows}.get(name, name)
