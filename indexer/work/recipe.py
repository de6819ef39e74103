"""What the workers of a cluster need to know to compute the same as this machine would.

A recipe never names a path of the machine that wrote it. Each host finds the model by its digest, in
its own folders.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

from msgspec import Struct
from msgspec.structs import asdict

from indexer.config import fingerprint
from indexer.text.versions import CHUNKER_VERSION, SPARSE_VERSION
from indexer.vectors.backend import (
    OPENVINO,
    Backend,
    compute_precision,
    cpu_has_bf16,
)

# The distributions that decide chunks, terms and vectors, or how tasks travel.
_DECIDING = (
    "distributed",
    "PyStemmer",
    "tokenizers",
    "tree-sitter",
    "tree-sitter-language-pack",
)
_OF_TORCH = ("torch", "transformers", "sentence-transformers")


class Recipe(Struct, frozen=True):
    """A model, how it is run, and by which versions of what.

    `model` is its name, "" for one that is known by its folder. `computed` is the precision of what
    the graph leaves open, and whether the CPU has it. A task may take `task_timeout` seconds (0: no
    limit). `versions` pairs names with versions.
    """

    model: str
    digest: str
    dimension: int
    max_tokens: int
    kind: str
    precision: str
    computed: str
    task_timeout: float
    versions: tuple[tuple[str, str], ...]

    @property
    def id(self) -> str:
        """A name for what is equal in all recipes like this one."""
        return f"codx-index-{fingerprint(**asdict(self))[:16]}"


def recipe_of(backend: Backend, task_timeout: float) -> Recipe:
    """The recipe for what a backend of this machine computes."""
    model = backend.model
    is_folder = model.name.startswith(("/", ".", "~"))
    return Recipe(
        "" if is_folder else model.name,
        model.digest,
        model.dimension,
        model.max_tokens,
        backend.kind,
        backend.precision,
        _computed(backend),
        task_timeout,
        versions(backend.kind),
    )


def _computed(backend: Backend) -> str:
    computed = compute_precision(backend)
    is_emulated = computed == "bf16" and backend.device == "cpu" and not cpu_has_bf16()
    return f"{computed}, which the CPU lacks" if is_emulated else computed


def versions(kind: str) -> tuple[tuple[str, str], ...]:
    """The versions here of what takes part where this kind of backend computes."""
    from importlib import metadata

    from indexer import __version__

    found = {
        "codx-index": __version__,
        "the chunker": str(CHUNKER_VERSION),
        "the terms": str(SPARSE_VERSION),
        "Python": ".".join(map(str, sys.version_info[:2])),
    }
    for name in (*_DECIDING, *(("openvino",) if kind == OPENVINO else _OF_TORCH)):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "missing"
    return tuple(found.items())


def differences(recipe: Recipe, backend: Backend) -> Iterator[str]:
    """What differs between a recipe and what a backend of this machine would compute, with both
    sides named: this machine is "there" for whoever reads it."""
    own = recipe_of(backend, recipe.task_timeout)
    yield from version_differences(recipe)
    for name in ("kind", "precision", "computed", "dimension", "max_tokens"):
        here, there = getattr(recipe, name), getattr(own, name)
        if here != there:
            yield f"{_SAID[name]} {there} there, {here} here"


_SAID = {
    "kind": "the model is run by",
    "precision": "the precision is",
    "computed": "products are computed in",
    "dimension": "the vectors' dimension is",
    "max_tokens": "the longest text in tokens is",
}


def version_differences(recipe: Recipe) -> Iterator[str]:
    """The versions that differ between a recipe and this machine, which is "there"."""
    own = dict(versions(recipe.kind))
    for name, here in recipe.versions:
        there = own.get(name, "missing")
        if here != there:
            yield f"{name} is {there} there, {here} here"
