"""The script that many write: it splits, embeds and inserts everything each time.

    python script.py PROJECT DATABASE MODEL

Runs in an environment with langchain-text-splitters, sentence-transformers and pymilvus, and
uses their defaults except for the size of a chunk. Prints the seconds of the work itself,
without the imports and without loading the model.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from langchain_text_splitters import (  # type: ignore[import-not-found]
    Language,
    RecursiveCharacterTextSplitter,
)
from pymilvus import MilvusClient
from sentence_transformers import SentenceTransformer

COLLECTION = "code"
CHUNK_CHARACTERS = 1_000
CHUNK_OVERLAP = 100


def main() -> None:
    project, database, model = sys.argv[1:]
    encoder = SentenceTransformer(model)
    client = MilvusClient(database)
    started = time.perf_counter()
    if client.has_collection(COLLECTION):
        client.drop_collection(COLLECTION)
    dimension = encoder.get_embedding_dimension()
    client.create_collection(COLLECTION, dimension=dimension, auto_id=True)
    splitter = RecursiveCharacterTextSplitter.from_language(
        Language.PYTHON, chunk_size=CHUNK_CHARACTERS, chunk_overlap=CHUNK_OVERLAP
    )
    rows = [
        {"path": str(path.relative_to(project)), "text": text}
        for path in sorted(Path(project).rglob("*.py"))
        for text in splitter.split_text(path.read_text())
    ]
    vectors = encoder.encode([row["text"] for row in rows])
    client.insert(
        COLLECTION,
        [
            {**row, "vector": vector}
            for row, vector in zip(rows, vectors.tolist(), strict=True)
        ],
    )
    client.close()
    print(json.dumps({"work": time.perf_counter() - started}))


if __name__ == "__main__":
    main()
