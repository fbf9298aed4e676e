import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from delrec_kit.settings.config import KitConfig
from delrec_kit.settings.errors import KitError
from delrec_kit.settings.profiles import profile_names, shipped
from delrec_kit.settings.resolve import resolve, settable_keys, validated
from delrec_kit.settings.streams import stream, stream_seed

PROFILES = profile_names()


@pytest.mark.parametrize("profile", PROFILES)
def test_every_profile_resolves_and_survives_json(profile):
    config = resolve(profile)
    assert config.profile == profile
    assert KitConfig.model_validate_json(config.model_dump_json()) == config


@pytest.mark.parametrize("profile", PROFILES)
def test_every_profile_setting_is_in_force_and_its_head_says_how_to_launch_it(profile):
    text = (shipped("profiles") / f"{profile}.yaml").read_text(encoding="utf-8")
    assert text.startswith(f"# {profile}: ") and f"run --profile {profile}" in text
    config = resolve(profile).model_dump(mode="json")
    for stage, fields in yaml.safe_load(text).items():
        for field, value in fields.items():
            assert config[stage][field] == value


def test_the_profiles_are_there_and_the_settings_are_few():
    assert {"smoke", "demo", "cpu", "minilm", "gemma", "colab-t4", "paper"} == set(PROFILES)
    assert len(settable_keys()) <= 62


def test_a_profile_of_ones_own(tmp_path):
    own = tmp_path / "mine.yaml"
    own.write_text("seed: 4\ndistill: {k: 7}\n")
    config = resolve(str(own), ["distill.h=3"])
    assert (config.profile, config.seed, config.distill.k, config.distill.h) == ("mine", 4, 7, 3)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("distill: [k", "is not YAML"),
        ("distill: 3", "holds stages"),
        ("[1, 2]", "holds stages"),
        ("distill: {kk: 3}", "did you mean 'distill.k'"),
        ("distill: !!python/object/apply:os.system [ls]", "is not YAML"),
        (None, "cannot be read"),
    ],
)
def test_a_broken_profile_is_one_line(tmp_path, text, says):
    if text is not None:
        (tmp_path / "own.yaml").write_text(text)
    with pytest.raises(KitError, match=says):
        resolve(str(tmp_path / "own.yaml"))


def test_streams_follow_from_seed_and_name_alone():
    draws = {key: stream(*key).random(4).tolist() for key in [(0, "a"), (0, "b"), (1, "a"), (10, "a")]}
    assert len({tuple(values) for values in draws.values()}) == 4
    assert stream(0, "a").random(4).tolist() == draws[0, "a"]
    assert stream_seed(0, "candidates") == 140886792, "another number would change every stored run"
    assert abs(np.corrcoef(stream(0, "a").random(4000), stream(1, "a").random(4000))[0, 1]) < 0.1


def test_overrides_stand_above_the_profile_and_later_ones_above_earlier():
    config = resolve("smoke", ["distill.k=7", "distill.k=9", "finetune.learning_rate=1e-3"], seed=5)
    assert (config.distill.k, config.finetune.learning_rate, config.seed) == (9, 1e-3, 5)
    assert config.data.world_users == resolve("smoke").data.world_users


def test_a_value_not_given_changes_nothing():
    assert resolve("demo", seed=None, **{"data.dataset": None}) == resolve("demo")


def test_text_settings_stay_text():
    config = resolve("demo", ["llm.name=2024", 'data.data_dir="a: b #c"'])
    assert (config.llm.name, config.data.data_dir) == ("2024", "a: b #c")
    assert resolve("demo", ["data.data_dir=null"]).data.data_dir is None


def test_a_model_may_carry_its_revision():
    llm = resolve("demo", ["llm.name=google/flan-t5-xl@abc123"]).llm
    assert (llm.repository, llm.revision) == ("google/flan-t5-xl", "abc123")
    assert (resolve("demo").llm.repository, resolve("demo").llm.revision) == ("tiny", None)


def test_gru4rec_has_one_layer_unless_told_otherwise():
    layers = lambda *overrides: resolve("demo", overrides).teacher.layers  # noqa: E731
    assert (layers(), layers("teacher.name=gru4rec"), layers("teacher.name=gru4rec", "teacher.layers=3")) == (2, 1, 3)


