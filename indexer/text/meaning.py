"""What nobody finds by its meaning: translations, data, outputs, dumps and generated code.

A file of these kinds is found by its words alone. It repeats what other files say, or says nothing
in sentences, so a vector of it costs as much as one of a source and answers no question. In doubt a
file is embedded, because that only costs time. `MEANING_VERSION` counts changes of the rule.

The rule sees the path and the bytes of a file and nothing else. So its answer can be kept with the
blob id, and found again from the tree where it was lost.
"""

from __future__ import annotations

import re
from posixpath import splitext

from indexer.text.generated import is_generated
from indexer.text.tables import is_dump, is_large_json, is_table
from indexer.text.translations import is_translation

TRANSLATION = "translation"
DATA = "data"
OUTPUT = "output"
GENERATED = "generated"

# Tables, records, drawings, geography, certificates, dictionaries of spelling checkers, and what
# tools keep. Pictures in a text format are drawings as well.
_DATA_ENDINGS = frozenset(
    "csv tsv psv jsonl ndjson har dat data dump log lock ics vcf "
    "geojson topojson gpx kml wkt osm fasta fa gff pdb cif "
    "svg drawio excalidraw xpm pbm pgm ppm stl obj ply gltf "
    "crt cer csr crl dic aff pbxproj xcworkspacedata xcuserstate iml".split()
)
# What a test compares with: it repeats what the sources of the test say.
_OUTPUT_ENDINGS = frozenset(
    "snap ambr golden expect expected stdout stderr out approved received".split()
)
_OUTPUT_FOLDERS = frozenset(
    "__snapshots__ __image_snapshots__ cassettes vcr_cassettes".split()
)
_OUTPUT_STEM = re.compile(r".*\.(?:approved|received|golden|expected)")
_FIXTURE_FOLDERS = frozenset(
    "fixtures __fixtures__ testdata test_data test-data".split()
)
_RECORDS = frozenset("json xml".split())
# Of a project, also of one that is a fixture.
_CONFIGURATION = re.compile(
    r"package|composer|manifest|pom|project|.*config(?:uration)?|.*rc|.*schema|.*settings|build"
)
_TOOLS = re.compile(r"(?:^|/)(?:\.idea|\.yarn/releases)/|(?:^|/)\.pnp\.[cm]?js$")

_PROGRAM = b"#!"  # whatever it is called, somebody wrote it to be run


def kind_of_plain(path: str, data: bytes) -> str:
    """The kind of a file that is found by its words alone, "" for all others."""
    *folders, name = path.lower().split("/")
    stem, ending = splitext(name)
    ending = ending[1:]
    if data.startswith(_PROGRAM):
        return GENERATED if is_generated(name, data) else ""
    if is_translation(path, data):
        return TRANSLATION
    if _is_output(folders, stem, ending):
        return OUTPUT
    if (
        ending in _DATA_ENDINGS
        or _TOOLS.search(path)
        or _is_record(folders, stem, ending)
        or (ending == "json" and is_large_json(data))
        or (ending == "sql" and is_dump(data))
        or is_table(data)
    ):
        return DATA
    return GENERATED if is_generated(name, data) else ""


def _is_output(folders: list[str], stem: str, ending: str) -> bool:
    return (
        ending in _OUTPUT_ENDINGS
        or not _OUTPUT_FOLDERS.isdisjoint(folders)
        or bool(_OUTPUT_STEM.fullmatch(stem))
    )


def _is_record(folders: list[str], stem: str, ending: str) -> bool:
    """Whether the file is what a test reads, and not a project's configuration."""
    return (
        ending in _RECORDS
        and not _FIXTURE_FOLDERS.isdisjoint(folders)
        and not _CONFIGURATION.fullmatch(stem)
    )
