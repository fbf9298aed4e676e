"""Two runs that nobody disturbs are equal file by file; one that is killed and taken up again is equal to them."""

import json
import random
import shutil

import pytest

from delrec_kit.run.directory import RunDirectory
from delrec_kit.study.study import DISTILLED
from tools.chaos.compare import differences, leftovers
from tools.chaos.kill import STAGES, disturbed, undisturbed

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    run = tmp_path_factory.mktemp("chaos") / "reference"
    return run, undisturbed(STAGES, run)


def test_two_undisturbed_runs_are_equal_file_by_file(reference, tmp_path):
    """Times, memory and surroundings apart: the columns and keys that ``compare`` names."""
    one, _ = reference
    undisturbed(STAGES, tmp_path / "other")
    assert differences(one, tmp_path / "other") == []
    assert leftovers(one) == []


def test_a_run_that_is_killed_again_and_again_loses_nothing(reference, tmp_path):
    one, seconds = reference
    tally = disturbed(STAGES, tmp_path / "killed", seconds, 3, random.Random(1))
    assert tally.kills and not tally.failures and not tally.orphans
    assert differences(one, tmp_path / "killed") == [] and leftovers(tmp_path / "killed") == []


def test_a_difference_is_seen(reference, tmp_path):
    one, _ = reference
    for number, (name, change) in enumerate(
        {
            f"prompt/{DISTILLED}": lambda content: content[:-1] + bytes([content[-1] ^ 1]),
            "evaluation/comparison.json": lambda content: content.replace(b'"users"', b'"user"'),
            "adapter/curve.csv": lambda content: content.replace(b"valid_loss", b"loss"),
        }.items()
    ):
        other = tmp_path / str(number)
        shutil.copytree(one, other)
        content = (other / name).read_bytes()
        assert change(content) != content
        (other / name).write_bytes(change(content))
        assert differences(one, other) == [name]
    (tmp_path / "0" / ".prompt.draft").mkdir()
    assert leftovers(tmp_path / "0") == [".prompt.draft"]
    kept = json.loads((one / "adapter" / "delrec" / "metrics.json").read_text())
    assert kept["ranks"] and RunDirectory.open(one).require("evaluation")
