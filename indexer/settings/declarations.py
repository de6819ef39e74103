"""Every setting of a project, declared once.

The order is that of the help. Options, variables, file keys, `init`'s template, `config show`,
the question of trust and the table in docs/reference/settings.md follow from these declarations.
"""

from __future__ import annotations

import click

from indexer.config import (
    DEFAULT_CACHE_SIZE,
    DEFAULT_MODEL,
    DENSE,
    EMBEDS,
    HYBRID,
    MASK_SECRETS,
    PRECISIONS,
    SECRETS,
    SKIP_SECRETS,
    SPARSE,
)
from indexer.settings.kinds import (
    FOLDER,
    PATH,
    CommandLine,
    Duration,
    LanguageOfFiles,
    Pattern,
    Size,
    WhereToWork,
)
from indexer.settings.reach import (
    IN_OWN_DATABASE,
    IN_PROJECT,
    NAME_OR_IN_PROJECT,
    USUAL_JOBS,
    Reach,
    among,
    up_to,
)
from indexer.settings.sections import (
    DONE,
    FILES,
    INDEX,
    MENTIONED,
    PAGES,
    PRINTED,
    TOLD,
    WHERE,
    WORKERS,
)
from indexer.settings.setting import Form, Setting, Source

_UP_TO_AN_HOUR = up_to(3600, "at most 1h", least=1e-9)  # 0 is no limit

# The project itself

USE_KNOWLEDGE = Setting(
    name="use_knowledge",
    reach=Reach.INSIDE,
    sources=Source.NOWHERE,
    form=Form.FLAG,
    help="If false, the project is not indexed, whatever `watching` says.",
    default_text="true",
    codx_junior="use_knowledge",
)
NAME = Setting(
    name="name",
    reach=Reach.INSIDE,
    sources=Source.FILE,
    field="name",
    help="Title of the wiki.",
    codx_junior="project_name",
    example="my project",
    remark="title of the wiki",
)
PROJECT_PATH = Setting(
    name="project_path",
    reach=Reach.FOLDERS,
    harmless=IN_PROJECT,
    sources=Source.NOWHERE,
    help="The folder to index, if it is not the one that holds this file.",
    codx_junior="project_path",
)
WATCHING = Setting(
    name="watching",
    reach=Reach.INSIDE,
    sources=Source.FILE,
    form=Form.FLAG,
    help="Whether `codx-index run-all` keeps the project up to date.",
    default_text="true where there is a codx-index.toml",
    codx_junior="watching",
    example=True,
    remark="does `codx-index run-all` keep this project up to date?",
)
PROJECT = (USE_KNOWLEDGE, NAME, PROJECT_PATH, WATCHING)

# Which index is meant

