"""What is exported gives the kit's scores through nothing but transformers, whatever the family, to 1e-3 nats."""

import json
import re
from pathlib import Path

import families
import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModel, AutoModelForCausalLM, AutoModelForSeq2SeqLM, AutoTokenizer

from delrec_kit.__main__ import main
from delrec_kit.run.directory import RunDirectory
from delrec_kit.run.files import read_marker, write_marker
from delrec_kit.settings.errors import KitError
from delrec_kit.settings.resolve import resolve
from delrec_kit.study import stages
from delrec_kit.study.export import export
from delrec_kit.study.people import users_of
from delrec_kit.study.study import Study

QUICK = [
    "data.world_users=60", "teacher.width=16", "teacher.layers=1", "teacher.epochs=1", "teacher.prefixes=1",
    "distill.k=3", "distill.examples=20", "finetune.examples=40", "finetune.methods=[delrec]",
    "train.epochs=1", "train.valid_users=8", "llm.history=4", "data.cold_items=0", "data.candidates=10",
    "evaluation.protocols=[]",
]  # fmt: skip
RUNS = {
    "tiny": ["llm.quantization=nf4"],
    "gemma3_text": ["llm.quantization=fp32", "llm.listed=false", "llm.prior=calibrated"],
    "qwen3": ["llm.quantization=fp32", "finetune.adapter=lora", "data.candidates=6"],
    "bert": ["llm.quantization=fp32"],
    "llama": ["llm.quantization=fp32", "distill.conditioned=2", "data.candidates=6"],
    "modernbert": ["llm.quantization=fp32", "distill.conditioned=2"],
}
TEXT = ["tiny", "gemma3_text", "bert"]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """name -> (run, exported folder, what export said), each made once."""
    known = {}

    def of(name):
        if name not in known:
            model = "tiny" if name == "tiny" else str(families.make_model(tmp_path_factory.mktemp("model"), name))
            config = resolve("smoke", [*QUICK, *RUNS[name], f"llm.name={json.dumps(model)}"])
            run = RunDirectory.create(tmp_path_factory.mktemp("run"), config)
            for stage in ("prepare", "teacher", "distill", "finetune"):
                getattr(stages, f"{stage}_stage")(run)
            stir(run.folder("adapter"))
            out = tmp_path_factory.mktemp("out") / "model"
            known[name] = run, out, export(run, out)
        return known[name]

    return of


def stir(stage):
    """An adapter that says a lot, whatever 40 examples have taught it, as the stage's own."""
    file = next(stage.glob("*/adapter_model.safetensors"))
    tensors, random = load_file(file), torch.Generator().manual_seed(0)
    for name, tensor in tensors.items():
        if "lora_" in name:
            tensors[name] = 0.3 * torch.randn(tensor.shape, generator=random)
    save_file(tensors, file)
    marker = read_marker(stage)
    write_marker(stage, {name: value for name, value in marker.items() if name != "files"})


def kit_scores(run, users=4):
    """Raw scores (U, m) of the kit, its scores with the prior, and cases and items."""
    study = Study(run)
    recommender = study.recommender("delrec")
    cases, items, _ = study.ranked("test")
    cases, items = cases.take(np.arange(users)), items[:users]
    return study, recommender, cases, items, recommender.scores(cases, items)


@torch.no_grad()
def log_p(model, tokenizer, gap, ids, title):
    """Of a title behind the ids of a prompt, by transformers alone: one plain forward pass."""
    answer = [*tokenizer(gap + title, add_special_tokens=False)["input_ids"], tokenizer.eos_token_id]
    if model.config.is_encoder_decoder:
        logits = model(input_ids=torch.tensor([ids]), labels=torch.tensor([answer])).logits[0]
    else:
        logits = model(input_ids=torch.tensor([[*ids, *answer]])).logits[0, len(ids) - 1 : -1]
    return sum(float(row.log_softmax(-1)[token]) for row, token in zip(logits, answer))


