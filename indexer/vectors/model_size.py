"""The size of a model: the dimension of its vectors, and how many tokens it takes."""

from __future__ import annotations

import os
from typing import Any

from indexer.errors import ModelError
from indexer.vectors.library import load_sentence_transformer
from indexer.vectors.model_files import (
    read_json,
    read_sentence_config,
    read_settings,
    transformer_folder,
)
from indexer.vectors.tokenizer import load_raw_tokenizer

# The chunk size for models that take texts of any length, such as averages of word vectors.
TOKENS_IF_UNLIMITED = 512


def read_size(folder: str, modules: list[dict[str, Any]]) -> dict[str, int]:
    """The `dimension` and `max_tokens` of the model in `folder`, whose parts are `modules`.

    They come from the settings alone where these tell. Otherwise the model is loaded, which
    takes seconds. Raises `ModelError`.
    """
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
        # It is put before every text, so it takes from what is left for the text itself.
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
    """The dimension of a pooling module, as sentence-transformers 6 or older saved it."""
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
    """The limit by the rule of sentence-transformers, None where the files do not tell."""
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
