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
    help="Follow the settings in the project's files that run programs or reach "
    "outside the project, or ignore them.",
    default_text="exit with 2 if there are any",
    section=DONE,
)
TAKE_OVER = _flag(
    "take-over",
    "Write to a collection, or clear it, even if it belongs to a project at "
    "another path; from then on it belongs to this one.",
    field="takes_over",
    section=WHERE,
)
HERE = _flag(
    "here",
    "Treat PATH itself as the project, even if it lies in another one.",
    also=("is_here",),
    section=FILES,
)
JSON = _flag("json", "Print one JSON object.", also=("as_json",), section=PRINTED)
VERBOSE = _request(
    "verbose",
    form=Form.COUNT,
    also=("-v",),
    help="Say more on stderr; given twice, name each file and step.",
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
    help="Index only this file or folder, and leave the rest as it is (repeatable).",
    section=FILES,
)
FILES_FROM = _request(
    "files-from",
    kind=PATH,
    help="Like --file, for each path listed in this file, one per line; - is stdin.",
    section=FILES,
)
NULL = _flag(
    "null",
    "The paths of --files-from end with NUL instead of a line break.",
    also=("-z",),
    section=FILES,
)
DRY_RUN = _flag("dry-run", "Print what would be done; touch nothing.", section=DONE)
PROFILE = _flag(
    "profile", "Print where the time went, by stage and by file.", section=PRINTED
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
    help="Also run for the repositories listed in this file, watched or not; - is "
    "stdin. One per line: a folder, or URL[@REVISION] (https, ssh, "
    "user@host:path, file), which is cloned; # begins a comment.",
    section=FILES,
)
SCRATCH = _request(
    "scratch",
    kind=FOLDER,
    metavar="FOLDER",
    help="Folder for clones of the repositories, and for the state of their "
    "indexes unless --state-dir is given.",
    default_text="clones in the cache folder",
    section=WHERE,
)
SCRATCH_SIZE = _request(
    "scratch-size",
    kind=Size(),
    fallback=10 << 30,
    help="Size limit of these clones; those unused for longest go first.",
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
    "no-backoff", "Also run projects that failed a moment ago.", section=DONE
)

# Of `search` and `mcp`

PROJECTS = _request(
    "project",
    form=Form.LIST,
    also=("projects",),
    has_variable=False,  # that says what this project is called
    metavar="NAME",
    help="In a shared collection, search this project, named or given by the end "
    "of its path (repeatable).",
    default_text="the current one",
    field="searched",
    section=WHERE,
)
ALL_PROJECTS = _flag(
    "all-projects",
    "Search all projects of a shared collection and rank them together.",
    section=WHERE,
)

# Of `mcp`

HTTP = _request(
    "http",
    has_variable=False,  # a server that a client starts on stdin would see it too
    metavar="[HOST:]PORT",
    help="Serve over HTTP on this port of this machine alone, instead of on stdin;"
    " port 0 picks a free one. The address is printed.",
    section=DONE,
)
IDLE = _request(
    "idle",
    has_variable=False,
    kind=click.IntRange(0),
    fallback=0,
    metavar="MINUTES",
    help="With --http, end once nobody has been connected for this many minutes; "
    "0: never.",
    section=DONE,
)

# Of `hooks run`

AFTER = _request(
    "after",
    has_variable=False,
    kind=click.IntRange(0),
    fallback=0,
    metavar="PID",
    help="Wait until this process has ended: the git that called the hook.",
    section=DONE,
)

# Of `search`

