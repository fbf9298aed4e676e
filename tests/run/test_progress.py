import pandas as pd
from matplotlib import pyplot as plt

from delrec_kit.run import progress as module
from delrec_kit.run.progress import progress
from delrec_kit.settings.style import save_figure, use_style


def test_lines_carry_count_total_and_note(monkeypatch, capsys):
    monkeypatch.setenv("DELREC_KIT_PROGRESS", "lines")
    monkeypatch.setattr(module, "SECONDS_BETWEEN_LINES", 0.0)
    steps = progress(range(3), "training")
    seen = []
    for step in steps:
        seen.append(step)
        steps.note(f"loss {step}")
    lines = capsys.readouterr().out.splitlines()
    assert seen == [0, 1, 2]
    assert lines[0].startswith("training: 1/3 in") and lines[0].endswith("loss 0")
    assert lines[-1].startswith("training: 3/3") and "left" not in lines[-1]


def test_short_loops_are_silent_and_a_bar_gives_the_same_items(monkeypatch, capsys):
    monkeypatch.setenv("DELREC_KIT_PROGRESS", "lines")
    assert list(progress(iter("ab"), "x")) == ["a", "b"]
    assert capsys.readouterr().out == ""
    monkeypatch.setenv("DELREC_KIT_PROGRESS", "bar")
    assert list(progress(iter("ab"), "x", total=2)) == ["a", "b"]
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(module, "SECONDS_BEFORE_A_BAR", 0.0)
    assert list(progress(iter("ab"), "x", total=2)) == ["a", "b"]
    assert "2/2" in capsys.readouterr().err


def test_figures_are_saved_with_their_numbers(tmp_path):
    use_style()
    figure, axis = plt.subplots()
    axis.plot([1, 2], [3, 4])
    table = pd.DataFrame({"epoch": [1, 2], "loss": [3.0, 4.0]})
    assert save_figure(figure, table, tmp_path / "new", "loss").stat().st_size > 1000
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "new" / "loss.csv"), table)
    save_figure(figure, table.set_index("epoch"), tmp_path, "named")
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "named.csv"), table)
    plt.close(figure)
