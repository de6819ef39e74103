"""The file that `codx-index init` writes: every setting, with its default, as a comment."""

TEMPLATE = """\
# Settings of codx-index for this project. An option on the command line counts more, and so
# does its variable in the environment (CODX_INDEX_MAX_FILE_SIZE for max-file-size);
# `codx-index config show` tells what holds and why. The same may stand in pyproject.toml,
# below [tool.codx-index].
#
# Settings marked with (trust) run programs, or reach outside of the project. They are
# followed with --trust or CODX_INDEX_TRUST=1, for the project may be somebody else's.

# name = "my project"        # title of the wiki
# watching = true            # does `codx-index run-all` keep this project up to date?

# The index
# uri = "http://localhost:19530"   # (trust) a Milvus server, or a file ending in .db
# collection = "my_project"
# model = "all-MiniLM-L6-v2"
# precision = "auto"         # auto, f32, bf16 or int8
# mode = "hybrid"            # sparse: by words alone, nothing is embedded

# The files
# ignore = ["docs/generated/", "*.csv"]        # as in a .gitignore
# external-folders = ["../shared-library"]     # (trust) files that lie elsewhere
# max-file-size = "1MiB"
# recurse-submodules = true
# secrets = "mask"           # mask, skip-file or off
# include-secrets = false

# The run
# jobs = 0                   # workers; 0: as many as there are CPUs
# executor = "process"       # process, thread or serial
# task-timeout = 300
# sparse-first = false       # searchable by words before anything is embedded
# cache-dir = "/var/cache/codx-index"          # (trust)
# cache-size = "2GiB"
# wait = "0s"                # for another run on this index
# settle = "0s"              # leave files alone that changed less than this ago
# changed-within = "0s"      # only what changed within this time; 0s: all
# max-seconds = 0            # stop in time, exit with 4 if work is left; 0: no limit
# log-format = "text"        # text or json

# What others are told
# events = "events.jsonl"    # (trust) one JSON object a line
# webhook = "https://example.org/hook"         # (trust)
# metrics = "/var/lib/node_exporter/codx.prom" # (trust) for Prometheus

[mentions]
# enabled = true
# command = ["my-assistant", "--fix"]          # (trust) asked about each file with mentions
# concurrency = 8
# timeout = "5m"

[wiki]
# enabled = false
# path = ".codx/wiki"        # (trust, where it lies outside of the project)
# command = ["my-assistant", "--summarize"]    # (trust) asked for a summary of each file
# concurrency = 8
# timeout = "5m"
"""