def test_all_misfits_are_told_at_once():
    with pytest.raises(KitError, match=r"distill\.k='many'.*; setting distill\.h=0"):
        resolve("demo", ["distill.k=many", "distill.h=0"])


@pytest.mark.parametrize(
    ("profile", "override", "says"),
    [
        ("smok", None, "did you mean 'smoke'?"),
        ("demo", "distil.k=3", "unknown setting 'distil.k'; did you mean 'distill.k'?"),
        ("demo", "distill.candidates=3", "unknown setting 'distill.candidates'; did you mean 'data.candidates'?"),
        ("demo", "zzz.q=3", "known stages: data, teacher"),
        ("demo", "distill.k", "--set takes stage.field=value, not 'distill.k'"),
        ("demo", "distill.k=", "distill.k=None"),
        ("demo", "distill.k=many", "distill.k='many'"),
        ("demo", "distill.k=0", "greater than or equal to 1"),
        ("demo", "distill.k=[", "'[' is not a value"),
        ("demo", "seed=-1", "seed=-1"),
        ("demo", "finetune.learning_rate=.inf", "finite"),
        ("demo", "finetune.learning_rate=.nan", "finite"),
        ("demo", "teacher.name=sasrek", "should be 'sasrec', 'gru4rec' or 'caser'"),
        ("demo", "distill.h=9999", "distill.h=9999 must be at most 20"),
        ("demo", "distill.conditioned=99", "must be at most distill.k"),
        ("demo", "distill.tasks=[]", "at least 1 item"),
        ("demo", "evaluation.protocols=[rerank-200]", "proposes at most 100"),
        ("demo", "evaluation.protocols=[uniform]", "is no protocol"),
        ("demo", "evaluation.protocols=[rerank-20,rerank-30]", "rerank stands there twice"),
        ("smoke", "llm.verbalizer=index", "ranks listed candidates only"),
        ("demo", "finetune.methods=[delrek]", "did you mean 'delrec'?"),
        ("demo", "evaluation.methods=[delrec]", "no method 'delrec'"),
        ("demo", "data.max_length=2", "must be 0 or at least 3"),
        ("demo", "data.candidates=5", "distill.h=5 must be below data.candidates=5"),
    ],
)
def test_a_misfit_is_one_line_that_names_the_key(profile, override, says):
    with pytest.raises(KitError) as raised:
        resolve(profile, [override] if override else [])
    assert says in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_stored_config_with_a_foreign_key_is_refused():
    stored = resolve("demo").model_dump()
    stored["distill"]["kk"] = 3
    with pytest.raises(KitError, match=r"unknown setting 'distill.kk'; did you mean 'distill.k'"):
        validated(stored)


def test_a_stored_config_that_is_no_table_is_refused():
    with pytest.raises(KitError, match="not list"):
        validated([])


def test_settings_cannot_be_changed_in_place():
    with pytest.raises(ValueError, match="frozen"):
        resolve("demo").distill.k = 3


@given(key=st.sampled_from(settable_keys()), raw=st.text(max_size=12))
def test_any_value_resolves_or_is_a_one_line_error(key, raw):
    try:
        resolve("demo", [f"{key}={raw}"])
    except KitError as error:
        assert str(error)


def test_every_setting_stands_on_its_page_with_its_default():
    page = (shipped("profiles").parent / "docs" / "settings.md").read_text(encoding="utf-8")
    rows = [[cell.strip(" `") for cell in line.split("|")] for line in page.splitlines() if line.startswith("| `")]
    written = {row[1]: row[2] for row in rows}
    defaults = KitConfig().model_dump()
    for key in settable_keys()[1:]:
        stage, _, field = key.partition(".")
        value = defaults[stage][field]
        shown = f"[{', '.join(value)}]" if isinstance(value, tuple) else "" if value in (None, {}) else str(value)
        assert written.get(key) == shown, key


@pytest.mark.parametrize(
    "text", ["", "distill.k=20", " distill.k=20  data.candidates=20", "data.columns={user: who, item: what} seed=3"]
)
def test_settings_may_stand_in_one_string(text):
    """As ``papermill -p overrides`` hands them over."""
    each = {"distill.k": "20", "data.candidates": "20", "data.columns": "{user: who, item: what}", "seed": "3"}
    assert resolve("demo", text) == resolve(
        "demo", [f"{key}={value}" for key, value in each.items() if f"{key}=" in text]
    )
