"""Makes a static model of the token embeddings of a transformer, for programs that need any.

    python static_model.py MODEL TARGET

It is not made for a good ranking.
"""

from __future__ import annotations

import sys
from pathlib import Path

from model2vec import StaticModel  # type: ignore[import-not-found]
from safetensors.numpy import load_file
from tokenizers import Tokenizer


def main() -> None:
    model, target = map(Path, sys.argv[1:])
    tensors = load_file(model / "model.safetensors")
    (vectors,) = (
        tensor for name, tensor in tensors.items() if "word_embeddings" in name
    )
    tokenizer = Tokenizer.from_file(str(model / "tokenizer.json"))
    StaticModel(vectors, tokenizer).save_pretrained(str(target))


if __name__ == "__main__":
    main()