@pytest.mark.parametrize("name", ["tiny", "gemma3_text", pytest.param("qwen3", marks=pytest.mark.slow)])
def test_plain_text_gives_the_scores_of_the_kit(made, name):
    run, out, _ = made(name)
    study, recommender, cases, items, kit = kit_scores(run)
    titles, told = study.data.split.titles, json.loads((out / "scoring.json").read_text())
    tokenizer = AutoTokenizer.from_pretrained(out)
    model = (AutoModelForSeq2SeqLM if name == "tiny" else AutoModelForCausalLM).from_pretrained(out).eval()
    prior = pd.read_csv(out / "items.csv")["prior"].to_numpy()
    template = told["template"]
    assert "<P0><P1><P2>" in template and ("{candidates}" in template) == recommender.llm.lists
    found = np.empty(kit.shape)
    for row, (history, chosen) in enumerate(zip(cases.history, items)):
        text = template.replace("{history}", told["separator"].join(titles[i] for i in history[-4:]))
        text = text.replace("{candidates}", told["separator"].join(titles[i] for i in chosen))
        ids = tokenizer(text, add_special_tokens=told["add_special_tokens"])["input_ids"]
        raw = [log_p(model, tokenizer, told["gap"], ids, titles[i]) for i in chosen]
        found[row] = told["scale"] * np.array(raw) + prior[chosen - 1]
        kit_prompt = recommender.prompts(cases.take(np.array([row])), chosen[None])[0]
        assert [t for t in ids if t in set(kit_prompt.ids.tolist())] == [t for t in kit_prompt.ids if t >= 0]
    np.testing.assert_allclose(found, kit, atol=1e-3)
    assert np.abs(kit - kit.mean(axis=1, keepdims=True)).max() > 0.1, "scores that say something"


@pytest.mark.parametrize("name", ["tiny", "gemma3_text"])
def test_p_and_adapter_are_part_of_it(made, name):
    """Who leaves P out of the text, or takes the model without its adapter, gets other scores."""
    run, out, _ = made(name)
    told, tokenizer = json.loads((out / "scoring.json").read_text()), AutoTokenizer.from_pretrained(out)
    example = json.loads((out / "examples.jsonl").read_text().splitlines()[0])
    loader = AutoModelForSeq2SeqLM if name == "tiny" else AutoModelForCausalLM
    model = loader.from_pretrained(out).eval()
    whole, bare = (
        log_p(model, tokenizer, told["gap"], tokenizer(text)["input_ids"], example["candidates"][0])
        for text in (example["prompt"], example["prompt"].replace("<P0><P1><P2>", ""))
    )
    assert abs(whole - bare) > 1e-2
    kit = Study(run).recommender("delrec")
    assert [n for n, _ in kit.llm.model.named_parameters() if "lora_A" in n]
    assert not [n for n, _ in model.named_parameters() if "lora" in n]


def test_a_masked_encoder_compares_a_persons_vector_with_titles(made):
    run, out, _ = made("bert")
    study, _, cases, items, kit = kit_scores(run)
    titles, told = study.data.split.titles, json.loads((out / "scoring.json").read_text())
    tokenizer, model = AutoTokenizer.from_pretrained(out), AutoModel.from_pretrained(out).eval()
    vectors = load_file(out / "titles.safetensors")["vectors"]
    prior = pd.read_csv(out / "items.csv")["prior"].to_numpy()
    assert vectors.shape == (study.data.split.n_items, 64)
    for row, history in enumerate(cases.history):
        before, after = told["template"].split("{history}")
        shown = [titles[i] for i in history[-4:]]
        read = tokenizer(before + told["separator"].join(shown) + after, return_offsets_mapping=True)
        starts = np.cumsum([len(before)] + [len(t) + len(told["separator"]) for t in shown[:-1]])
        inside = [
            any(s <= a and b <= s + len(t) and a < b for s, t in zip(starts, shown)) for a, b in read["offset_mapping"]
        ]
        state = model(input_ids=torch.tensor([read["input_ids"]])).last_hidden_state[0][torch.tensor(inside)].mean(0)
        state = state.detach()
        cosines = torch.nn.functional.cosine_similarity(state[None], vectors[items[row] - 1])
        np.testing.assert_allclose(20 * cosines.numpy() + prior[items[row] - 1], kit[row], atol=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["llama", "modernbert"])
