"""Files that are not what they seem: pickles, bombs, diverged tensors, formulas."""

import gzip
import json
import pickle

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from delrec_kit.data.sources import read_source
from delrec_kit.data.stored import read_table
from delrec_kit.data.tables import PROBED
from delrec_kit.llm import SoftPrompt
from delrec_kit.settings.cells import without_formulas
from delrec_kit.settings.errors import KitError
from delrec_kit.settings.resolve import resolve
from delrec_kit.settings.style import save_figure


class Trap:
    """Unpickled, it would leave a file behind."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


def custom(folder):
    return resolve("demo", ["data.dataset=custom", f"data.data_dir={json.dumps(str(folder))}"]).data


def test_a_pickle_under_another_name_is_refused_and_not_run(tmp_path):
    sprung = tmp_path / "sprung"
    (tmp_path / "interactions.parquet").write_bytes(pickle.dumps(Trap(sprung)))
    (tmp_path / "items.csv").write_text("item,title\n1,One\n")
    with pytest.raises(KitError, match=r"interactions.parquet cannot be read as Parquet"):
        read_source(custom(tmp_path), 0)
    with pytest.raises(KitError, match=r"damaged"):
        read_table(tmp_path / "interactions.parquet")
    assert not sprung.exists()


@pytest.mark.parametrize("block", [b"\0" * 2**20, b"1,1,1\n" * 2**17], ids=["zeros", "rows"])
def test_an_archive_that_unpacks_to_hundreds_of_times_its_size_is_refused(tmp_path, block):
    (tmp_path / "items.csv").write_text("item,title\n1,One\n")
    with gzip.open(tmp_path / "interactions.csv.gz", "wb", compresslevel=9) as packed:
        packed.write(b"user,item,timestamp\n")
        for _ in range(2 * PROBED // len(block)):
            packed.write(block)
    assert (tmp_path / "interactions.csv.gz").stat().st_size < PROBED / 100
    with pytest.raises(KitError, match=r"interactions.csv.gz unpacks to more than 400 times its size"):
        read_source(custom(tmp_path), 0)


def test_a_parquet_file_that_unpacks_to_hundreds_of_times_its_size_is_refused(tmp_path):
    """Equal values are packed to almost nothing: 120,000,000 of them to some 800 kB."""
    (tmp_path / "items.csv").write_text("item,title\n1,One\n")
    same = pa.array(np.ones(2**21, dtype=np.int64))
    block = pa.table({"user": same, "item": same, "timestamp": same})
    with pq.ParquetWriter(tmp_path / "interactions.parquet", block.schema, compression="zstd") as file:
        for _ in range(20):
            file.write_table(block)
    assert (tmp_path / "interactions.parquet").stat().st_size < 2**20
    with pytest.raises(KitError, match=r"interactions.parquet unpacks to more than 400 times its size"):
        read_source(custom(tmp_path), 0)


@pytest.fixture
def saved(plain_llm, writer, tmp_path):
    """P in a file, whose tensors ``change`` may change."""
    path = tmp_path / "soft_prompt.safetensors"
    SoftPrompt.untrained(plain_llm, 4, 0, 2).save(path, plain_llm, writer)

    def change(to):
        with safe_open(path, framework="pt") as file:
            tensors, metadata = {name: file.get_tensor(name) for name in file.keys()}, file.metadata()  # noqa: SIM118
        save_file(to(tensors), path, metadata=metadata)
        return SoftPrompt.load(path, plain_llm, writer)

    change.path = path
    return change


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
@pytest.mark.parametrize("name", ["vectors", "maps"])
def test_a_diverged_p_is_refused(saved, name, number):
    assert saved(dict).k == 4

    def spoil(tensors):
        tensors[name].view(-1)[7] = number
        return tensors

    with pytest.raises(KitError, match=r"soft_prompt.safetensors holds numbers that are none .*lower distill"):
        saved(spoil)


@pytest.mark.parametrize(
    "to",
    [
        lambda tensors: {"vectors": tensors["vectors"][:, :5].contiguous()},
        lambda tensors: {"vectors": tensors["vectors"][0].contiguous()},
        lambda tensors: tensors | {"maps": torch.zeros(9, 64, 64)},
        lambda tensors: {"maps": tensors["maps"]},
    ],
    ids=["narrow", "a vector", "more maps than vectors", "nothing"],
)
def test_a_p_of_another_shape_is_refused(saved, to):
    with pytest.raises(KitError, match=r"holds no soft prompt of width 64"):
        saved(to)


@pytest.mark.parametrize("content", [b"", b"{}", pickle.dumps([1, 2]), b"\xff" * 64])
def test_what_is_no_safetensors_is_refused(saved, plain_llm, writer, content):
    saved.path.write_bytes(content)
    with pytest.raises(KitError, match=r"damaged or no safetensors file; run notebook 03 again"):
        SoftPrompt.load(saved.path, plain_llm, writer)


def test_no_title_is_a_formula_in_a_written_table(tmp_path):
    titles = ['=HYPERLINK("x")', "-30- (1959)", "+1 (2001)", "@midnight", "\tTab", "Red Moon", "-3.5", "2+2"]
    table = pd.DataFrame({"title": titles, "value": [-1.0] * 8, "mixed": ["=1", 2, None, -3, "a", "b", "c", "d"]})
    figure, _ = plt.subplots()
    save_figure(figure, table, tmp_path, "shown")
    with (tmp_path / "shown.csv").open(encoding="utf-8") as file:
        written = pd.read_csv(file)
    assert written["title"].tolist() == ["'" + t for t in titles[:5]] + titles[5:]
    assert written["value"].tolist() == [-1.0] * 8
    assert without_formulas(table)["mixed"].tolist()[:2] == ["'=1", 2]
    assert table["title"].tolist() == titles, "the table itself stays as it is"
    named = pd.DataFrame({"n": [1.0]}, index=pd.Index(["=1+1"], name="title"))
    assert without_formulas(named.reset_index())["title"].tolist() == ["'=1+1"]
