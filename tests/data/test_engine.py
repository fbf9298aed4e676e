"""The engine's share of the memory, and what is said where it does not suffice."""

from types import SimpleNamespace

import duckdb
import pytest

from benchmarks.data import write_rows
from delrec_kit.data import engine, read_source
from delrec_kit.settings.config import DataConfig
from delrec_kit.settings.errors import KitError


def test_memory_grows_with_the_file_up_to_half_of_what_is_free(monkeypatch):
    monkeypatch.setattr(engine.psutil, "virtual_memory", lambda: SimpleNamespace(available=8e9))
    assert [engine.memory_limit(int(size)) for size in (1e6, 1.2e9, 7e9, 1e11)] == [
        "400MB", "400MB", "1750MB", "4000MB",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("memory", "disk", "mend"), [(8, "10GB", "end what else takes memory"), (40, "1MB", "set TMPDIR to a folder")]
)
@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_what_is_short_is_named(monkeypatch, tmp_path, memory, disk, mend, kind):
    write_rows(tmp_path, 1_000_000)
    if kind == "parquet":
        rows = tmp_path / "interactions.csv"
        duckdb.execute(f"COPY (FROM '{rows}') TO '{rows.with_suffix('.parquet')}' (COMPRESSION uncompressed)")
        rows.unlink()
    monkeypatch.setattr(engine, "memory_limit", lambda _: f"{memory}MB")
    monkeypatch.setattr(engine, "SETTINGS", {**engine.SETTINGS, "max_temp_directory_size": disk})
    with pytest.raises(KitError, match=f"the engine that reads data stopped: .*{mend}"):
        read_source(DataConfig(dataset="custom", data_dir=str(tmp_path)))
