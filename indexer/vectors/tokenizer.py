"""The tokenizer of a model, without truncation and padding."""

from __future__ import annotations

import os
from array import array
from collections.abc import Sequence
from typing import TYPE_CHECKING

from indexer.environment import set_for_libraries
from indexer.errors import ModelError
from indexer.types import ID_BYTES
from indexer.vectors.backend import ModelInfo
from indexer.vectors.library import missing_libraries, quiet, third_party
from indexer.vectors.model_files import (
    read_modules,
    read_sentence_config,
    transformer_folder,
)
from indexer.vectors.words import words_of

if TYPE_CHECKING:
    import tokenizers


class ModelTokenizer:
    """A model's own view of a text: what `text.chunks` needs as its `Tokenizer`."""

    def __init__(self, raw: tokenizers.Tokenizer) -> None:
        self._raw = raw
        self._words = words_of(raw)

    def count(self, texts: Sequence[str]) -> list[int]:
        """How many tokens each text has, special tokens included."""
        if self._words:
            return [len(ids) // ID_BYTES for ids in map(self._words.ids, texts)]
        return [
            len(encoding.ids) for encoding in self._raw.encode_batch_fast(list(texts))
        ]

    def ids(self, texts: Sequence[str]) -> list[bytes]:
        """The same tokens as native uint32."""
        if self._words:
            return list(map(self._words.ids, texts))
        encodings = self._raw.encode_batch_fast(list(texts))
        return [array("I", encoding.ids).tobytes() for encoding in encodings]

    def spans(self, text: str) -> list[tuple[int, int]]:
        """The characters [start, end) of each token, in order, without special tokens."""
        return list(self._raw.encode(text, add_special_tokens=False).offsets)


class ByteTokenizer:
    """Stands in for a tokenizer that cannot be had: each byte of UTF-8 is a token.

    No usual tokenizer makes more tokens of a text. Those of BERT take a character or more for each,
    and those made of bytes take a byte or more.
    """

    SPECIAL = 8  # tokens that a model may add

    def count(self, texts: Sequence[str]) -> list[int]:
        """How many tokens each text has at most, special tokens included."""
        return [len(text.encode()) + self.SPECIAL for text in texts]

    def ids(self, texts: Sequence[str]) -> list[bytes]:
        """As many tokens, as native uint32, which say nothing."""
        return [bytes(ID_BYTES * count) for count in self.count(texts)]

    def spans(self, text: str) -> list[tuple[int, int]]:
        """The character that each byte belongs to, as [start, end)."""
        return [
            (place, place + 1)
            for place, character in enumerate(text)
            for _ in character.encode()
        ]


def load_tokenizer(model: ModelInfo) -> ModelTokenizer | ByteTokenizer:
    """Load the tokenizer of a model. Raises `ModelError` where it has none.

    An endpoint's model that is not on this machine has that of bytes.
    """
    if not model.folder:
        return ByteTokenizer()
    return ModelTokenizer(load_raw_tokenizer(model.folder))


def load_raw_tokenizer(folder: str) -> tokenizers.Tokenizer:
    """Load the tokenizer of the model in `folder`, as the tokenizers library has it.

    It uses one thread. Raises `ModelError` where there is none.
    """
    # There are as many workers as cores: a thread pool inside each would be in the way.
    set_for_libraries("TOKENIZERS_PARALLELISM", "false")
    folder = transformer_folder(folder, read_modules(folder))
    file = os.path.join(folder, "tokenizer.json")
    with third_party(f"the tokenizer in {folder} cannot be loaded"):
        if os.path.exists(file):
            import tokenizers

            raw = tokenizers.Tokenizer.from_file(file)
        else:
            raw = _convert_slow_tokenizer(folder)
        if read_sentence_config(folder).get("do_lower_case"):
            _lower_case(raw)
    raw.no_truncation()
    raw.no_padding()
    return raw


def _convert_slow_tokenizer(folder: str) -> tokenizers.Tokenizer:
    if problem := missing_libraries():
        raise ModelError(
            f"the tokenizer in {folder} has to be converted, but {problem}"
        )
    with quiet():
        from transformers import AutoTokenizer

        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        raw: tokenizers.Tokenizer = tokenizer.backend_tokenizer
        return raw


def _lower_case(raw: tokenizers.Tokenizer) -> None:
    from tokenizers import normalizers

    parts = [normalizers.Lowercase(), *([raw.normalizer] if raw.normalizer else [])]
    raw.normalizer = normalizers.Sequence(parts)
