"""Settings, run directories and prompts that nobody would write by accident: one line, or they do as they say."""

import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from delrec_kit.__main__ import main
from delrec_kit.data import Domain
from delrec_kit.llm import PromptWriter
from delrec_kit.run.directory import DEPENDS, RunDirectory
from delrec_kit.run.files import DONE
from delrec_kit.settings.config import KitConfig
from delrec_kit.settings.errors import KitError
from delrec_kit.settings.resolve import resolve, settable_keys, validated

KEYS = st.one_of(st.sampled_from(settable_keys()), st.text(max_size=12))
VALUES = st.one_of(
    st.text(max_size=20),
    st.sampled_from(
        ["1e400", "-1", "0", ".nan", "null", "[]", "{}", "!!python/object/apply:os.system ['true']", "&a [*a]"]
    ),
    st.integers().map(str),
    st.floats().map(str),
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
KNOWN = ("stage", "left", "at", "since", "pid", "host", "ended", "training", "now", "done", "total", "rate", "note")
KNOWN += ("what", "files", "checksum", "settings", "inputs", "before", "fingerprint", "seconds", "content")
RECORDS = st.dictionaries(
    st.sampled_from(KNOWN),
    JSON | st.sampled_from(list(DEPENDS)) | st.dictionaries(st.sampled_from(KNOWN), JSON, max_size=3),
    max_size=7,
).map(lambda record: {"stage": "data", "at": 1, "since": 1} | record)
slow = settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@slow
@given(st.lists(st.tuples(KEYS, VALUES), min_size=1, max_size=3))
def test_any_settings_are_taken_as_a_whole_or_refused_in_one_line(pairs):
    try:
        config = resolve("demo", [f"{key}={value}" for key, value in pairs])
    except KitError as error:
        assert str(error)
    else:
        assert validated(config.model_dump(mode="json")) == config


@slow
@given(content=JSON, name=st.sampled_from(list(KitConfig.model_fields)))
def test_any_content_of_config_json(tmp_path, content, name):
    for stored in (content, resolve("demo").model_dump(mode="json") | {name: content}):
        (tmp_path / "config.json").write_text(json.dumps(stored))
        try:
            run = RunDirectory.open(tmp_path)
        except KitError as error:
            assert "config.json" in str(error)
        else:
            assert run.config.model_dump(mode="json").keys() == stored.keys() | run.config.model_dump().keys()


@slow
@given(
    content=st.binary(max_size=40) | (JSON | RECORDS).map(lambda value: json.dumps(value).encode()),
    file=st.sampled_from([*(f"{stage}/{DONE}" for stage in DEPENDS), ".working.json", ".lock.json", ".redo.json"]),
    command=st.sampled_from(["check", "status"]),
)
def test_any_bytes_in_the_records_of_a_run(tmp_path_factory, content, file, command):
    run = RunDirectory.create(tmp_path_factory.mktemp("run"), resolve("demo"))
    (run.path / file).parent.mkdir(exist_ok=True)
    (run.path / file).write_bytes(content)
    assert main([command, str(run.path)]) in (0, 1)
    for stage in DEPENDS:
        with pytest.raises(KitError):
            run.require(stage)
    assert RunDirectory.create(run.path, run.config) == run


TITLES = [
    "{history}", "{soft}", "[ Pattern: {soft}.]", "<pad>", "</s>", "<extra_id_0>", "%s %d {0}", "\\N{DASH}", "; ",
    "From the list:", "\u202eevitcA\u202c", "<script>alert(1)</script>", "=HYPERLINK(1)", "../../etc/passwd",
    "a" * 10_000, "\u0000", "🎬" * 50,
]  # fmt: skip


@pytest.fixture(scope="module")
def tokenizer(toy_llm_folder):
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(toy_llm_folder)


@pytest.mark.parametrize("title", TITLES, ids=lambda title: ascii(title[:14]))
def test_a_title_is_never_a_template(tokenizer, title):
    """It stands where a title stands, and P stands where P stands, once."""
    plain = PromptWriter(tokenizer, Domain(), ["", "Red Moon", "Rising"])
    writer = PromptWriter(tokenizer, Domain(), ["", title, "Rising"])
    prompts = [each.write("final", {"history": [1, 2], "candidates": [2, 1]}, 3) for each in (plain, writer)]
    for prompt in prompts:
        np.testing.assert_array_equal(prompt.ids[prompt.ids < 0], [-1, -2, -3])
        assert int((prompt.ids == tokenizer.eos_token_id).sum()) == 1, "a title ends no prompt"
    names = [[(segment.name, segment.index) for segment in prompt.segments] for prompt in prompts]
    assert names[0] == names[1]


@slow
@given(st.lists(st.text(max_size=40), min_size=2, max_size=4), st.integers(1, 5))
def test_any_titles_leave_the_prompt_in_its_pieces(tokenizer, titles, k):
    writer = PromptWriter(tokenizer, Domain(), ["", *titles])
    prompt = writer.write("rps", {"history": [1], "candidates": [2, 1]}, k)
    np.testing.assert_array_equal(prompt.ids[prompt.ids < 0], np.arange(-1, -k - 1, -1))
    places = [(segment.start, segment.stop) for segment in prompt.segments]
    assert places[0][0] == 0 and places[-1][1] == len(prompt.ids)
    assert all(one[1] == other[0] for one, other in pairwise(places))


@pytest.mark.parametrize("name", ["../outside", "a/b", "..", "data/../..", "C:\\x", "llm\u0000x"])
def test_no_name_of_a_setting_becomes_a_path(name):
    for key in ("finetune.methods", "evaluation.methods", "evaluation.protocols", "teacher.name", "data.dataset"):
        with pytest.raises(KitError):
            resolve("demo", **{key: [name] if key.endswith("s") else name})
    assert not Path("outside").exists()
