"""The bound on prompts' lengths against all that a run truly writes, and the line that says what to lower."""

import json
import shutil
import time

import families
import numpy as np
import pytest
import torch
from transformers import AutoConfig

from delrec_kit.data import Cases, Domain, PreparedData, Ragged
from delrec_kit.data.split import Split
from delrec_kit.llm import LlmRecommender, PromptWriter, load_llm, words_of
from delrec_kit.llm.families.positions import positions
from delrec_kit.run.directory import RunDirectory
from delrec_kit.settings.config import LlmConfig
from delrec_kit.settings.errors import KitError
from delrec_kit.settings.resolve import resolve
from delrec_kit.study import stages
from delrec_kit.study.lengths import Lengths, check_prompts_fit
from delrec_kit.study.study import Study

SMALL = [
    "evaluation.protocols=[]",
    "data.world_users=60",
    "teacher.epochs=1",
    "distill.examples=200",
    "finetune.examples=200",
    "distill.k=3",
]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run with a teacher, on the tiny model."""
    run = RunDirectory.create(tmp_path_factory.mktemp("run"), resolve("smoke", SMALL))
    stages.prepare_stage(run)
    stages.teacher_stage(run)
    return run


def truth(run, config, words):
    """Tokens of the longest prompt that is really written, with its longest answer, over tasks, parts and methods."""
    study = Study(run)
    titles = [*study.data.split.titles, *(study.data.cold.titles if study.data.cold else ())]
    verbalizer, longest = config.llm.verbalizer, []
    writer = PromptWriter(words.tokenizer, study.data.domain, titles, format=words.format, verbalizer=verbalizer)

    class Silent:
        lists, ranks_all = words.lists, words.format.compares

    class P:
        k, c = config.distill.k, 0

    def note(prompts, items):
        for prompt, row in zip(prompts, items, strict=True):
            behind = 0 if words.format.compares or not len(row) else writer.answers.lengths[row].max()
            longest.append(len(prompt.ids) + (1 if verbalizer == "index" else behind))

    for name in config.evaluation.methods:
        built = study._asking(name, None, writer, None)
        asking = LlmRecommender(Silent, writer, P if "prompt" in name else None, config.llm.history, built.pattern,
                                built.suggests)  # fmt: skip
        for part in ("valid", "test"):
            cases, items, _ = study.ranked(part)
            note(asking.prompts(cases, items), items)
    delrec = LlmRecommender(Silent, writer, P, config.llm.history)
    tasks = study.tasks(delrec)
    for examples in (*tasks.stage_1(config.distill).values(), tasks.next_item(200)):
        note(examples.prompts, examples.candidates)
    return max(longest)


@pytest.mark.parametrize(
    "name, more",
    [
        *[(name, []) for name in ("gpt2", "qwen3", "gemma3_text", "roberta")],
        *[(name, ["distill.rps=hard_rest", "llm.history=3"]) for name in ("gpt2", "bert")],
        *[("llama", [change]) for change in ("llm.listed=false", "llm.verbalizer=index", "llm.verbalizer=first_token")],
    ],
)
def test_the_bound_is_above_the_truth_and_not_far(name, more, folders, trained):
    config = resolve("smoke", [*SMALL, *more, f"llm.name={json.dumps(str(folders(name)))}"])
    words = words_of(config.llm)
    bound, _ = Lengths.of(config, PreparedData.load(trained.require("data")), words).longest(config)
    true = truth(trained, config, words)
    assert true <= bound <= 1.5 * true


@pytest.fixture(scope="module")
def reading(folders, tmp_path_factory):
    """The overrides for a GPT-2 of so many positions, whose weights would not fit it and are never read."""

    def overrides(positions, *more):
        folder = tmp_path_factory.mktemp("short")
        for path in folders("gpt2").iterdir():
            shutil.copy(path, folder)
        settings = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps(settings | {"n_positions": positions}))
        return [*SMALL, f"llm.name={json.dumps(str(folder))}", *more]

    return overrides


def test_what_is_advised_fits_and_no_more_would(reading, trained):
    data = PreparedData.load(trained.require("data"))
    whole = resolve("smoke", reading(10_000))
    most = Lengths.of(whole, data, words_of(whole.llm)).longest(whole)[0]
    check_prompts_fit(resolve("smoke", reading(most)), data)
    overrides = reading(most - 45)
    with pytest.raises(KitError) as error:
        check_prompts_fit(resolve("smoke", overrides), data)
    line = str(error.value)
    assert f"may take {most} tokens" in line and f"reads {most - 45}: set llm.history=" in line and "\n" not in line
    advised = line.partition(": set ")[2].split(" or ")
    assert {change.partition("=")[0] for change in advised} >= {"llm.history", "data.candidates", "llm.listed"}
    for change in advised:
        check_prompts_fit(resolve("smoke", [*overrides, change]), data)
        name, _, value = change.partition("=")
        if value.isdecimal():
            with pytest.raises(KitError):
                check_prompts_fit(resolve("smoke", [*overrides, f"{name}={int(value) + 1}"]), data)
    with pytest.raises(KitError, match="lower several settings"):
        check_prompts_fit(resolve("smoke", reading(100)), data)


def test_a_protocol_that_lists_too_much_is_named(reading, trained):
    data = PreparedData.load(trained.require("data"))
    config = resolve("smoke", [*reading(1500), "evaluation.protocols=[rerank-99]"])
    with pytest.raises(KitError, match=r"a prompt of rerank-99 may take .* than rerank-99 in evaluation.protocols"):
        check_prompts_fit(config, data)


def test_nothing_is_trained_where_a_prompt_does_not_fit(reading, tmp_path):
    run = RunDirectory.create(tmp_path, resolve("smoke", reading(292)))
    with pytest.raises(KitError, match="reads 292: "):
        stages.prepare_stage(run)
    assert run.is_done("data") and not run.is_done("teacher"), "and the data stay"


def test_positions_of_every_family(folders):
    found = {name: positions(AutoConfig.from_pretrained(folders(name))) for name in families.ARCHITECTURES}
    assert found["gpt2"] == found["llama"] == found["bert"] == 512
    assert found["roberta"] == 514 - 1 - 1, "its positions begin behind the padding token, here number 1"


@pytest.mark.parametrize("name", ["gpt2", "bert", "roberta"])
def test_as_many_tokens_as_positions_are_read_and_no_more(name, folders):
    llm = load_llm(LlmConfig(name=str(folders(name)), quantization="fp32"), "cpu")
    rows = torch.randn(1, llm.longest + 1, llm.d)
    with torch.no_grad():
        llm.model(inputs_embeds=rows[:, :-1])
        with pytest.raises((IndexError, RuntimeError)):
            llm.model(inputs_embeds=rows)


def test_a_large_catalogue_takes_seconds(folders):
    rng = np.random.default_rng(0)
    titles = ["", *(f"Film {n} of the long row" for n in range(50_000))]
    rows = Ragged.from_lists(rng.integers(1, 50_001, (20_000, 20)))
    cases = Cases(np.arange(20_000), rows, rng.integers(1, 50_001, 20_000))
    split = Split(titles, titles, [str(u) for u in range(20_000)], rows, cases, cases)
    data = PreparedData(split, Domain(), np.ones((20_000, 15)), np.ones((20_000, 15)), {}, [])
    started = time.perf_counter()
    config = resolve("smoke", [f"llm.name={json.dumps(str(folders('llama')))}", "evaluation.protocols=[]"])
    with pytest.raises(KitError, match="reads 512"):
        check_prompts_fit(config, data)
    assert time.perf_counter() - started < 20


def test_the_tokenizer_says_nothing_of_lengths(folders, capfd):
    config = resolve("smoke", [f"llm.name={json.dumps(str(folders('gpt2')))}"])
    words = words_of(config.llm)
    words.tokenizer.model_max_length = 4
    PromptWriter(words.tokenizer, Domain(), ["", "Red Moon " * 40])
    assert "sequence length" not in "".join(capfd.readouterr())
