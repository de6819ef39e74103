"""What can be asked of one run of a command: options that are no settings of a project."""

from __future__ import annotations

from typing import Any

import click

from indexer.config import DENSE, HYBRID, SPARSE
from indexer.settings.kinds import FOLDER, PATH, LanguageName, Pattern, Size
from indexer.settings.reach import Reach
from indexer.settings.sections import ANSWER, DONE, FILES, PRINTED, WHERE
from indexer.settings.setting import Form, Setting, Source


def _request(name: str, **attributes: Any) -> Setting:
    attributes = {"sources": Source.OPTION, "form": Form.VALUE, **attributes}
    return Setting(name=name, reach=Reach.INSIDE, is_request=True, **attributes)


def _flag(name: str, help_: str, **attributes: Any) -> Setting:
    return _request(name, form=Form.FLAG, help=help_, **attributes)


# Of several commands

TRUST = _request(
    "trust",
    form=Form.SWITCH,
    fallback=None,
    help="Follow settings in the files of the project that run programs or reach outside of "
    "it, or leave these out.",
    default_text="exit 2 where there are some",
    section=DONE,
)
TAKE_OVER = _flag(
    "take-over",
    "Write to a collection, or clear it, even if it belongs to the project at another path: "
    "it is this project's from then on.",
    field="takes_over",
    section=WHERE,
)
HERE = _flag(
    "here",
    "Take PATH itself as the project, even if it lies in one.",
    also=("is_here",),
    section=FILES,
)
JSON = _flag("json", "Print one JSON object.", also=("as_json",), section=PRINTED)
VERBOSE = _request(
    "verbose",
    form=Form.COUNT,
    also=("-v",),
    help="Say more, on stderr; twice: each file and step.",
    section=PRINTED,
)
QUIET = _flag("quiet", "Print nothing but errors.", also=("-q",), section=PRINTED)

# Of `run` and `run-all`

FORCE = _flag(
    "force", "Index every file again, changed or not.", field="force", section=DONE
)
RETRY_FAILED = _flag(
    "retry-failed",
    "Try again the files that failed before and have not changed since.",
    field="retry_failed",
    section=DONE,
)

# Of `run`

FILE = _request(
    "file",
    form=Form.LIST,
    kind=PATH,
    also=("files",),
    help="Index this file or folder alone, and leave the rest as it is (repeatable).",
    section=FILES,
)
FILES_FROM = _request(
    "files-from",
    kind=PATH,
    help="The same for each path in this file, one per line; - is stdin.",
    section=FILES,
)
NULL = _flag(
    "null",
    "The paths of --files-from end with a NUL instead of a line break.",
    also=("-z",),
    section=FILES,
)
DRY_RUN = _flag("dry-run", "Print what would be done; touch nothing.", section=DONE)
PROFILE = _flag(
    "profile", "Print where the time went, file by file too.", section=PRINTED
)
TRACE = _request(
    "trace",
    kind=PATH,
    metavar="FILE",
    help="Write a timeline of every stage and worker to FILE, in the Chrome trace format "
    "(https://ui.perfetto.dev opens it).",
    section=PRINTED,
)

# Of `run-all`

FROM = _request(
    "from",
    kind=PATH,
    also=("list_file",),
    metavar="FILE",
    help="Run for the repositories in this file too, watched or not; - is stdin. One a line: a "
    "folder, or URL[@REVISION] (https, ssh, user@host:path, file), which is cloned; # begins a "
    "comment.",
    section=FILES,
)
SCRATCH = _request(
    "scratch",
    kind=FOLDER,
    metavar="FOLDER",
    help="Where repositories are cloned, and the state of their indexes is kept unless there is "
    "a --state-dir.",
    default_text="clones in the cache folder",
    section=WHERE,
)
SCRATCH_SIZE = _request(
    "scratch-size",
    kind=Size(),
    fallback=10 << 30,
    help="Bound of these clones; what was not used for the longest time goes first.",
    section=WHERE,
)
PARALLEL = _request(
    "parallel",
    kind=click.IntRange(1, 64),
    fallback=1,
    help="Number of projects to work on at the same time.",
    section=DONE,
)
NO_BACKOFF = _flag(
    "no-backoff", "Also try projects that failed a moment ago.", section=DONE
)

# Of `search` and `mcp`

