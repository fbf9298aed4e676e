"""Frozen weights spread over processes: every family answers and learns as with the whole of them."""

from pathlib import Path

import families
import pytest

from delrec_kit.llm.sharding import check_shardable
from delrec_kit.settings.errors import KitError

NAMES = ("llama", "gemma3_text", "bert")


@pytest.mark.slow
def test_two_processes_hold_a_model_together(launch, toy_llm_folder, tmp_path):
    folders = [toy_llm_folder, *(families.make_model(tmp_path / name, name) for name in NAMES)]
    said = launch(2, str(Path(__file__).with_name("spread.py")), *map(str, folders), cwd=tmp_path)
    assert said.count("alike") == 2 * len(folders)


def test_eight_bit_weights_are_refused():
    with pytest.raises(KitError, match="int8 cannot be spread over processes; take nf4"):
        check_shardable("int8")
