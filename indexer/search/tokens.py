"""How many tokens a text has, by the tokenizer of the default model.

It is the one tokenizer that every installation has, because it comes with the default model's
package. Language models have others; theirs make about as many tokens of source code.
"""

from __future__ import annotations

import threading
from functools import cache

from indexer.config import DEFAULT_MODEL
from indexer.vectors.model import resolve_model
from indexer.vectors.tokenizer import ModelTokenizer, load_raw_tokenizer


class TokenCounter:
    """Counts the tokens of texts, without the special ones that a model adds.

    The tokens of a text are those of its lines. Threads may share it. Raises `ModelError` if the
    default model is not installed.
    """

    def __init__(self, cache_dir: str) -> None:
        folder = resolve_model(DEFAULT_MODEL, cache_dir).folder
        self._tokenizer = ModelTokenizer(load_raw_tokenizer(folder))
        (self._special,) = self._tokenizer.count([""])
        self._lock = threading.Lock()

    def __call__(self, text: str) -> int:
        """The number of tokens."""
        with self._lock:
            (found,) = self._tokenizer.count([text])
        return found - self._special


@cache
def token_counter(cache_dir: str) -> TokenCounter:
    """The counter of this process, which is loaded when it is first asked for."""
    return TokenCounter(cache_dir)
