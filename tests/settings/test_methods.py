"""The name of a row says what P it has."""

import pytest

from delrec_kit.settings.errors import KitError
from delrec_kit.settings.methods import METHODS, PAPER, UNLIKE, alike, base_of, named
from delrec_kit.settings.resolve import resolve
from delrec_kit.settings.rows import adapted_rows, called, frozen_rows


def test_the_paper_s_p_needs_no_word_and_any_other_has_one():
    assert named("delrec", 0, ("ta", "rps")) == "delrec"
    assert named("delrec", 4, ("rps",)) == "delrec_conditioned_rps"
    assert named("llm_distilled_prompt", 0, ("ta",)) == "llm_distilled_prompt_ta"
    assert named("llm_finetuned", 4, ("rps",)) == "llm_finetuned", "it has no P"
    assert named("llm_untrained_prompt", 4, ("rps",)) == "llm_untrained_prompt_conditioned", "it hears, too"
    assert named("llm_untrained_prompt", 0, ("rps",)) == "llm_untrained_prompt", "no task has made it"
    assert len({ending for ending, _ in UNLIKE.values()}) == len(UNLIKE) == 6


def test_every_name_leads_back_to_its_base_and_is_the_same_otherwise():
    for name, method in METHODS.items():
        base = PAPER[base_of(name)]
        assert (method.prompt, method.learns_from, method.learns_prompt) == (
            base.prompt,
            base.learns_from,
            base.learns_prompt,
        )
    assert base_of("popularity+teacher") == "popularity+teacher"


def test_a_run_names_its_rows_by_its_settings():
    config = resolve("demo", ["distill.conditioned=2"])
    assert "delrec_conditioned" in adapted_rows(config)
    assert "llm_distilled_prompt_conditioned" in frozen_rows(config)
    assert called(config, "delrec") == "delrec_conditioned" and called(config, "teacher") == "teacher"
    again = resolve("demo", ["distill.conditioned=2", "finetune.methods=[delrec_conditioned]"])
    assert adapted_rows(again) == ["delrec_conditioned"]


@pytest.mark.parametrize(
    "settings, told",
    [
        (["finetune.methods=[delrec_conditioned]"], "delrec_conditioned is delrec"),
        (["distill.tasks=[rps]", "finetune.methods=[delrec_ta]"], "delrec_ta is delrec_rps"),
        (["evaluation.methods=[llm_distilled_prompt_of_another]"], "needs a conditioned P"),
        (["distill.tasks=[rps]", "finetune.methods=[delrec, delrec_rps]"], "two rows would be the same"),
    ],
)
def test_a_name_that_claims_another_p_is_refused(settings, told):
    with pytest.raises(KitError, match=told):
        resolve("demo", settings)


def test_rows_are_compared_with_rows_of_the_same_p():
    pairs = alike([("delrec", "llm_distilled_prompt"), ("delrec", "teacher"), ("llm_finetuned", "llm_zero_shot")])
    assert ("delrec_rps", "llm_distilled_prompt_rps") in pairs and ("delrec_conditioned", "teacher") in pairs
    assert alike([("llm_distilled_prompt", "llm_untrained_prompt")])[-1] == (
        "llm_distilled_prompt_conditioned_ta",
        "llm_untrained_prompt_conditioned",
    )
    assert ("delrec", "llm_distilled_prompt_rps") not in pairs and len(pairs) == 6 + 6 + 1


def test_settings_may_be_a_table():
    config = resolve("demo", {"distill": {"k": 3}, "data.candidates": 12, "seed": 4})
    assert (config.distill.k, config.data.candidates, config.seed) == (3, 12, 4)
    with pytest.raises(KitError, match="did you mean"):
        resolve("demo", {"distill": {"kk": 3}})
