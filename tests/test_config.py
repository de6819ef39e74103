"""Settings, addresses and names."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import pytest

from indexer.address import Address
from indexer.config import (
    Settings,
    check_collection,
    check_uri,
    fingerprint,
    project_folder,
)
from indexer.errors import ProjectError, UsageError


def settings(project: str = "/src/my-app", **values: Any) -> Settings:
    return Settings(project, "/cache", "model", **values)


@pytest.mark.parametrize(
    "uri",
    [
        "",
        "milvus.db",
        "/data/shared.db",
        "odd name:.db",
        "http://localhost:19530",
        "https://milvus.example.org",
        "http://localhost:19530/database.db",
        "tcp://10.0.0.1:19530",
        "unix:/run/milvus.sock",
    ],
)
def test_addresses(uri: str) -> None:
    assert check_uri(uri).reveal() == str(check_uri(uri)) == uri


@pytest.mark.parametrize(
    "uri", ["localhost:19530", "ftp://host", "http://", "milvus", "unix:", "ftp://x.db"]
)
def test_not_an_address(uri: str) -> None:
    with pytest.raises(UsageError, match="not a Milvus address"):
        check_uri(uri)


def test_place_of_the_database() -> None:
    assert settings().database == "/src/my-app/.codx/index/milvus.db"
    assert settings(uri=Address("/data/x.db")).database == "/data/x.db"
    assert settings(uri=Address("x.db")).database == os.path.abspath("x.db")
    for uri in ("http://h:1", "http://h:1/x.db", "unix:/run/x.db"):
        assert settings(uri=Address(uri)).database == ""
        assert settings(uri=Address(uri)).address == uri


@pytest.mark.parametrize("name", ["", "a", "_x9", "A" * 245])
def test_collection_names(name: str) -> None:
    assert check_collection(name) == name


@pytest.mark.parametrize("name", ["9a", "a-b", "a b", "caf\u00e9", "a\n", "A" * 246])
def test_not_a_collection_name(name: str) -> None:
    with pytest.raises(UsageError, match="not a collection name"):
        check_collection(name)


def test_collection_of_a_project() -> None:
    assert settings().collection_name == "codx_index"
    server: dict[str, Any] = {"uri": Address("http://h:1")}
    name = settings(**server).collection_name
    assert name.startswith("codx_my_app_")
    assert name == settings(**server).collection_name
    assert name != settings("/other/my-app", uri=Address("http://h:1")).collection_name
    assert settings(uri=Address("/data/x.db")).collection_name == name
    assert settings(collection="mine", **server).collection_name == "mine"


@pytest.mark.parametrize("project", [b"/\xff\xfe", b"/1 2", b"/" + b"x" * 255, b"/"])
def test_every_folder_gives_a_name_that_milvus_takes(project: bytes) -> None:
    found = settings(os.fsdecode(project), uri=Address("http://h:1")).collection_name
    assert check_collection(found) == found


def test_the_token_is_not_shown() -> None:
    shown = settings(uri=Address("http://h:1"), token="sekret")
    assert "sekret" not in f"{shown!r} {shown}"


def test_project_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "link").symlink_to(tmp_path)
    monkeypatch.chdir(tmp_path)
    assert project_folder(".") == project_folder("link") == os.path.realpath(tmp_path)
    with pytest.raises(ProjectError, match="no such folder"):
        project_folder("absent")
    with pytest.raises(ProjectError, match="not a folder"):
        project_folder("file")
    monkeypatch.setattr(os, "access", lambda *_: False)  # root may read everything
    with pytest.raises(ProjectError, match="permission denied"):
        project_folder(".")


def test_state_home() -> None:
    inside, outside = settings(), settings(state_root="/state")
    assert inside.state_dir == "/src/my-app/.codx/index"
    assert re.fullmatch(r"/state/my_app-[0-9a-f]{16}/\.codx/index", outside.state_dir)
    assert outside.database == f"{outside.state_dir}/milvus.db"
    homes = {
        settings(project, state_root="/state").state_home
        for project in (
            "/src/my-app",
            "/other/my-app",
            "/src/my_app",
            "/",
            "/src/\udcff",
        )
    }
    assert len(homes) == 5 and {os.path.dirname(home) for home in homes} == {"/state"}


def test_fingerprint() -> None:
    assert fingerprint(a=1, b="x") == fingerprint(b="x", a=1)
    assert len({fingerprint(a=1), fingerprint(a="1"), fingerprint(b=1)}) == 3
    assert len(fingerprint(a=1)) == 64
