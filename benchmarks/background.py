"""How rare is each term in code? Makes `indexer/text/idf.tsv` from other people's sources.

    python benchmarks/background.py [--files N] [--least-chunks N] FOLDER... > indexer/text/idf.tsv

Each folder holds sources under a permissive licence. The standard library and the installed
packages of the interpreter that runs this are always counted too. A term's rate is the share of
chunks, as this project cuts them, that contain it. It is averaged over languages, so that no
language decides by its size. Only the frequency of a term is kept, nothing of the sources.
"""

from __future__ import annotations

import argparse
import math
import os
import sys
import sysconfig
from collections import Counter, defaultdict
from collections.abc import Iterator

from indexer.settings.folders import cache_folder
from indexer.text.chunks import chunk_text
from indexer.text.decode import read_text
from indexer.text.languages import language_of
from indexer.text.terms import terms
from indexer.vectors.model import resolve_model
from indexer.vectors.tokenizer import load_tokenizer

TERMS = 4_000
LEAST_LANGUAGES = 3  # a term of fewer languages is left out
LEAST_CHUNKS = 1_000  # a language with fewer is left out
MOST_FILES = 500  # of one language in one folder
LEFT_OUT = frozenset(
    "cmake cuda json yaml toml xml csv ini properties html rst".split()
)


def main() -> None:
    """Print the table for the folders on the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folders", nargs="*", metavar="FOLDER")
    parser.add_argument(
        "--files",
        type=int,
        default=MOST_FILES,
        help="of one language in one folder",
    )
    parser.add_argument(
        "--least-chunks",
        type=int,
        default=LEAST_CHUNKS,
        help="of a language that counts",
    )
    options = parser.parse_args()
    paths = sysconfig.get_paths()
    folders = [paths["stdlib"], paths["purelib"], *options.folders]
    counts: defaultdict[str, Counter[str]] = defaultdict(Counter)
    chunks: Counter[str] = Counter()
    model = resolve_model("all-MiniLM-L6-v2", cache_folder(""))
    tokenizer = load_tokenizer(model)
    for folder in folders:
        for language, text in _files(folder, options.files):
            for chunk in chunk_text(text, language, tokenizer, model.max_tokens):
                found = terms(chunk.embedded_text)
                counts[language].update(set(found))
                chunks[language] += 1
        print(folder, dict(chunks), file=sys.stderr)
    languages = [one for one, found in chunks.items() if found >= options.least_chunks]
    rates: defaultdict[str, float] = defaultdict(float)
    spread: Counter[str] = Counter()
    for language in languages:
        for term, number in counts[language].items():
            rates[term] += number / chunks[language] / len(languages)
            spread[term] += 1
    print("# How rare terms are in code: ln((1 - rate) / rate + 1), most common first.")
    print(
        f"# Made by benchmarks/background.py from {chunks.total()} chunks of sources in"
    )
    print(f"# {', '.join(sorted(languages))}.")
    shared = [
        one
        for one in sorted(rates.items(), key=lambda one: -one[1])
        if spread[one[0]] >= LEAST_LANGUAGES
    ]
    for term, rate in shared[:TERMS]:
        print(f"{term}\t{math.log(1 / rate):.2f}")


def _files(folder: str, most: int) -> Iterator[tuple[str, str]]:
    """The language and the text of each source, at most so many of one language."""
    taken: Counter[str] = Counter()
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(
            name
            for name in folders
            if not name.startswith(".")
            and name
            not in ("site-packages", "node_modules", "__pycache__", "third_party")
        )
        for name in sorted(names):
            path = os.path.join(place, name)
            language = language_of(name, "")
            if not language or language in LEFT_OUT or os.path.getsize(path) > 200_000:
                continue
            if ".min." in name or taken[language] == most:
                continue
            with open(path, "rb") as file:
                text, reason = read_text(path, file.read())
            if not reason:
                taken[language] += 1
                yield language, text


if __name__ == "__main__":
    main()