def test_a_p_that_depends_on_the_user_is_handed_on_as_embeddings(made, name, tmp_path):
    run, _, said = made(name)
    study = Study(run)
    users = [study.data.split.user_keys[u] for u in (3, 7)]
    export(run, tmp_path / "out", users=users)
    tensors = load_file(tmp_path / "out" / "prompt_embeds.safetensors")
    assert set(tensors) == set(users) and "0 of" not in said
    rows = [json.loads(line) for line in (tmp_path / "out" / "users.jsonl").read_text().splitlines()]
    recommender, people = study.recommender("delrec"), users_of(study, users)
    for place, row in enumerate(rows):
        items = np.array([[study.data.split.item_keys.index(key) for key in row["items"]]])
        kit = recommender.scores(people.cases.take(np.array([place])), items)[0]
        np.testing.assert_allclose(kit, row["scores"], atol=1e-3)
    assert not {"<P0>"} & set(AutoTokenizer.from_pretrained(tmp_path / "out").get_vocab())
    card = (tmp_path / "out" / "README.md").read_text()
    assert ("--enable-prompt-embeds" in card) == (name == "llama") and "another for each user" in card
    with pytest.raises(KitError, match="no user"):
        export(run, tmp_path / "other", users=["nobody"])


@pytest.mark.parametrize(
    "name", [*TEXT, pytest.param("llama", marks=pytest.mark.slow), pytest.param("modernbert", marks=pytest.mark.slow)]
)
def test_the_example_of_the_card_runs_and_gives_the_kits_scores(made, name, monkeypatch):
    out = made(name)[1]
    (code,) = [
        c for c in re.findall(r"```python\n(.*?)```", (out / "README.md").read_text(), re.DOTALL) if "vllm" not in c
    ]
    monkeypatch.chdir(out)
    names = {}
    exec(compile(code, "README.md", "exec"), names)
    np.testing.assert_allclose(names["scores"], names["example"]["scores"], atol=1e-3)
    assert np.ptp(names["scores"]) > 0.01


def test_the_card_says_what_holds(made):
    run, out, said = made("tiny")
    card = (out / "README.md").read_text()
    assert "60 of 60 plain texts are tokenised as in training" in said and said[1:] in card
    assert re.search(r"differ by at most \d\.?\d*(e-0\d)? nats, and 8 first choices are the same", said)
    assert "license: mit" in card and "of the model in nf4" in card and "dequantised" in card
    assert "GGUF" in card and "No peft prompt-tuning folder" in card and "vLLM had no T5" in card
    assert str(run.path) not in card and "data_dir" not in card
    gemma = (made("gemma3_text")[1] / "README.md").read_text()
    folder = Path(made("gemma3_text")[0].config.llm.name).parent
    assert "prompt_logprobs" in gemma and "dequantised" not in gemma and str(folder) not in gemma
    assert not list(out.parent.glob(".*")) and not list(out.glob("adapter*"))


def test_half_precision_is_said_and_measured(made, tmp_path):
    run = made("tiny")[0]
    said = export(run, tmp_path / "half", dtype="bfloat16")
    assert {t.dtype for t in load_file(tmp_path / "half" / "model.safetensors").values()} == {torch.bfloat16}
    difference = float(re.search(r"at most (\S+) nats", said)[1])
    assert 1e-3 < difference < 3 and "Weights are in bfloat16" in (tmp_path / "half" / "README.md").read_text()


def test_a_frozen_row_is_exported_without_adapter(made, tmp_path, capsys):
    run = made("bert")[0]
    assert main(["export", str(run.path), str(tmp_path / "frozen"), "--method", "llm_distilled_prompt"]) == 0
    assert "first choices are the same" in capsys.readouterr().out
    one, other = (load_file(f / "model.safetensors") for f in (tmp_path / "frozen", made("bert")[1]))
    assert any(not torch.equal(one[key], other[key]) for key in one), "the adapter had said something"


def test_what_cannot_be_exported_is_refused(made, tmp_path, capsys):
    run, out, _ = made("bert")
    for words, says in (
        ([str(out)], "is there already"),
        ([str(tmp_path / "o"), "--dtype", "float8"], "unknown dtype"),
        ([str(tmp_path / "o"), "--method", "delrek"], "no method 'delrek'"),
        ([str(tmp_path / "o"), "--method", "llm_teacher_items"], "cannot be asked in plain text"),
    ):
        assert main(["export", str(run.path), *words]) == 2
        assert says in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
