"""GGUF files and Gemma's parts: put together once, checked, kept whole, and refused with a line that helps."""

import hashlib
from importlib.util import find_spec

import pytest

from delrec_kit.llm import gemma, gguf, load_llm
from delrec_kit.run.inputs import check_folders, digests, looks_like_path
from delrec_kit.settings.config import LlmConfig
from delrec_kit.settings.errors import KitError
from delrec_kit.settings.resolve import resolve


@pytest.fixture(autouse=True)
def cache(monkeypatch, tmp_path):
    monkeypatch.setattr(gguf.pooch, "os_cache", lambda project: tmp_path / "cache")
    return tmp_path / "cache"


@pytest.fixture
def parts(monkeypatch, tmp_path):
    """Four packages that each carry a part, on the path, whose code would fail if it were run."""
    for n, name in enumerate(gemma.PACKAGES):
        (tmp_path / name / "data").mkdir(parents=True)
        (tmp_path / name / "__init__.py").write_text("raise RuntimeError('this code must not run')")
        (tmp_path / name / "data" / f"m.gguf.part0{n}").write_bytes(f"part {n}.".encode())
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(gemma, "SHA256", hashlib.sha256(b"part 0.part 1.part 2.part 3.").hexdigest())


def test_a_folder_appears_whole_or_not_at_all_and_is_made_once(cache):
    made = []

    def dies(draft):
        (draft / "half").write_text("")
        raise KitError("no")

    def make(draft):
        made.append((draft / "model").write_text("whole"))

    with pytest.raises(KitError):
        gguf.kept("m", dies)
    assert [path.name for path in cache.iterdir()] == ["m.lock"], "no draft stays"
    assert gguf.kept("m", make) == gguf.kept("m", make) == cache / "m" and len(made) == 1


def test_the_parts_are_joined_in_order_and_their_code_is_not_run(parts, cache, monkeypatch, capsys):
    seen = []
    monkeypatch.setattr(gemma, "convert", lambda file, folder: seen.append(file.read_bytes()))
    folder = gemma.gemma_folder()
    assert seen == [b"part 0.part 1.part 2.part 3."] and not list(folder.iterdir()), "the joined file goes"
    assert "Terms of Use" in capsys.readouterr().out
    assert gemma.gemma_folder() == folder and capsys.readouterr().out == ""


def test_a_damaged_part_and_a_missing_one_are_told_apart(parts, tmp_path, monkeypatch):
    (tmp_path / gemma.PACKAGES[2] / "data" / "m.gguf.part02").write_bytes(b"other")
    with pytest.raises(KitError, match="damaged"):
        gemma.gemma_folder()
    monkeypatch.setattr(gemma, "PACKAGES", ("no_such_package_part1",))
    with pytest.raises(KitError, match=r"pip install -e \"\.\[gemma\]\""):
        gemma.gemma_folder()


def test_a_file_that_is_none_is_refused_in_a_line(tmp_path):
    (tmp_path / "model.gguf").write_bytes(b"no GGUF at all")
    wanted = "transformers does not read model.gguf" if find_spec("gguf") else "pip install gguf"
    with pytest.raises(KitError, match=wanted):
        load_llm(LlmConfig(name=str(tmp_path / "model.gguf")), "cpu")


def test_a_run_takes_a_file_by_its_path_and_notices_when_it_changes(tmp_path):
    file = tmp_path / "model.gguf"
    config = resolve("demo", [f"llm.name={file}"])
    assert looks_like_path("model.gguf") and looks_like_path("models/model.gguf"), "no hub id"
    with pytest.raises(KitError, match="no language-model file"):
        check_folders(config)
    with pytest.raises(KitError, match="there is no such file"):
        load_llm(config.llm, "cpu")
    file.write_bytes(b"one")
    check_folders(config)
    before = digests(config, "prompt")
    file.write_bytes(b"another")
    assert list(before) == ["model.gguf"] and digests(config, "prompt") != before
