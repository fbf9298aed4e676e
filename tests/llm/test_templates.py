"""Where P stands in a prompt."""

import pytest

from delrec_kit.llm.templates import TEMPLATES, placed, template_hash


def test_p_stands_after_the_history_unless_told():
    assert placed("after") == TEMPLATES


@pytest.mark.parametrize("task", TEMPLATES)
def test_before_the_history_nothing_but_the_place_of_p_changes(task):
    text = placed("before")[task]
    assert text.index("{soft}") < text.index("{history}") < TEMPLATES[task].index("{soft}")
    slots = ("{soft}", "{history}", "{candidates}")
    assert all(text.count(slot) == TEMPLATES[task].count(slot) == 1 for slot in slots)
    assert text.removeprefix("[Pattern: {soft}. ]") == TEMPLATES[task].replace("[ Pattern: {soft}.]", "")
    assert template_hash(placed("before")) != template_hash()
