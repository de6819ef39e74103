"""Loads sentence-transformers quietly, and remembers what was learned about a model."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from indexer.errors import CodxIndexError, ModelError

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer


def load_sentence_transformer(
    folder: str, device: str, precision: str
) -> SentenceTransformer:
    """Load a model with sentence-transformers; seconds, for the import of torch.

    `precision` is "f32" or "bf16". Nothing is downloaded, no code of the model is run.
    Raises `ModelError`.
    """
    with third_party(f"sentence-transformers cannot load {folder}"), quiet():
        import torch
        from sentence_transformers import SentenceTransformer
        from transformers.utils import logging

        # Imported earlier by someone else, transformers did not see what quiet() says.
        logging.set_verbosity_error()  # type: ignore[no-untyped-call]
        logging.disable_progress_bar()  # type: ignore[no-untyped-call]
        return SentenceTransformer(
            folder,
            device=device,
            local_files_only=True,
            trust_remote_code=False,
            model_kwargs={
                "use_safetensors": True,
                "dtype": torch.bfloat16 if precision == "bf16" else torch.float32,
            },
        ).eval()


@contextmanager
def third_party(what: str) -> Iterator[None]:
    """Turn whatever a model library raises into a `ModelError` that starts with `what`.

    The one place that catches every exception, because these libraries leave no choice:
    tokenizers raises bare `Exception`, safetensors a direct child of it.
    """
    try:
        yield
    except (CodxIndexError, MemoryError):
        raise
    except Exception as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ModelError(f"{what}: {reason[:200]}") from error


@contextmanager
def quiet() -> Iterator[None]:
    """No warnings, no progress bars, no telemetry from the model libraries."""
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
    os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"
    os.environ["TRANSFORMERS_VERBOSITY"] = "error"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def recall(memo: str, stamp: Any) -> Any:
    """What `remember` kept in the file `memo` under an equal stamp, else None."""
    try:
        with open(memo, encoding="utf-8") as file:
            kept = json.load(file)
        return kept["value"] if kept["stamp"] == stamp else None
    except (OSError, ValueError, LookupError, TypeError):
        return None


def remember(memo: str, stamp: Any, value: Any) -> None:
    """Keep `value` for `recall`. A cache that cannot be written is no failure."""
    import tempfile  # here, as it takes a while to import

    try:
        os.makedirs(os.path.dirname(memo), exist_ok=True)
        descriptor, part = tempfile.mkstemp(dir=os.path.dirname(memo), prefix=".tmp-")
        with open(descriptor, "w", encoding="utf-8") as file:
            json.dump({"stamp": stamp, "value": value}, file)
        os.replace(part, memo)
    except OSError:
        pass


def _stamp(folder: str, file: str) -> list[Any]:
    try:
        stat = os.stat(os.path.join(folder, file))
    except OSError as error:
        raise ModelError(f"{folder}/{file} cannot be read: {error.strerror}") from None
    return [file, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino]
