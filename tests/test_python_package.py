"""The package as a whole: what importing costs, which names there are, and that the stubs tell the truth."""

import ast
import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import tracesmith as ts
from tracesmith import _core, types

PACKAGE = Path(ts.__file__).parent


def run(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout


def test_importing_the_package_loads_nothing() -> None:
    before = set(run("import sys; print(*sys.modules)").split())
    after = set(run("import tracesmith, sys; print(*sys.modules)").split())
    assert after - before == {"tracesmith"}


def test_every_name_can_be_had_and_is_listed() -> None:
    for name in ts.__all__:
        assert getattr(ts, name) is not None
    assert set(ts.__all__) <= set(dir(ts))
    assert len(ts.__all__) == len(set(ts.__all__))


def test_a_name_that_does_not_exist_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'build_castle'"):
        ts.build_castle  # noqa: B018


def test_the_version_is_one() -> None:
    assert ts.__version__.startswith(f"{ts.VERSION_MAJOR}.{ts.VERSION_MINOR}.{ts.VERSION_PATCH}")


def test_the_package_stub_has_the_same_names() -> None:
    tree = ast.parse((PACKAGE / "__init__.pyi").read_text())
    imported = {name.asname for node in tree.body if isinstance(node, ast.ImportFrom) for name in node.names}
    declared = {node.target.id for node in tree.body if isinstance(node, ast.AnnAssign)}
    assert imported | declared == set(ts.__all__)


def test_the_event_types_that_checkers_see_are_those_of_c() -> None:
    tree = ast.parse((PACKAGE / "types.py").read_text())
    (seen,) = (node for node in ast.walk(tree) if isinstance(node, ast.ClassDef) and node.name == "EventType")
    members = {
        node.targets[0].id: node.value.value
        for node in seen.body
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
    }
    assert members == _core.EVENT_TYPES == {member.name: int(member) for member in types.EventType}


# ---- the stub of _core against _core itself


def stub() -> ast.Module:
    return ast.parse((PACKAGE / "_core.pyi").read_text())


def stub_names(body: list[ast.stmt]) -> set[str]:
    names = set()
    for node in body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            names.add(node.name)
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            names.add(node.target.id)
    return names


def public(thing: object) -> set[str]:
    return {name for name in dir(thing) if not name.startswith("_")}


def parameters(arguments: ast.arguments) -> list[tuple[str, bool, bool]]:
    """(name, is keyword-only, has a default), without self."""
    positional = [*arguments.posonlyargs, *arguments.args]
    defaults = [False] * (len(positional) - len(arguments.defaults)) + [True] * len(arguments.defaults)
    found = [(arg.arg, False, default) for arg, default in zip(positional, defaults, strict=True)]
    found += [
        (arg.arg, True, default is not None)
        for arg, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
    ]
    return [parameter for parameter in found if parameter[0] != "self"]


def signature(function: object) -> list[tuple[str, bool, bool]]:
    return [
        (p.name, p.kind is p.KEYWORD_ONLY, p.default is not p.empty)
        for p in inspect.signature(function).parameters.values()  # type: ignore[arg-type]
        if p.name != "self"
    ]


# Not in dir(): they are made when they are asked for.
MADE_WITH_NUMPY = {"EVENT_DTYPE", "EXTENSION_DTYPE", "BLOCK_DTYPE", "POSITION_DTYPE"}


def test_core_starts_without_numpy() -> None:
    program = "import sys, tracesmith._core as core; assert 'numpy' not in sys.modules; core.EVENT_DTYPE"
    subprocess.run([sys.executable, "-c", program], check=True)


def test_the_stub_of_core_lists_exactly_what_is_there() -> None:
    assert stub_names(stub().body) == public(_core) | MADE_WITH_NUMPY
    assert all(hasattr(_core, name) for name in MADE_WITH_NUMPY)
    for node in stub().body:
        if isinstance(node, ast.ClassDef):
            assert stub_names(node.body) - {"__init__"} == public(getattr(_core, node.name))


def test_the_stub_of_core_has_the_true_signatures() -> None:
    compared = 0
    for node in stub().body:
        if isinstance(node, ast.FunctionDef):
            assert parameters(node.args) == signature(getattr(_core, node.name)), node.name
            compared += 1
        for method in node.body if isinstance(node, ast.ClassDef) else []:
            if isinstance(method, ast.FunctionDef) and not method.decorator_list:
                owner = getattr(_core, node.name)
                real = owner if method.name == "__init__" else getattr(owner, method.name)
                assert parameters(method.args) == signature(real), f"{node.name}.{method.name}"
                compared += 1
    assert compared > 20


def test_everything_public_in_core_is_documented() -> None:
    for name in public(_core):
        thing = getattr(_core, name)
        if callable(thing):
            assert thing.__doc__
            for member in public(thing) if isinstance(thing, type) else ():
                assert getattr(thing, member).__doc__, f"{name}.{member}"
