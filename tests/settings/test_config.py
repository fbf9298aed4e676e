import pytest
from hypothesis import given
from hypothesis import strategies as st

from delrec_kit.settings.config import PROFILES, KitConfig, resolve, settable_keys, validated
from delrec_kit.settings.errors import KitError


@pytest.mark.parametrize("profile", PROFILES)
def test_every_profile_resolves_and_survives_json(profile):
    config = resolve(profile)
    assert config.profile == profile
    assert KitConfig.model_validate_json(config.model_dump_json()) == config


@pytest.mark.parametrize("profile", [name for name in PROFILES if PROFILES[name]])
def test_every_profile_setting_is_in_force(profile):
    config = resolve(profile).model_dump()
    for stage, fields in PROFILES[profile].items():
        for field, value in fields.items():
            assert config[stage][field] == value


def test_overrides_stand_above_the_profile_and_later_ones_above_earlier():
    config = resolve("smoke", ["distill.k=7", "distill.k=9", "finetune.learning_rate=1e-3"], seed=5)
    assert (config.distill.k, config.finetune.learning_rate, config.seed) == (9, 1e-3, 5)
    assert config.data.world_users == resolve("smoke").data.world_users


def test_a_value_not_given_changes_nothing():
    assert resolve("demo", seed=None, **{"data.dataset": None}) == resolve("demo")


def test_text_settings_stay_text():
    config = resolve("demo", ["llm.name=2024", 'llm.revision="a: b #c"'])
    assert (config.llm.name, config.llm.revision) == ("2024", "a: b #c")
    assert resolve("demo", ["llm.revision=null"]).llm.revision is None


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
        ("demo", "teacher.name=sasrek", "did you mean 'sasrec'?"),
        ("demo", "distill.h=9999", "distill.h=9999 must be at most teacher.top"),
        ("demo", "finetune.init_r=1", "finetune.init_r=1 must be above finetune.target_r"),
        ("demo", "teacher.heads=9999", "must divide teacher.width"),
        ("demo", "evaluation.rerank=99", "evaluation.rerank=99 must be at most teacher.top=20"),
        ("smoke", "llm.verbalizer=index", "set evaluation.full_users=0"),
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


def test_stage_1_needs_a_task():
    with pytest.raises(KitError, match="both 0; stage 1 needs at least one task"):
        resolve("demo", ["distill.weight_ta=0", "distill.weight_rps=0"])


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
