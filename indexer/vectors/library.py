"""The libraries that run models, kept quiet, with their errors turned into ours."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from indexer.environment import (
    hidden,
    is_for_bars,
    is_process_ours,
    set_for_libraries,
    standing_in,
)
from indexer.errors import CodxIndexError, ModelError

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer


_LIBRARIES = ("torch", "transformers", "sentence_transformers")


def missing_libraries() -> str:
    """What to install before `load_sentence_transformer` can be used, "" if nothing."""
    if all(find_spec(name) for name in _LIBRARIES):
        return ""
    return (
        "torch and sentence-transformers are not installed: "
        "pip install torch sentence-transformers"
    )


def load_sentence_transformer(
    folder: str, device: str, precision: str
) -> SentenceTransformer:
    """Load a model with sentence-transformers. Importing torch takes seconds.

    `precision` is "f32" or "bf16". Nothing is downloaded, and no code of the model is run.
    Raises `ModelError`.
    """
    if problem := missing_libraries():
        raise ModelError(f"{folder} cannot be loaded: {problem}")
    with third_party(f"sentence-transformers cannot load {folder}"), quiet():
        import torch
        from sentence_transformers import SentenceTransformer
        from transformers.utils import logging

        # If someone imported transformers before, it did not see what quiet() sets.
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


_NO_MEMORY = re.compile(
    "bad.?alloc|out of memory|allocate memory|failed to map segment", re.IGNORECASE
)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory has run out, which C++ and the loader of libraries have words for."""
    return isinstance(error, MemoryError) or bool(_NO_MEMORY.search(str(error)))


@contextmanager
def third_party(what: str) -> Iterator[None]:
    """Turn whatever a model library raises into a `ModelError` that starts with `what`,
    or into a `MemoryError`.

    It catches every exception because these libraries leave no choice: tokenizers raises
    bare `Exception`, and safetensors a direct child of it.
    """
    try:
        yield
    except (CodxIndexError, MemoryError):
        raise
    except Exception as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        if is_out_of_memory(error):
            raise MemoryError(f"{what}: {reason[:200]}") from error
        raise ModelError(f"{what}: {reason[:200]}") from error


@contextmanager
def reporting_to_nobody() -> Iterator[None]:
    """A block in which OpenVINO and nncf are imported without what reports their use.

    Otherwise each import and each conversion starts a process that tells Google Analytics, and
    writes an id into the home folder. Without the package they do as if somebody had declined.
    """
    with standing_in({"openvino_telemetry": None}):
        yield


def import_openvino() -> Any:
    """OpenVINO, which has no types; its import reports to nobody.

    In a process of ours it comes without its converter, which takes two thirds of the time.
    """
    late = {"openvino.tools.ovc": None} if is_process_ours() else {}
    with reporting_to_nobody(), standing_in(late):
        import openvino
    return openvino


def import_converter() -> Any:
    """OpenVINO's `convert_model`."""
    import_openvino()
    with reporting_to_nobody():
        from openvino.tools.ovc import convert_model
    return convert_model


@contextmanager
def quiet() -> Iterator[None]:
    """Keep the model libraries from warnings, progress bars and telemetry."""
    set_for_libraries("HF_HUB_DISABLE_TELEMETRY", "1")
    set_for_libraries("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    set_for_libraries("TRANSFORMERS_VERBOSITY", "error")
    # They import tqdm, which refuses a bad number in a variable for other programs' bars.
    with hidden(is_for_bars), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
