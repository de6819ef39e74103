"""Files of clients as people have them: comments, tabs, secrets, CRLF, nothing at all."""

from __future__ import annotations

import json

from indexer.clients.programs import Client

SECRET = "ghp_do_not_show_me"

PLAIN = """\
{
  "numStartups": 12,
  "KEYS": {
    "github": {
      "command": "docker",
      "args": ["run", "-i", "ghcr.io/github/github-mcp-server"],
      "env": { "TOKEN": "ghp_do_not_show_me" }
    }
  },
  "projects": { "/home/me/src/shop": { "history": ["KEYS", "{}"] } }
}
"""
COMMENTED = """\
// My settings. "KEYS": {} is further down.
{
\t/* how it looks */
\t"theme": "One \\"Dark\\" // Pro", // and no comma is missing
\t"KEYS": {
\t\t"first": { "command": "a" /* , */ }, // keeps its comment
\t\t// "off": { "command": "b" },
\t\t"last": {
\t\t\t"url": "https://example.org/mcp",
\t\t\t"headers": { "Authorization": "ghp_do_not_show_me", },
\t\t}, // the last one
\t\t// and a last word
\t},
\t"more": [1, 2, 3,],
}
"""
EMPTY_OBJECT = "{}"
OTHERS = '{\n    "telemetry": false // off\n}\n'
ONE_LINE = (
    '{"a": 1, "KEYS": {"b": {"command": "c", "env": {"T": "ghp_do_not_show_me"}}}}'
)
NO_SERVER = '{\n    "KEYS": {\n    },\n    "z": null\n}'
NO_SERVER_BUT_A_COMMENT = '{\n  "KEYS": {\n    // none yet\n  }\n}\n'
BRACES_ALONE = '{ "KEYS": { } }'
COMMENT_ALONE = "// nothing yet\n"

TOML = """\
model = "gpt-5.1-codex"   # the usual one
approval_policy = 'on-request'

[mcp_servers.github]
command = "docker"
args = [
    "run",  # in a container
    "ghcr.io/github/github-mcp-server",
]
env = { "TOKEN" = "ghp_do_not_show_me" }

[[profiles]]
name = "fast"

# a last word"""
TOML_ALONE = "# mine\n[tools]\nweb_search = true\n"
TOML_DOTTED = 'mcp_servers.github.url = "https://example.org/mcp"\n'


def samples_for(client: Client) -> dict[str, bytes | None]:
    """Files that this client could have, by what is special of them."""
    if client.is_toml:
        texts = {"usual": TOML, "no servers": TOML_ALONE, "dotted": TOML_DOTTED}
    else:
        texts = {
            "usual": PLAIN,
            "commented": COMMENTED,
            "empty object": EMPTY_OBJECT,
            "no servers": OTHERS,
            "one line": ONE_LINE,
            "no server": NO_SERVER,
            "no server but a comment": NO_SERVER_BUT_A_COMMENT,
            "braces alone": BRACES_ALONE,
            "comment alone": COMMENT_ALONE,
        }
    made: dict[str, bytes | None] = {"nothing": None, "empty": b"", "blank": b"\n\n"}
    for name, text in texts.items():
        data = text.replace("KEYS", client.keys[0]).encode()
        made[name] = data
        made[f"{name}, CRLF"] = data.replace(b"\n", b"\r\n")
        made[f"{name}, marked"] = b"\xef\xbb\xbf" + data
    return made


def as_json(value: object) -> str:
    """A value such that it can be compared and searched."""
    return json.dumps(value, sort_keys=True)
