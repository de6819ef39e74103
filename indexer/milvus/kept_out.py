"""Keeps out libraries that pymilvus, milvus-lite and pyarrow import, but that we never use.

A run after one edit spends most of its time importing the store, and a third of that is
pandas, requests and faiss. Nothing in them is called if rows are dictionaries and the index
is FLAT.

Read in the versions of `internals.READ_IN`; tests/milvus/test_kept_out.py fails when one of
the libraries wants more than a stand-in gives.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from importlib import import_module
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

from indexer.environment import is_process_ours, standing_in


class _StandIn(ModuleType):
    """A module that has every class that anyone asks for; no object is an instance of them."""

    __version__ = "0"  # too old for anybody

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.__spec__ = ModuleSpec(name, None)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        found = type(name, (), {})
        setattr(self, name, found)
        return found


class _Late(ModuleType):
    """A module that is imported when something in it is used."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(import_module(self.__name__), name)


class _LateFunctions(ModuleType):
    """A module of functions, which is imported when one of them is called."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)

        def call(*given: Any, **options: Any) -> Any:
            return getattr(import_module(self.__name__), name)(*given, **options)

        return call


@contextmanager
def kept_out() -> Iterator[None]:
    """A block that imports pymilvus or milvus-lite without the libraries that are not needed here.

    Only in a process of our own: elsewhere, a second thread may want pandas meanwhile.
    """
    if not is_process_ours():
        yield
        return
    pandas = ("pandas", "pandas.api", "pandas.api.types")
    instead: dict[str, ModuleType | None] = {name: _StandIn(name) for name in pandas}
    instead["requests"] = _Late("requests")  # for addresses of a global cluster
    # It makes hundreds of functions, and conditions on rows call only some of them.
    instead["pyarrow.compute"] = _LateFunctions("pyarrow.compute")
    instead["faiss"] = None  # then milvus-lite takes it for not installed
    with standing_in(instead):
        yield


class _Unversioned(ModuleType):
    @staticmethod
    def get_version() -> str:
        return ""


def version_kept_out() -> AbstractContextManager[None]:
    """A block that imports milvus-lite's engine without its version.

    milvus-lite looks for it among all installed packages, which takes as long as importing the engine. Whoever
    asks for it later gets it.
    """
    name = "milvus_lite._version"
    return standing_in({name: _Unversioned(name)} if is_process_ours() else {})


def keep_pandas_out_of_pyarrow() -> None:
    """Have pyarrow look for pandas now, while there is none, because it looks only once.

    Otherwise it would import pandas to see whether a value is one of pandas' own.
    """
    if not is_process_ours() or "pandas" in sys.modules:
        return
    pyarrow = import_module("pyarrow")  # which has no types
    with standing_in({"pandas": _StandIn("pandas")}), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it is too old
        with suppress(AttributeError):  # it only saves time
            pyarrow.lib._pandas_api.have_pandas  # noqa: B018
    with standing_in({"pandas": None}):
        pyarrow.scalar(0)  # the part in C++ looks for itself
