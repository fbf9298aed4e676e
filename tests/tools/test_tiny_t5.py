"""How the tiny T5 is trained: tokenizer, rules and their satisfying sets, the flat forward pass, resuming."""

import ast
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import tools.tiny_t5 as package
from delrec_kit.llm.families.encoder_decoder import EncoderDecoder
from delrec_kit.llm.titles import PackedTitles
from tools.tiny_t5.corpus import FACTS, GENRES, KIND_WEIGHTS, TASKS, Corpus, Level, silent_rule
from tools.tiny_t5.forward import FlatT5
from tools.tiny_t5.network import new_network
from tools.tiny_t5.rules import Rule
from tools.tiny_t5.train import Plan, Trainer, first_choice_right

SHORT = Level(2, 4, 6, 8, 0.5)


@pytest.fixture(scope="module")
def corpus():
    return Corpus()


def place(corpus: Corpus, start: str) -> int:
    return next(i for i, title in enumerate(corpus.films["title"]) if title.startswith(start))


def of_genre(corpus: Corpus, name: str, count: int) -> list[int]:
    alone = (corpus.catalogue.genre == GENRES.index(name)) & (corpus.catalogue.series < 0)
    return list(np.flatnonzero(alone)[:count])


def test_every_title_is_a_few_whole_words_and_comes_back(corpus):
    for title in corpus.titles[1:]:
        tokens = corpus.tokenizer.tokenize(title)
        assert len(tokens) <= 4
        assert not any(token.startswith("##") or token == "<unk>" for token in tokens)
        ids = corpus.tokenizer(title)["input_ids"]
        assert ids[-1] == corpus.tokenizer.eos_token_id
        assert corpus.tokenizer.decode(ids, skip_special_tokens=True) == title


@pytest.mark.parametrize("text", ["The Matrix (1999)", "Amélie", "(500) Days of Summer", "x" * 500])
def test_other_words_are_spelled(corpus, text):
    ids = corpus.tokenizer(text, add_special_tokens=False)["input_ids"]
    assert len(ids) >= len(text.split())
    if len(text) < 200:
        assert corpus.tokenizer.unk_token_id not in ids


@given(st.text(max_size=40))
@settings(max_examples=60, deadline=None)
def test_any_text_can_be_encoded(text):
    tokenizer = _shared_tokenizer()
    ids = tokenizer(text)["input_ids"]
    assert ids[-1] == tokenizer.eos_token_id
    assert max(ids) < len(tokenizer)


@cache
def _shared_tokenizer():
    return Corpus().tokenizer


def test_rules_favour_what_they_say(corpus):
    horror, comedy, war = (of_genre(corpus, name, 4) for name in ("horror", "comedy", "war"))
    rule = corpus.rules.simple
    history = np.array([war[0], comedy[0], comedy[1], horror[0]])
    candidates = np.array([horror[1], comedy[2], war[1]])
    expected = {
        "last": [1, 0, 0],
        "first": [0, 0, 1],
        "before": [0, 1, 0],
        "often": [0, 1, 0],
        "different": [0, 1, 1],
        "sequel": [0, 0, 0],
    }
    for kind, favoured in expected.items():
        assert rule[kind](history, candidates).tolist() == [bool(f) for f in favoured], kind
    years = corpus.catalogue.year[candidates]
    assert rule["newest"](history, candidates).tolist() == (years == years.max()).tolist()
    assert rule["oldest"](history, candidates).tolist() == (years == years.min()).tolist()
    assert silent_rule(corpus.catalogue).favours(history, candidates).tolist() == [1, 2, 1]


def test_a_sequel_is_the_next_part_and_no_other(corpus):
    series = corpus.films[(corpus.films["series"] == corpus.films["series"].max())].sort_values("part").index.to_numpy()
    history = np.array([of_genre(corpus, "war", 1)[0], series[1]])
    candidates = np.array([series[0], series[2], series[3], of_genre(corpus, "crime", 1)[0]])
    assert corpus.rules.simple["sequel"](history, candidates).tolist() == [False, True, False, False]
    assert corpus.rules.simple["series"](history, candidates).tolist() == [True, True, True, False]
    assert not corpus.rules.simple["sequel"](history[:1], candidates).any()


