"""The files of a model: which of them decide its vectors, and what they say."""

from __future__ import annotations

import glob
import hashlib
import json
import os
from typing import Any

from indexer.errors import ModelError
from indexer.vectors.library import third_party

# Weights, settings and vocabularies. Everything else in a model's folder is for people.
_DECIDING = (".safetensors", ".json", ".txt", ".model")


def read_modules(folder: str) -> list[dict[str, Any]]:
    """The parts of the pipeline, from modules.json; [] for a plain transformers model.

    Raises `ModelError` where the folder holds no model, or one that is not safe to load.
    """
    file = os.path.join(folder, "modules.json")
    if not os.path.exists(file):
        if os.path.exists(os.path.join(folder, "config.json")):
            return []
        raise ModelError(
            f"the model folder {folder} has neither modules.json nor config.json"
        )
    modules = read_json(file)
    with third_party(f"cannot understand {file}"):
        for module in modules:
            if not module["type"].startswith("sentence_transformers."):
                raise ModelError(
                    f"the model in {folder} brings its own code ({module['type']}), which is never run"
                )
            if os.path.isabs(module["path"]) or ".." in module["path"].split("/"):
                raise ModelError(f"{file} points outside its folder: {module['path']}")
    return list(modules)


def deciding_files(folder: str, modules: list[dict[str, Any]]) -> list[str]:
    """The names below `folder` of the files that decide the vectors, sorted."""
    # Folders that no module names are left out: hub models carry exports for other runtimes.
    found = set(glob.glob("*", root_dir=folder))
    for path in filter(None, (module["path"] for module in modules)):
        found.update(
            glob.glob(f"{glob.escape(path)}/**", root_dir=folder, recursive=True)
        )
    return sorted(name for name in found if name.endswith(_DECIDING))


def weights_problem(
    folder: str, modules: list[dict[str, Any]], files: list[str]
) -> str | None:
    """What is wrong with the weights, as the end of a sentence, or None."""
    safe = {os.path.dirname(file) for file in files if file.endswith(".safetensors")}
    for path in {"", *(module["path"] for module in modules)}:
        pickles = glob.glob("*.bin", root_dir=os.path.join(folder, path))
        if pickles and path not in safe:
            where = os.path.join(path, pickles[0])
            return f"has pickled weights ({where}), which can run code: save it as safetensors"
    if not safe:
        return "has no weights: model.safetensors is missing"
    return None


def transformer_folder(folder: str, modules: list[dict[str, Any]]) -> str:
    """The folder of the transformer, which is the first of a model's modules."""
    return os.path.join(folder, modules[0]["path"]).rstrip("/") if modules else folder


def read_sentence_config(folder: str) -> dict[str, Any]:
    """What the model's `sentence_*_config.json` holds, {} without one."""
    # Old models name the file after the architecture: sentence_roberta_config.json.
    files = glob.glob(os.path.join(glob.escape(folder), "sentence_*_config.json"))
    config: dict[str, Any] = read_json(files[0]) if files else {}
    return config


def read_settings(folder: str) -> dict[str, Any]:
    """What the model's `config_sentence_transformers.json` holds, {} without one."""
    file = os.path.join(folder, "config_sentence_transformers.json")
    settings: dict[str, Any] = read_json(file, missing={})
    return settings


def read_json(file: str, missing: Any = None) -> Any:
    """What a JSON file holds, or `missing`, if given, where there is no such file.

    Raises `ModelError`.
    """
    if missing is not None and not os.path.exists(file):
        return missing
    try:
        with open(file, encoding="utf-8") as opened:
            return json.load(opened)
    except (OSError, ValueError) as error:
        raise ModelError(f"{file} cannot be read: {error}") from None


def hash_file(file: str) -> str:
    """The SHA-256 of a file, in hex. Raises `ModelError`."""
    try:
        with open(file, "rb") as opened:
            return hashlib.file_digest(opened, "sha256").hexdigest()
    except OSError as error:
        raise ModelError(f"{file} cannot be read: {error.strerror}") from None