URI = Setting(
    name="uri",
    reach=Reach.NETWORK | Reach.FOLDERS,
    field="uri",
    is_path=True,
    help="Milvus to write to: http(s)://host:port, or a local path ending in .db.",
    default_text="the embedded database in PATH/.codx/index",
    section=WHERE,
    example="http://localhost:19530",
    remark="a Milvus server, or a file ending in .db",
)
TOKEN = Setting(
    name="token",
    reach=Reach.NETWORK,
    sources=Source.OPTION,
    field="token",
    help="Token of the Milvus server; safer in the environment variable than on "
    "the command line.",
    section=WHERE,
)
COLLECTION = Setting(
    name="collection",
    reach=Reach.COLLECTIONS,
    harmless=IN_OWN_DATABASE,
    field="collection",
    help="Name of the collection.",
    default_text="from the project's folder",
    section=WHERE,
    example="my_project",
)
SHARED_COLLECTION = Setting(
    name="shared-collection",
    reach=Reach.COLLECTIONS,
    harmless=IN_OWN_DATABASE,
    field="shared_collection",
    help="Name of a collection that holds the rows of many projects, instead of "
    "one for this project alone; needs --uri.",
    section=WHERE,
    example="team",
    remark="one collection for many projects",
)
PROJECT_NAME = Setting(
    name="project",
    reach=Reach.COLLECTIONS,
    harmless=IN_OWN_DATABASE,
    field="project_name",
    metavar="NAME",
    help="What this project is called in a shared collection.",
    default_text="the path of its folder",
    section=WHERE,
    example="billing",
    remark="its name in a shared collection",
)
PRECISION = Setting(
    name="precision",
    reach=Reach.INSIDE,
    kind=click.Choice(PRECISIONS),
    field="precision",
    help="Precision in which the model computes: auto is bf16 where the CPU "
    "supports it, else f32; int8 is faster but less exact, and needs the "
    "extra codx-index[int8].",
    section=INDEX,
    remark="auto, f32, bf16 or int8",
)
MODEL = Setting(
    name="model",
    reach=Reach.NETWORK | Reach.FOLDERS,
    harmless=NAME_OR_IN_PROJECT,
    field="model",
    fallback=DEFAULT_MODEL,
    help="A sentence-transformers model, the path of a local one (./folder), or a "
    "server's endpoint: openai+https://HOST/v1#NAME.",
    codx_junior="embeddings_model",
    section=INDEX,
)
MODEL_REVISION = Setting(
    name="model-revision",
    reach=Reach.INSIDE,
    field="model_revision",
    help="Any text that distinguishes the endpoint's model from an earlier one of "
    "the same name.",
    section=INDEX,
    example="2026-11",
    remark="of an endpoint's model: another one is another index",
)
MODEL_MAX_TOKENS = Setting(
    name="model-max-tokens",
    reach=Reach.INSIDE,
    kind=click.IntRange(0, 16384),
    field="model_max_tokens",
    help="Longest text that the endpoint's model takes, in tokens; if its "
    "tokenizer is unknown, each byte counts as one.",
    default_text="512, or that of the default model",
    section=INDEX,
    remark="of a text for an endpoint's model; 0: the default",
)
MODEL_CONCURRENCY = Setting(
    name="model-concurrency",
    reach=Reach.RESOURCES,
    harmless=up_to(32, "at most 32"),
    kind=click.IntRange(1, 256),
    field="model_concurrency",
    help="Number of requests sent to the endpoint at the same time.",
    section=WORKERS,
    remark="requests to an endpoint at the same time",
)
# A clone could have its own state, or another project's, believed.
STATE_DIR = Setting(
    name="state-dir",
    reach=Reach.FOLDERS,
    sources=Source.OPTION,
    kind=FOLDER,
    field="state_root",
    help="Folder for the state of indexes, with a subfolder for each project; for "
    "trees that are read-only.",
    default_text="PATH/.codx/index",
    section=WHERE,
)
CACHE_DIR = Setting(
    name="cache-dir",
    reach=Reach.FOLDERS | Reach.CACHE,
    kind=FOLDER,
    field="cache_dir",
    fallback="",
    is_path=True,
    help="Folder of the embedding cache and of converted models, shared by all projects.",
    default_text="the platform's user cache folder",
    section=WHERE,
    example="/var/cache/codx-index",
)
PLACE = (
    URI,
    TOKEN,
    COLLECTION,
    SHARED_COLLECTION,
    PROJECT_NAME,
    STATE_DIR,
    PRECISION,
    MODEL,
    MODEL_REVISION,
    MODEL_MAX_TOKENS,
    CACHE_DIR,
)
"""Which index is meant."""
READ_PLACE = tuple(one for one in PLACE if one is not PROJECT_NAME)
"""The same, for a command that may read other projects of a shared collection."""

# What of the tree belongs to the index