PROJECTS = _request(
    "project",
    form=Form.LIST,
    also=("projects",),
    has_variable=False,  # that says what this project is called
    metavar="NAME",
    help="In a shared collection, search this project, by its name or the end of its path "
    "(repeatable).",
    default_text="the current one",
    field="searched",
    section=WHERE,
)
ALL_PROJECTS = _flag(
    "all-projects",
    "Search all projects of a shared collection, ranked together.",
    section=WHERE,
)

# Of `mcp`

HTTP = _request(
    "http",
    has_variable=False,  # a server that a client starts on stdin would see it too
    metavar="[HOST:]PORT",
    help="Listen there, on this machine alone, instead of on stdin; port 0 takes a free one. The "
    "address is printed.",
    section=DONE,
)
IDLE = _request(
    "idle",
    has_variable=False,
    kind=click.IntRange(0),
    fallback=0,
    metavar="MINUTES",
    help="With --http, end once nobody has been connected for so many minutes; 0: never.",
    section=DONE,
)

# Of `search`

LIMIT = _request(
    "limit",
    kind=click.IntRange(1, 1000),
    fallback=10,
    also=("-k", "-n"),
    help="Number of files.",
    section=ANSWER,
)
SEARCH_MODE = _request(
    "mode",
    # A project in which nothing is embedded is searched by its words.
    sources=Source.ANYWHERE,
    kind=click.Choice((HYBRID, DENSE, SPARSE)),
    fallback=HYBRID,
    help="Find by meaning and by words, by meaning alone, or by words alone (no model).",
    section=ANSWER,
)
LANGUAGE = _request(
    "language",
    kind=LanguageName(),
    also=("-t", "--type"),
    help="Only files in this language: its name, or the ending of its files.",
    section=ANSWER,
)
PATTERN = _request(
    "path",
    kind=Pattern(),
    form=Form.LIST,
    also=("patterns",),
    metavar="GLOB",
    help="Only files that this pattern, as in a .gitignore, matches (repeatable).",
    section=ANSWER,
)
CHANGED = _request(
    "changed",
    metavar="[=REF]",
    bare="HEAD",
    fallback=None,  # "" is a mistake, as of a script without the name of its branch
    help="Only files that differ from HEAD, untracked ones too; with a REF, those changed since "
    "HEAD left it.",
    section=ANSWER,
)
GREP = _request(
    "grep",
    metavar="REGEX",
    help="Only where a line matches this regular expression (RE2); that line is shown.",
    section=ANSWER,
)
IGNORE_CASE = _flag(
    "ignore-case",
    "Let --grep match small and capital letters alike.",
    also=("-i",),
    section=ANSWER,
)
LIKE = _request(
    "like",
    kind=Pattern(),
    metavar="FILE:LINE",
    help="Find code like that at this place, instead of a QUERY.",
    section=ANSWER,
)
REFRESH = _request(
    "refresh",
    form=Form.SWITCH,
    fallback=None,
    help="Index by its words what changed, within about a second, before anything is found; vectors "
    "follow in the background. A project without an index gets one.",
    default_text="mcp does, search does not",
    section=DONE,
)
CONTEXT = _request(
    "context",
    kind=click.IntRange(0, 100),
    fallback=None,
    also=("-C",),
    help="Lines shown around the best line.",
    default_text="3 at a terminal, else 0",
    section=PRINTED,
)
MAX_COLUMNS = _request(
    "max-columns",
    kind=click.IntRange(min=0),
    fallback=400,
    also=("-M",),
    help="Cut longer lines to so many characters around what matches; 0: never.",
    section=PRINTED,
)
FILES_WITH_MATCHES = _flag(
    "files-with-matches",
    "Print the paths alone, one a line.",
    also=("-l",),
    section=PRINTED,
)
# Its name has another meaning for `run`.
NULL_AFTER_PATHS = _flag(
    "null",
    "End each path of -l with a NUL, and print it as it is.",
    also=("-0",),
    has_variable=False,
    section=PRINTED,
)
EXPLAIN = _flag("explain", "Show where each score comes from.", section=PRINTED)

# Of other commands

CHECK = _flag("check", "Exit 1 when the index is not up to date.", section=DONE)
REPAIR = _flag(
    "repair",
    "Rewrite the files that differ, and remove rows that belong to no file.",
    section=DONE,
)
YES = _flag("yes", "Do not ask.", also=("-y",), section=DONE)
# Its name has another meaning for `run`, and whoever sets that in the environment does not want
# their files overwritten.
OVERWRITE = _flag(
    "force", "Write over a file that is there.", has_variable=False, section=DONE
)