def test_drawn_rules_mean_what_their_words_say(corpus):
    rng = np.random.default_rng(0)
    horror, comedy = of_genre(corpus, "horror", 2), of_genre(corpus, "comedy", 2)
    for _ in range(40):
        likes, dislikes = corpus.rules.draw("likes", rng), corpus.rules.draw("not", rng)
        candidates = np.arange(corpus.items)
        named = next(g for g, name in enumerate(GENRES) if name in likes.text.split())
        assert (likes.favours(candidates[:1], candidates) == (corpus.catalogue.genre == named)).all()
        named = next(g for g, name in enumerate(GENRES) if name in dislikes.text.split())
        assert (dislikes.favours(candidates[:1], candidates) == (corpus.catalogue.genre != named)).all()
        after = corpus.rules.draw("after", rng)
        for clause in after.text.split(", "):
            _, before, _, then = clause.split()
            last = np.array([np.flatnonzero(corpus.catalogue.genre == GENRES.index(before))[0]])
            assert (after.favours(last, candidates) == (corpus.catalogue.genre == GENRES.index(then))).all()
    unless = corpus.rules.draw("unless", np.random.default_rng(2))
    assert " else " in unless.text
    mostly = corpus.rules.draw("mostly", np.random.default_rng(2))
    assert mostly.text.startswith("mostly ")
    assert mostly.favours(np.array(horror), np.array(comedy)).shape == (2,)


def test_batches_are_well_formed(corpus):
    for task in TASKS:
        for kind in (*KIND_WEIGHTS, "silent"):
            batch = corpus.ruled(SHORT, task, kind, np.random.default_rng(0))
            assert batch.targets.sum(1) == pytest.approx(1.0)
            assert all(len(set(row)) == SHORT.m for row in batch.candidates)
            slots = {segment.name for segment in batch.prompts[0].segments}
            assert "candidates" in slots
            assert ("soft" in slots) == (kind != "silent")
    for fact in FACTS:
        batch = corpus.facts(SHORT, fact, np.random.default_rng(0))
        assert batch.targets.sum(1) == pytest.approx(1.0)


def test_the_corpus_is_a_function_of_its_seed(corpus):
    one, two, other = (corpus.training_batch(SHORT, np.random.default_rng(seed)) for seed in (5, 5, 6))
    assert all(np.array_equal(a.ids, b.ids) for a, b in zip(one.prompts, two.prompts, strict=True))
    assert not all(np.array_equal(a.ids, b.ids) for a, b in zip(one.prompts, other.prompts, strict=False))


def test_no_module_of_the_training_can_reach_a_person():
    """Nothing in the package imports the world, prepared data or interactions: only the catalogue's titles."""
    for path in Path(package.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("delrec_kit.data"):
                names = {alias.name for alias in node.names}
                assert node.module == "delrec_kit.data.made_world.titles" or names <= {"Domain"}, (
                    path.name,
                    node.module,
                )


def test_the_flat_pass_equals_transformers(corpus):
    network = new_network(len(corpus.tokenizer), 64, 2, 2, 0)
    llm = EncoderDecoder(network, corpus.tokenizer, {}, corpus.writer.format)
    batch = corpus.ruled(SHORT, "ta", "unless", np.random.default_rng(1))
    prompts = corpus.writer.batch(batch.prompts)
    titles = PackedTitles.build(corpus.writer.table, batch.candidates, 0)
    with torch.no_grad():
        scores, state = FlatT5(dict(network.state_dict()), network.config).scores(prompts, titles)
        expected = llm.score_titles(prompts, titles)
    assert torch.allclose(scores, expected, atol=1e-3)
    assert expected.std() > 0.5
    assert state.shape == (SHORT.batch, 64)


def test_training_learns_and_resumes_where_it_stopped(corpus, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("tools.tiny_t5.train.LEVELS", (Level(2, 3, 3, 16, 0.0), Level(2, 3, 4, 16, 0.5)))
    plan = Plan(steps=12, width=64, encoder_layers=1, decoder_layers=1, warmup=2)
    whole = Trainer(plan, tmp_path / "whole").run().state_dict()
    monkeypatch.setattr("tools.tiny_t5.train.CHECKPOINT_EVERY", 5)
    half = Trainer(plan, tmp_path / "cut")
    monkeypatch.setattr(half, "_done", lambda: half.step / plan.steps if half.step < 10 else 1.0)
    half.run()
    resumed = Trainer(plan, tmp_path / "cut")
    assert resumed.step == 10
    tensors = resumed.run().state_dict()
    start = new_network(len(corpus.tokenizer), 64, 1, 1, 0).state_dict()
    for name, tensor in whole.items():
        torch.testing.assert_close(tensor, tensors[name], rtol=1e-4, atol=1e-5, msg=name)
    assert (whole["shared.weight"] - start["shared.weight"]).abs().max() > 1e-3
    assert "resuming at step 10" in capsys.readouterr().out


def test_right_means_among_the_most_favoured():
    targets = np.array([[0.5, 0.5, 0.0], [0.7, 0.3, 0.0], [0.7, 0.3, 0.0]])
    scores = np.array([[0.0, 1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    assert first_choice_right(scores, targets).tolist() == [True, True, False]


def test_a_rule_is_plain_data():
    rule = Rule("likes", "likes war", lambda history, candidates: candidates > 0)
    assert rule.favours(np.array([0]), np.array([0, 1])).tolist() == [False, True]