MAX_FILE_SIZE = Setting(
    name="max-file-size",
    reach=Reach.RESOURCES,
    harmless=up_to(16 << 20, "at most 16MiB"),
    kind=Size(),
    field="max_file_size",
    help="Skip files larger than this, such as 500k or 2MiB.",
    section=FILES,
)
GIT = Setting(
    name="git",
    # Without git, what the user's own rules exclude is indexed: not for a clone to decide.
    reach=Reach.SECRETS,
    harmless=among((True,), "`true`"),
    form=Form.SWITCH,
    field="uses_git",
    help="Let git list the files of a work tree; --no-git walks it as a plain "
    "folder and reads only its .gitignore files.",
    section=FILES,
    remark="false: by .gitignore files alone",
)
RECURSE_SUBMODULES = Setting(
    name="recurse-submodules",
    reach=Reach.INSIDE,
    form=Form.SWITCH,
    field="recurse_submodules",
    help="Index the files of git submodules that are checked out.",
    section=FILES,
)
DEFAULT_EXCLUDES = Setting(
    name="default-excludes",
    reach=Reach.INSIDE,
    form=Form.SWITCH,
    field="default_excludes",
    help="Leave out folders that tools fill, such as node_modules, .venv and "
    "__pycache__, unless git tracks them; `status -v` lists them.",
    section=FILES,
    remark="false: index .venv, node_modules, … too",
)
IGNORE = Setting(
    name="ignore",
    reach=Reach.INSIDE,
    form=Form.LIST,
    field="ignore",
    metavar="PATTERN",
    kind=Pattern(),
    help="Leave out whatever matches this .gitignore pattern (repeatable).",
    section=FILES,
    example=["docs/generated/", "*.csv"],
    remark="as in a .gitignore",
)
IGNORE_CONTAINING = Setting(
    name="ignore-containing",
    reach=Reach.INSIDE,
    sources=Source.OPTION,
    form=Form.LIST,
    field="ignore_containing",
    metavar="TEXT",
    help="Leave out files whose path contains this text (repeatable).",
    codx_junior="knowledge_file_ignore",
    section=FILES,
)
EXTERNAL_FOLDERS = Setting(
    name="external-folders",
    reach=Reach.FOLDERS,
    kind=FOLDER,
    form=Form.LIST,
    field="external_folders",
    is_path=True,
    help="Also index the files of this folder outside the project (repeatable).",
    codx_junior="knowledge_external_folders",
    section=FILES,
    example=["../shared-library"],
    remark="files that lie elsewhere",
)
INCLUDE_SECRETS = Setting(
    name="include-secrets",
    reach=Reach.SECRETS,
    harmless=among((False,), "`false`"),
    form=Form.FLAG,
    field="include_secrets",
    help="Index files that are left out because of their name, such as .env or "
    "id_rsa.",
    section=FILES,
)
SECRETS_IN_TEXT = Setting(
    name="secrets",
    reach=Reach.SECRETS,
    harmless=among((MASK_SECRETS, SKIP_SECRETS), "`mask` or `skip-file`"),
    kind=click.Choice(SECRETS),
    field="secrets",
    help="What to do with credentials in the text of a file: mask each one, leave "
    "out the file, or nothing.",
    section=FILES,
    remark="mask, skip-file or off",
)
LANGUAGES = Setting(
    name="languages",
    reach=Reach.INSIDE,
    kind=LanguageOfFiles(),
    form=Form.TABLE,
    field="languages",
    metavar="ENDING=LANGUAGE",
    help="Language of the files that have this ending or match this .gitignore "
    "pattern; text means none (repeatable).",
    example={".inc": "php", "Jenkinsfile.*": "groovy", "legacy/*.h": "cpp"},
    section=FILES,
)
MENTIONS = Setting(
    name="mentions.enabled",
    reach=Reach.INSIDE,
    form=Form.SWITCH,
    field="mentions.enabled",
    help="Look for mentions (text addressed to an assistant) in changed files, and"
    " leave files alone whose mentions are being worked on.",
    section=MENTIONED,
)
MODE = Setting(
    name="mode",
    reach=Reach.INSIDE,
    kind=click.Choice((HYBRID, SPARSE)),
    not_ours=(DENSE,),  # of the searches alone
    field="mode",
    help="What each chunk gets: hybrid is terms and a vector; sparse is terms "
    "alone, so no model is loaded.",
    section=INDEX,
    remark="sparse: by words alone, nothing is embedded",
)
EMBED = Setting(
    name="embed",
    reach=Reach.INSIDE,
    kind=click.Choice(EMBEDS),
    field="embed",
    help="Which files get vectors: meaning leaves out translations, data, output "
    "and generated code, which are found by their words.",
    section=INDEX,
    remark="meaning, or all: also translations, data, generated code",
)
BY_WORDS = Setting(
    name="by-words",
    reach=Reach.INSIDE,
    form=Form.LIST,
    field="by_words",
    metavar="PATTERN",
    kind=Pattern(),
    help="Files that match this .gitignore pattern are found by their words alone;"
    " after a leading ! they always get vectors (repeatable).",
    section=INDEX,
    example=["old/", "!api.pb.ts"],
    remark="found by words alone; with a ! embedded in any case",
)
TREE = (
    MAX_FILE_SIZE,
    GIT,
    RECURSE_SUBMODULES,
    DEFAULT_EXCLUDES,
    IGNORE,
    IGNORE_CONTAINING,
    EXTERNAL_FOLDERS,
    INCLUDE_SECRETS,
    SECRETS_IN_TEXT,
    LANGUAGES,
    MENTIONS,
    MODE,
    EMBED,
    BY_WORDS,
)
"""What of the tree belongs to the index."""