LIMIT = _request(
    "limit",
    kind=click.IntRange(1, 1000),
    fallback=10,
    also=("-k", "-n"),
    help="Number of files to show.",
    section=ANSWER,
)
SEARCH_MODE = _request(
    "mode",
    # A project in which nothing is embedded is searched by its words.
    sources=Source.ANYWHERE,
    kind=click.Choice((HYBRID, DENSE, SPARSE)),
    fallback=HYBRID,
    help="Find by meaning and words, by meaning alone, or by words alone (which "
    "loads no model).",
    section=ANSWER,
)
LANGUAGE = _request(
    "language",
    kind=LanguageName(),
    also=("-t", "--type"),
    help="Search only files in this language, given by name or by file ending.",
    section=ANSWER,
)
PATTERN = _request(
    "path",
    kind=Pattern(),
    form=Form.LIST,
    also=("patterns",),
    metavar="GLOB",
    help="Search only files that match this .gitignore pattern (repeatable).",
    section=ANSWER,
)
CHANGED = _request(
    "changed",
    metavar="[=REF]",
    bare="HEAD",
    fallback=None,  # "" is a mistake, as of a script without the name of its branch
    help="Search only files that differ from HEAD, untracked ones included; with a"
    " REF, those changed since HEAD left it.",
    section=ANSWER,
)
GREP = _request(
    "grep",
    metavar="REGEX",
    help="Show only places where a line matches this regular expression (RE2 "
    "syntax), and show that line.",
    section=ANSWER,
)
IGNORE_CASE = _flag(
    "ignore-case",
    "Ignore case in --grep.",
    also=("-i",),
    section=ANSWER,
)
LIKE = _request(
    "like",
    kind=Pattern(),
    metavar="FILE:LINE",
    help="Find code similar to the code at this place, instead of giving a QUERY.",
    section=ANSWER,
)
REFRESH = _request(
    "refresh",
    form=Form.SWITCH,
    fallback=None,
    help="Before searching, index what changed by its words, within about a "
    "second; vectors follow in the background. A project without an index "
    "gets one.",
    default_text="on for mcp, off for search",
    section=DONE,
)
CONTEXT = _request(
    "context",
    kind=click.IntRange(0, 100),
    fallback=None,
    also=("-C",),
    help="Number of lines to show around the best line.",
    default_text="3 at a terminal, else 0",
    section=PRINTED,
)
MAX_COLUMNS = _request(
    "max-columns",
    kind=click.IntRange(min=0),
    fallback=400,
    also=("-M",),
    help="Cut longer lines to this many characters around the match; 0: never.",
    section=PRINTED,
)
FILES_WITH_MATCHES = _flag(
    "files-with-matches",
    "Print only the paths, one per line.",
    also=("-l",),
    section=PRINTED,
)
# Its name has another meaning for `run`.
NULL_AFTER_PATHS = _flag(
    "null",
    "End each path of -l with NUL, and print it unquoted.",
    also=("-0",),
    has_variable=False,
    section=PRINTED,
)
EXPLAIN = _flag("explain", "Show where each score comes from.", section=PRINTED)

# Of other commands

CHECK = _flag("check", "Exit with 1 if the index is not up to date.", section=DONE)
REPAIR = _flag(
    "repair",
    "Index the files that differ again, and remove rows that belong to no file.",
    section=DONE,
)
YES = _flag("yes", "Do not ask.", also=("-y",), section=DONE)
# Its name has another meaning for `run`, and whoever sets that in the environment does not want
# their files overwritten.
OVERWRITE = _flag(
    "force", "Overwrite an existing file.", has_variable=False, section=DONE
)

# Of `install` and `uninstall`

# Its name has another meaning for `search`.
IN_PROJECT = _flag(
    "project",
    "Use the files of the project around the current folder, for everyone who works on it, instead "
    "of your own.",
    also=("in_project",),
    has_variable=False,
    section=WHERE,
)
SERVE = _request(
    "serve",
    form=Form.LIST,
    kind=PATH,
    also=("served",),
    has_variable=False,
    metavar="PATH",
    help="Serve the project of this folder, wherever the client starts the server (repeatable).",
    default_text="the folder that is open, where a client says which",
    section=WHERE,
)
ONLY = _request(
    "only",
    kind=click.Choice(("mcp", "skill")),
    fallback=None,
    has_variable=False,
    help="Only the entry that starts the server, or only the skill.",
    default_text="both",
    section=DONE,
)
LIST = _flag(
    "list",
    "Print which clients are found here, which of them know of codx-index, and their files.",
    also=("lists",),
    has_variable=False,
    section=PRINTED,
)
BY_HAND = _flag(
    "force",
    "Replace or remove what somebody changed by hand without a question.",
    has_variable=False,
    section=DONE,
)
