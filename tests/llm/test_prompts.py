import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

SLOTS = {
    "final": {"history": [1, 2, 5], "candidates": [4, 6]},
    "rps": {"history": [1, 2], "candidates": [4, 6, 7]},
}


@settings(max_examples=25, deadline=None)
@given(k=st.integers(1, 40))
def test_soft_tokens_stand_in_order_in_mid_prompt(writer_once, k):
    prompt = writer_once.write("final", SLOTS["final"], k)
    place = np.flatnonzero(prompt.ids < 0)
    np.testing.assert_array_equal(prompt.ids[place], np.arange(-1, -k - 1, -1))
    assert place[0] > 5 and place[-1] < len(prompt.ids) - 5


@pytest.fixture(scope="module")
def writer_once(toy_llm_folder):
    from transformers import AutoTokenizer

    from delrec_kit.data import Domain
    from delrec_kit.llm import PromptWriter

    titles = ["", *(f"Film {i}" for i in range(1, 12))]
    return PromptWriter(AutoTokenizer.from_pretrained(toy_llm_folder), Domain(), titles)


def test_the_text_reads_as_written(writer):
    prompt = writer.write("final", SLOTS["final"], text="likes what is like the last one")
    words = "".join(writer.tokenizer.convert_ids_to_tokens(prompt.ids.tolist())).replace("##", "")
    assert words == (
        "Thispersonwatchedthesefilms,oldestfirst:RedMoon;BlueMoonRising;TheLastHarbourSong."
        "Pattern:likeswhatislikethelastone.Fromthelist:SilentHarbour;Rising.Thenextfilmtheywatchis</s>"
    )


def test_what_is_absent_leaves_no_trace(writer):
    without = writer.write("rps", SLOTS["rps"])
    with_rest = writer.write("rps", SLOTS["rps"] | {"teacher": [7, 8]})
    text = "".join(writer.tokenizer.convert_ids_to_tokens(without.ids.tolist()))
    assert "Pattern" not in text and "likes" not in text
    assert sum(s.name == "teacher" for s in with_rest.segments) == 2


def test_nouns_follow_the_dataset(plain_llm):
    from delrec_kit.data import Domain
    from delrec_kit.llm import PromptWriter

    domain = Domain(noun="game", plural="games", past="played", present="play")
    prompt = PromptWriter(plain_llm.tokenizer, domain, ["", "A", "B", "C", "D", "E", "F"]).write(
        "final", SLOTS["final"]
    )
    text = "".join(plain_llm.tokenizer.convert_ids_to_tokens(prompt.ids.tolist())).replace("##", "")
    assert "playedthesegames" in text and "nextgametheyplayis" in text
