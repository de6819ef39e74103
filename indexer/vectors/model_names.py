"""What may have been meant by the name of a model that is not there."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable, Iterator
from importlib.util import find_spec

from indexer.config import DEFAULT_MODEL

_ORGANISATION = "sentence-transformers/"
# Those that the library's documentation names first, all below sentence-transformers/.
_WELL_KNOWN = (
    DEFAULT_MODEL,
    "all-MiniLM-L12-v2",
    "all-mpnet-base-v2",
    "all-distilroberta-v1",
    "multi-qa-MiniLM-L6-cos-v1",
    "multi-qa-mpnet-base-dot-v1",
    "multi-qa-distilbert-cos-v1",
    "paraphrase-MiniLM-L3-v2",
    "paraphrase-albert-small-v2",
    "paraphrase-multilingual-MiniLM-L12-v2",
    "paraphrase-multilingual-mpnet-base-v2",
    "distiluse-base-multilingual-cased-v2",
)
_ALIKE = 0.8  # of 1, as difflib measures it


def near_name(name: str) -> str:
    """The known model, or the one on this machine, whose name is most like this; "" if none is."""
    has_organisation = "/" in name
    known = [*_WELL_KNOWN, *_downloaded()]
    if has_organisation:
        known = [one if "/" in one else _ORGANISATION + one for one in known]
    return _nearest(name, (one for one in known if one != name))


def near_folder(folder: str) -> str:
    """The folder that lies where this one would, and whose name is most like its; "" if none is."""
    above, name = os.path.split(folder)
    try:
        with os.scandir(above) as entries:
            names = [one.name for one in entries if one.is_dir()]
    except OSError:
        return ""
    near = _nearest(name, names)
    return os.path.join(above, near) if near else ""


def _nearest(name: str, known: Iterable[str]) -> str:
    by_lower = {one.lower(): one for one in reversed([*known])}
    near = difflib.get_close_matches(name.lower(), by_lower, 1, cutoff=_ALIKE)
    return by_lower[near[0]] if near else ""


def _downloaded() -> Iterator[str]:
    """The models in the hub's cache on this machine."""
    if find_spec("huggingface_hub") is None:
        return
    from huggingface_hub.constants import HF_HUB_CACHE

    try:
        names = sorted(os.listdir(HF_HUB_CACHE))
    except OSError:
        return
    for name in names:
        if name.startswith("models--"):
            yield name.removeprefix("models--").replace("--", "/")
