"""The README is short and plain, and its numbers are those of committed results."""

import re
from pathlib import Path

import pandas as pd
import pytest

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
DECIMAL = re.compile(r"(?<![\w.])-?\d*\.\d+\b(?!\.)")
DIFFERENCES = [  # what the README says, the file that it comes from, a, b
    (
        "P lifts a frozen model's HR@1 by {}, without one true label",
        "demo_differences",
        "llm_distilled_prompt",
        "llm_zero_shot",
    ),
    ("and by {} at most with a thousand or more", "demo_differences", "delrec", "llm_finetuned"),
    ("DELRec leads fine-tuning by {} with 100 labels", "demo_why_differences", "delrec", "llm_finetuned"),
    ("P lifts a frozen Gemma 270M by {}", "gemma_differences", "llm_distilled_prompt", "llm_zero_shot"),
]
ALT = {"teacher": "teacher", "Markov": "markov", "DELRec": "delrec", "fine-tuned": "llm_finetuned"}
ALT |= {"distilled P": "llm_distilled_prompt", "without P": "llm_zero_shot"}


def prose() -> list[str]:
    text = re.sub(r"```.*?```", "", README, flags=re.S)
    text = re.sub(r"^\|.*$|^#.*$|!\[.*?\]\(.*?\)", "", text, flags=re.M)
    text = re.sub(r"\]\([^)]*\)", "]", text)
    return [s for block in re.split(r"\n\s*\n|\n- ", text) for s in re.split(r"(?<=[.!?:;])\s+", block.strip()) if s]


def shown(value: float) -> str:
    return f"{value:.2f}".replace("0.", ".")


def test_it_is_short():
    assert README.count("\n") <= 150 and len(DECIMAL.findall(README)) <= 60


def test_no_sentence_is_long():
    long = [sentence for sentence in prose() if len(sentence.split()) > 40]
    assert not long, long
    words = [len(sentence.split()) for sentence in prose()]
    assert sum(words) / len(words) < 20


@pytest.mark.parametrize("sentence, file, a, b", DIFFERENCES)
def test_a_difference_is_that_of_the_committed_result(sentence, file, a, b):
    table = pd.read_csv(ROOT / "figures" / f"{file}.csv")
    if "examples" in table:
        table = table[table["examples"] == int(re.search(r"(\d+) labels", sentence)[1])]
    table = table.set_index(["a", "b", "metric"])
    row = table.loc[(a, b, "HR@1")]
    assert sentence.format(shown(row["value"])) in README
    assert row["sure"], "the README states what is sure"


def test_the_picture_s_words_are_those_of_its_numbers():
    alt = re.search(r"!\[(HR@1 over three seeds of the demo:.*?)\]\(figures/demo_results.png\)", README)[1]
    table = pd.read_csv(ROOT / "figures" / "demo_results.csv").query("metric == 'HR@1'").set_index("method")["value"]
    said = dict(re.findall(r"([A-Za-z][\w \-]*?) (\.\d\d)", alt.partition(":")[2]))
    assert {name: shown(table[row]) for name, row in ALT.items()} == said


def test_every_link_leads_somewhere():
    for target in re.findall(r"\]\((?!http)([^)#]+)(?:#[^)]*)?\)", README):
        assert (ROOT / target).exists(), target
