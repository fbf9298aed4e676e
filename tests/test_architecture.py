"""The house rules that can be read from the source: who imports whom, what is never called, no idle setting."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import delrec_kit
from delrec_kit.settings.resolve import settable_keys

PACKAGE = Path(delrec_kit.__file__).parent
ROOMS = [
    "settings",
    "run",
    "data",
    "evaluation",
    "teachers",
    "llm",
    "training",
    "interpret",
    "study",
    "api",
    "batch",
    "__main__",
]
SOURCES = sorted(path for path in PACKAGE.rglob("*.py"))
IDS = [str(path.relative_to(PACKAGE)) for path in SOURCES]
MODELS = {"torch", "transformers", "peft", "captum"}
HEAVY = {*MODELS, "papermill", "pandas", "scipy", "matplotlib", "seaborn", "sklearn", "pyarrow"}


def tree(path):
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def names_in(nodes, path):
    """Dotted names of what these import statements import."""
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: relative import"
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def imported(path):
    """Dotted names of what a file imports, at any depth in it."""
    return names_in(ast.walk(tree(path)), path)


def room_of(path):
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


@pytest.mark.parametrize("path", SOURCES, ids=IDS)
def test_a_module_imports_only_from_rooms_to_its_left(path):
    dotted = [name.split(".") for name in imported(path)]
    used = {parts[1] for parts in dotted if parts[0] == "delrec_kit" and len(parts) > 1} - {"__version__"}
    if room_of(path) == "__init__":
        return
    assert room_of(path) in ROOMS, f"{path.name} stands in no room"
    allowed = set(ROOMS[: ROOMS.index(room_of(path)) + 1])
    assert used <= allowed, f"{path.relative_to(PACKAGE)} imports {sorted(used - allowed)}"


@pytest.mark.parametrize("room", ["data", "evaluation"])
def test_data_and_evaluation_know_no_model(room):
    for path in (PACKAGE / room).rglob("*.py"):
        assert not {name.split(".")[0] for name in imported(path)} & MODELS, path


def test_the_command_line_starts_without_anything_heavy():
    script = f"import sys; import delrec_kit.__main__; print(sorted(set({sorted(HEAVY)!r}) & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("path", SOURCES, ids=IDS)
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
        str(p.relative_to(PACKAGE)): n for p in SOURCES if (n := len(p.read_text(encoding="utf-8").splitlines())) > 250
    }
    assert not long, f"split these: {long}"


def test_functions_take_at_most_six_things():
    """The command line apart, whose flags are its parameters: when more travel together, they are one thing."""
    many = {}
    for path in SOURCES:
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.FunctionDef) and room_of(path) != "__main__":
                given = [a.arg for a in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)]
                if len([name for name in given if name not in ("self", "cls")]) > 6:
                    many[f"{path.relative_to(PACKAGE)}: {node.name}"] = len(given)
    assert not many, many


def test_the_stages_start_without_torch():
    """What a command needs first must not wait for what it may never need."""
    script = "import sys; import delrec_kit.study.stages; print('torch' in sys.modules, 'transformers' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]
