"""The loop of codx-junior's change manager, rewritten from its description.

    python sequential.py PROJECT DATABASE MODEL

A file counts as changed when it was modified since the last run or did not exist then. The loop
takes one changed file after the other: it searches the file for mentions, deletes its documents,
splits it, and embeds and inserts each part on its own. It deletes the documents of files that
are gone, and treats a renamed file as one that is gone and a new one. Prints the seconds of the
work itself, without the imports and without loading the model, because the original is a service
that has done both.
"""

from __future__ import annotations

import json
import re
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
MENTION = re.compile(r"@codx\b|</?codx\b")


def main() -> None:
    project, database, model = sys.argv[1:]
    encoder = SentenceTransformer(model)
    client = MilvusClient(database)
    started = time.perf_counter()
    if client.has_collection(COLLECTION):
        client.load_collection(COLLECTION)
    else:
        dimension = encoder.get_embedding_dimension()
        client.create_collection(COLLECTION, dimension=dimension, auto_id=True)
    process_changes(Path(project), Path(f"{database}.json"), client, encoder)
    client.close()
    print(json.dumps({"work": time.perf_counter() - started}))


def process_changes(
    project: Path, state: Path, client: MilvusClient, encoder: SentenceTransformer
) -> None:
    """Bring the documents of the changed files up to date, one file after the other."""
    splitter = RecursiveCharacterTextSplitter.from_language(
        Language.PYTHON, chunk_size=CHUNK_CHARACTERS, chunk_overlap=CHUNK_OVERLAP
    )
    last, known = json.loads(state.read_text()) if state.exists() else (0.0, [])
    now = time.time()
    files = {str(path.relative_to(project)): path for path in project.rglob("*.py")}
    for source in set(known) - files.keys():
        delete(client, source)
    for source, path in files.items():
        if source in known and path.stat().st_mtime <= last:
            continue
        text = path.read_text()
        if MENTION.search(text):
            print(f"{source} mentions codx", file=sys.stderr)
        delete(client, source)
        for part in splitter.split_text(text):
            vector = encoder.encode(part).tolist()
            client.insert(
                COLLECTION, [{"path": source, "text": part, "vector": vector}]
            )
    state.write_text(json.dumps([now, list(files)]))


def delete(client: MilvusClient, source: str) -> None:
    client.delete(COLLECTION, filter=f"path == {json.dumps(source)}")


if __name__ == "__main__":
    main()
