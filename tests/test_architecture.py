"""The house itself: mirror tests, the public list, who may load torch, and no rooms for odds and ends."""

import ast
import subprocess
import sys
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from types import ModuleType

import pytest
from jaxtyping import TypeCheckError

import netcaliper as nc

TESTS = Path(__file__).parent
SOURCE = TESTS.parent / "src" / "netcaliper"

MODULES = sorted(path.relative_to(SOURCE) for path in SOURCE.rglob("*.py"))
CATCH_ALL = {"util", "utils", "common", "misc", "helper", "helpers"}


def defines_something(path):
    """Whether a file holds a function, or a class with one: plain records have nothing to test by themselves."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return any(isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) for node in ast.walk(tree))


def mirror(module):
    """Return the test file of a source file: the package's own ``__init__`` is tested here."""
    return TESTS / module.parent / f"test_{module.name}"


def run(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=120)


@pytest.mark.parametrize("module", [m for m in MODULES if m.name != "__init__.py"], ids=str)
def test_every_file_has_its_mirror_test(module):
    if defines_something(SOURCE / module):
        assert mirror(module).is_file(), f"write tests/{module.parent}/test_{module.name}"


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_no_room_for_odds_and_ends(module):
    assert not CATCH_ALL & {part.removesuffix(".py").strip("_") for part in module.parts}


@pytest.mark.parametrize("folder", sorted({m.parent for m in MODULES}), ids=str)
def test_every_folder_is_a_package_with_a_docstring(folder):
    init = SOURCE / folder / "__init__.py"
    assert init.is_file(), "import-linter does not see folders without __init__.py"
    assert ast.get_docstring(ast.parse(init.read_text(encoding="utf-8")))


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_no_postponed_annotations(module):
    """Shapes in signatures are checked at run time, which needs the annotations themselves."""
    assert "from __future__ import annotations" not in (SOURCE / module).read_text(encoding="utf-8")


def test_public_list_is_sorted_and_real():
    assert nc.__all__ == sorted(nc.__all__)
    for name in nc.__all__:
        assert getattr(nc, name) is not None
    assert set(nc.__all__) <= set(dir(nc))


def test_public_list_equals_what_type_checkers_see():
    """The lazy names stand twice: for type checkers and for the run. They must be the same."""
    tree = ast.parse((SOURCE / "__init__.py").read_text(encoding="utf-8"))
    block = next(node for node in tree.body if isinstance(node, ast.If))
    seen = {}
    for node in block.body:
        assert isinstance(node, ast.ImportFrom)
        for alias in node.names:
            assert alias.asname == alias.name
            seen[alias.name] = (node.module, alias.name)
    assert {*seen, "__version__"} == set(nc.__all__)
    for name, (module, attribute) in seen.items():
        assert module is not None
        home = import_module(module)
        assert getattr(nc, name) is (nc.errors if home is nc else getattr(home, attribute))


def test_unknown_names_are_attribute_errors():
    with pytest.raises(AttributeError, match="'netcaliper' has no attribute 'mesure'"):
        _ = nc.mesure  # pyright: ignore[reportAttributeAccessIssue]


@pytest.mark.parametrize("order", ["before", "after"])
def test_functions_win_over_folders_of_the_same_name(order):
    submodules = "import netcaliper.trace.site, netcaliper.measure.static; import netcaliper.reading.store"
    names = "functions = [nc.trace, nc.measure, nc.load]"
    body = [submodules, names] if order == "before" else [names, submodules, names]
    code = "; ".join(["import netcaliper as nc", *body, "assert all(map(callable, functions)), functions"])
    done = run(code)
    assert done.returncode == 0, done.stderr


def test_submodules_stay_importable():
    from netcaliper.trace import site

    assert isinstance(site, ModuleType)
    assert isinstance(sys.modules["netcaliper.trace"], ModuleType)
    assert not isinstance(nc.trace, ModuleType)


def modules_below(folder):
    return [
        ".".join(["netcaliper", *m.with_suffix("").parts]).removesuffix(".__init__")
        for m in MODULES
        if m.parts[0] == folder
    ]


def without_torch(statement):
    """Run ``statement`` in a child interpreter and fail there if torch was loaded."""
    return run(f"import sys\n{statement}\nassert 'torch' not in sys.modules, 'torch was loaded'")


@pytest.mark.parametrize("folder", ["reading", "report"])
def test_torch_stays_unloaded(folder):
    names = modules_below(folder)
    assert names
    done = without_torch(f"import netcaliper, {', '.join(names)}")
    assert done.returncode == 0, done.stderr


def test_the_check_for_torch_can_fail():
    done = without_torch("import netcaliper.fit.train")
    assert done.returncode != 0
    assert "torch was loaded" in done.stderr


@pytest.mark.parametrize("arguments", [["--help"], ["measure", "--help"]], ids=" ".join)
def test_help_answers_without_torch(arguments):
    done = without_torch(
        "from netcaliper.cli.main import main\n"
        f"sys.argv = ['netcaliper', *{arguments!r}]\n"
        "try:\n    main()\n"
        "except SystemExit as end:\n    assert not end.code, end.code"
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()


def test_shapes_are_checked_in_tests():
    """Without the option of pytest (see pyproject.toml) a wrong shape would pass silently."""
    import torch

    from netcaliper.zoo.cnn import CNN

    assert CNN().forward(torch.zeros(2, 1, 8, 8)).shape == (2, 10)
    with pytest.raises(TypeCheckError, match="Type-check error"):
        CNN().forward(torch.zeros(1, 8, 8))


def test_version_is_the_installed_one():
    assert nc.__version__ == version("netcaliper")