# How the CPU-bound work is done

JOBS = Setting(
    name="jobs",
    reach=Reach.RESOURCES,
    harmless=USUAL_JOBS,
    kind=click.IntRange(0, 1024),
    field="jobs",
    also=("-j",),
    help="Number of workers.",
    default_text="the CPUs this process may use; of a cluster, all there are",
    section=WORKERS,
    remark="workers; 0: as many as there are CPUs",
)
EXECUTOR = Setting(
    name="executor",
    # Who answers at the address of a cluster gets the source.
    reach=Reach.RESOURCES | Reach.NETWORK,
    harmless=among(("process",), "`process`"),
    kind=WhereToWork(),
    field="executor",
    metavar="[process|thread|serial|dask://HOST:PORT]",
    help="What runs chunking and embedding. A Dask cluster (also tls://HOST:PORT, "
    "or dask:FILE with the scheduler's file) runs it in each codx-index "
    "worker, and needs the extra codx-index[dask].",
    section=WORKERS,
    remark="process, thread, serial, or dask://HOST:PORT",
)
TASK_TIMEOUT = Setting(
    name="task-timeout",
    reach=Reach.RESOURCES,
    harmless=_UP_TO_AN_HOUR,
    kind=click.FloatRange(min=0),
    field="task_timeout",
    help="Seconds a worker may take for one task; then it is stopped, and the file"
    " to blame fails. 0: no limit.",
    section=WORKERS,
)
CACHE_SIZE = Setting(
    name="cache-size",
    reach=Reach.CACHE,
    harmless=among((0, DEFAULT_CACHE_SIZE), "`0` or the default"),
    kind=Size(),
    field="cache_size",
    help="Size limit of the embedding cache; the entries unused for longest go "
    "first. 0: no cache.",
    section=WHERE,
)
WORK = (JOBS, EXECUTOR, MODEL_CONCURRENCY, TASK_TIMEOUT, CACHE_SIZE)
"""How the CPU-bound work is done."""

# What goes on around a run

METRICS = Setting(
    name="metrics",
    reach=Reach.FOLDERS,
    kind=PATH,
    is_path=True,
    metavar="FILE",
    help="Write the figures of the run to FILE, for Prometheus' textfile collector.",
    section=TOLD,
    example="/var/lib/node_exporter/codx.prom",
    remark="for Prometheus",
)
EVENTS = Setting(
    name="events",
    reach=Reach.FOLDERS,
    is_path=True,
    metavar="FILE",
    help="Write events to FILE, one JSON object per line; - is stdout, fd:N an "
    "open file descriptor.",
    section=TOLD,
    example="events.jsonl",
    remark="one JSON object a line",
)
WEBHOOK = Setting(
    name="webhook",
    reach=Reach.NETWORK,
    metavar="URL",
    help="Send events to this address. If CODX_INDEX_WEBHOOK_SECRET is set, "
    "requests are signed.",
    section=TOLD,
    example="https://example.org/hook",
)
WIKI = Setting(
    name="wiki.enabled",
    reach=Reach.INSIDE,
    form=Form.SWITCH,
    field="wiki.enabled",
    help="Keep a wiki of the project, in Markdown that MkDocs can build.",
    codx_junior="project_wiki",
    section=PAGES,
)
WIKI_PATH = Setting(
    name="wiki.path",
    reach=Reach.FOLDERS,
    harmless=IN_PROJECT,
    kind=FOLDER,
    field="wiki.folder",
    is_path=True,
    help="Folder of the wiki.",
    default_text="PATH/.codx/wiki",
    codx_junior="project_wiki_path",
    example=".codx/wiki",
    section=PAGES,
)


