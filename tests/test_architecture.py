"""The house rules that can be read from the source: who imports whom, what is never called, no idle setting."""

import ast
from pathlib import Path

import pytest

import delrec_kit
from delrec_kit.config import settable_keys

PACKAGE = Path(delrec_kit.__file__).parent
ROOMS = ["data", "evaluation", "teachers", "llm", "training", "interpret"]
FREE = {name: set() for name in ("errors", "methods", "processes", "progress")} | {
    "checkpoints": {"processes"},
    "config": {"errors", "methods"},
    "inputs": {"config", "errors"},
    "locking": {"errors"},
    "runs": {"config", "errors", "inputs", "locking"},
    "style": {"methods"},
}
SOURCES = sorted(path for path in PACKAGE.rglob("*.py"))


def tree(path):
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def imported(path):
    """Dotted names of what a file imports, at any depth in it."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: relative import"
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def rooms_used(path):
    """Names of the kit's rooms and modules that a file imports."""
    dotted = [name.split(".") for name in imported(path)]
    return {parts[1] for parts in dotted if parts[0] == "delrec_kit" and len(parts) > 1} - {"__version__"}


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_imports_only_what_stands_to_its_left(room):
    files = sorted((PACKAGE / room).rglob("*.py"))
    assert files, f"no room {room}"
    allowed = {*ROOMS[: ROOMS.index(room) + 1], *FREE}
    if room in ("data", "evaluation"):
        allowed -= {"teachers", "llm"}
    for path in files:
        assert rooms_used(path) <= allowed, f"{path.relative_to(PACKAGE)} imports {rooms_used(path) - allowed}"


@pytest.mark.parametrize("module", FREE)
def test_the_free_modules_import_no_room(module):
    assert rooms_used(PACKAGE / f"{module}.py") <= FREE[module]


@pytest.mark.parametrize("room", ["data", "evaluation"])
def test_data_and_evaluation_know_no_model(room):
    for path in (PACKAGE / room).rglob("*.py"):
        assert not {name.split(".")[0] for name in imported(path)} & {"torch", "transformers", "peft"}, path


def test_the_command_line_imports_nothing_heavy_at_the_top():
    light = {"__main__", "notebook_runner", *FREE}
    for module in light:
        top = [node for node in tree(PACKAGE / f"{module}.py").body if isinstance(node, ast.Import | ast.ImportFrom)]
        names = {
            n.split(".")[0]
            for node in top
            for n in ([getattr(node, "module", None)] + [a.name for a in node.names])
            if n
        }
        heavy = {"torch", "transformers", "papermill"} | ({"pandas", "matplotlib"} if module != "style" else set())
        assert not names & heavy, f"{module}: {names & heavy}"


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_nothing_runs_code_from_files(path):
    assert not {name.split(".")[0] for name in imported(path)} & {
        "pickle",
        "cPickle",
        "dill",
        "joblib",
        "shelve",
        "marshal",
    }
    for node in ast.walk(tree(path)):
        if not isinstance(node, ast.Call):
            continue
        given = {k.arg: k.value.value for k in node.keywords if isinstance(k.value, ast.Constant)}
        assert given.get("trust_remote_code") is not True, f"{path}:{node.lineno}"
        assert given.get("allow_pickle") is not True, f"{path}:{node.lineno}"
        name = ast.unparse(node.func)
        assert name not in {"eval", "exec", "pd.read_pickle", "yaml.load", "torch.save"}, (
            f"{path}:{node.lineno}: {name}"
        )
        if name == "torch.load":
            assert given.get("weights_only") is True, f"{path}:{node.lineno}: torch.load without weights_only=True"


def test_every_setting_is_read_somewhere():
    read = {
        node.attr
        for path in SOURCES
        if path.name != "config.py"
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Attribute)
    }
    idle = {key for key in settable_keys() if key.rpartition(".")[2] not in read}
    assert not idle, f"settings that nothing reads: {sorted(idle)}"


def test_files_are_short():
    long = {
        str(p.relative_to(PACKAGE)): n for p in SOURCES if (n := len(p.read_text(encoding="utf-8").splitlines())) > 400
    }
    assert not long, f"split these: {long}"
