"""What stage 2 says of P on validation users."""

import pandas as pd
import pytest

from delrec_kit.training import worth_of_P


def curves(delrec_losses, others=("llm_finetuned",)):
    """Curves of two rows a method: the loss of DELRec as given, of others 3 and 2; HR@1 is a tenth of the loss."""
    losses = {"delrec_rps": delrec_losses, **dict.fromkeys(others, (3.0, 2.0))}
    rows = [(m, step, loss, loss / 10) for m, pair in losses.items() for step, loss in zip((0, 8), pair, strict=True)]
    return pd.DataFrame(rows, columns=["method", "step", "valid_loss", "valid_HR@1"])


def test_with_and_without_P_stand_side_by_side():
    (said,) = worth_of_P(curves((2.5, 1.5)))
    assert "RPS alone" in said and "with P HR@1 0.250 before stage 2 and 0.150 after" in said
    assert "without P HR@1 0.300 before stage 2 and 0.200 after" in said


@pytest.mark.parametrize(("losses", "warned"), [((2.5, 2.05), False), ((2.5, 2.2), True), ((1.9, 2.9), False)])
def test_a_P_that_is_in_the_way_is_told(losses, warned):
    said = worth_of_P(curves(losses))
    assert (len(said) == 2) == warned
    if warned:
        assert "loss of 2.20" in said[1] and "take llm_finetuned" in said[1]


def test_nothing_is_said_where_nothing_is_without_P():
    assert worth_of_P(curves((2.5, 1.5), ())) == [] == worth_of_P(curves((2.5, 1.5), ("llm_prompt_tuned",)))