def _program(
    group: str, section: str, purpose: str, remark: str
) -> tuple[Setting, Setting, Setting]:
    """The program that a group of settings runs for each file: which, how many, how long."""
    return (
        Setting(
            name=f"{group}.command",
            reach=Reach.PROGRAMS,
            kind=CommandLine(),
            field=f"{group}.command",
            help=f"Program that is {purpose}; it gets JSON on stdin and runs without a shell.",
            example=["my-assistant", "--fix" if group == "mentions" else "--summarize"],
            section=section,
            remark=remark,
        ),
        Setting(
            name=f"{group}.concurrency",
            reach=Reach.RESOURCES,
            harmless=up_to(32, "at most 32"),
            kind=click.IntRange(1, 256),
            field=f"{group}.concurrency",
            help=f"Number of {group} commands to run at the same time.",
            section=section,
        ),
        Setting(
            name=f"{group}.timeout",
            reach=Reach.RESOURCES,
            harmless=_UP_TO_AN_HOUR,
            kind=Duration(),
            field=f"{group}.timeout",
            help=f"How long the {group} command may take for a file; 0: no limit.",
            section=section,
        ),
    )


AROUND = (
    METRICS,
    EVENTS,
    WEBHOOK,
    *_program(
        "mentions",
        MENTIONED,
        "asked about each file with mentions, before it is indexed",
        "asked about each file with mentions",
    ),
    WIKI,
    WIKI_PATH,
    *_program(
        "wiki",
        PAGES,
        "asked for a summary of each file of the wiki",
        "asked for a summary of each file",
    ),
)
"""What goes on around a run."""

# How much a run does, and how it says so

SPARSE_FIRST = Setting(
    name="sparse-first",
    reach=Reach.INSIDE,
    form=Form.FLAG,
    field="sparse_first",
    help="Make every file searchable by its words before the first one is embedded.",
    section=DONE,
    remark="searchable by words before anything is embedded",
)
WAIT = Setting(
    name="wait",
    reach=Reach.RESOURCES,
    harmless=up_to(3600, "at most 1h"),
    kind=Duration(),
    field="wait",
    help="How long to wait for another run on this index.",
    default_text="exit 75 at once",
    section=DONE,
    remark="for another run on this index",
)
CHANGED_WITHIN = Setting(
    name="changed-within",
    reach=Reach.INSIDE,
    kind=Duration(),
    field="changed_within",
    help="Leave for later files that changed longer ago than this.",
    section=DONE,
    remark="only what changed within this time; 0s: all",
)
SETTLE = Setting(
    name="settle",
    reach=Reach.INSIDE,
    kind=Duration(),
    field="settle",
    help="Leave for later files that changed more recently than this.",
    section=DONE,
    remark="leave files alone that changed less than this ago",
)
MAX_SECONDS = Setting(
    name="max-seconds",
    reach=Reach.INSIDE,
    kind=Duration(),
    field="max_seconds",
    help="Stop in time to end within about this long, and exit with 4 if work is "
    "left; 0: no limit.",
    section=DONE,
    example=0,
    remark="stop in time, exit with 4 if work is left; 0: no limit",
)
LOG_FORMAT = Setting(
    name="log-format",
    reach=Reach.INSIDE,
    kind=click.Choice(("text", "json")),
    fallback="text",
    help="Format of the lines on stderr.",
    section=PRINTED,
    remark="text or json",
)
PACE = (SPARSE_FIRST, WAIT, CHANGED_WITHIN, SETTLE, MAX_SECONDS)
"""How much a run does, and when."""

SETTINGS = (*PROJECT, *PLACE, *TREE, *WORK, *AROUND, *PACE, LOG_FORMAT)
"""All of them."""
