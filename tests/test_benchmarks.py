"""The benchmarks run at their smallest, so that they cannot rot unseen; what they say is measured by hand."""

import pytest

from benchmarks import data, gpu, likelihoods, recommending, scoring, training


@pytest.mark.slow
def test_scoring_and_training_give_their_rows(monkeypatch):
    monkeypatch.setattr(training, "STEPS", 2)
    monkeypatch.setattr(training, "BATCH", 4)
    row = scoring.bench(None, None, runs=1, users=2, shape="t5-mini", sizes=[5])[0]
    assert row["m"] == 5 and row["users/s"] > 0 and row["over (a) one forward a candidate"] > 0
    rows = training.bench(None, None, runs=1)
    assert [row["ours"][:7] for row in rows] == ["stage 1", "stage 1", "stage 2"] and all(r["ratio"] > 0 for r in rows)


@pytest.mark.slow
def test_the_stages_run_on_both_families_in_4_bit(monkeypatch, tmp_path):
    monkeypatch.setattr(gpu, "STEPS", 2)
    rows = gpu.bench(pictures=tmp_path)
    assert {(row["shape"][:5], row["stage"]) for row in rows} >= {("t5-mi", "stage 1"), ("llama", "stage 2")}
    assert all(row["share of matmul peak"] > 0 < row["over the bare backbone"] for row in rows)
    assert len(list(tmp_path.glob("gpu_*.png"))) == 4


@pytest.mark.slow
def test_preparing_gives_a_row_a_way():
    kit, loops = data.bench(sizes=(20_000,))
    assert kit["rows kept"] == loops["rows kept"] > 19_000 and kit["peak above start, MB"] > 0 < kit["CPU, s"]


@pytest.mark.slow
def test_recommending_gives_its_row():
    (row,) = recommending.bench(runs=1, users=40, top=5)
    assert row["users/s"] > 0 and row["over one person at a time"] > 1 and 0 < row["teacher's share of the time"] < 1


def test_likelihoods_take_less_memory_than_logits_that_are_kept():
    rows = likelihoods.bench(1, tokens=2048, shapes={"small": (32, 40_000)})  # five chunks
    peaks = {(row["type"], row["way"]): row["peak above start, MiB"] for row in rows}
    assert peaks["float32", "logits kept"] > 2 * peaks["float32", "ours"], peaks
    assert all(row["seconds"] > 0 for row in rows) and len(rows) >= 3
