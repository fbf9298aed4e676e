"""A run through all stages on a random model of a family, as the test module's MODEL and SETTINGS say."""

import json

import families
import pytest

from delrec_kit.run.directory import RunDirectory
from delrec_kit.settings.resolve import resolve
from delrec_kit.study import stages


@pytest.fixture(scope="module")
def run(request, tmp_path_factory):
    model = families.make_model(tmp_path_factory.mktemp("model"), request.module.MODEL)
    config = resolve("smoke", [*request.module.SETTINGS, f"llm.name={json.dumps(str(model))}"])
    run = RunDirectory.create(tmp_path_factory.mktemp("run"), config)
    for stage in ("prepare", "teacher", "distill", "finetune", "evaluation", "interpretation"):
        getattr(stages, f"{stage}_stage")(run)
    return run
