"""The clients that can start our server: a row of data each, according to its own documentation.

docs/how-to/agents.md is the page for users, and docs/design/clients.md says where each row comes from.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping

from msgspec import Struct, field

HERE = "."
"""For a client that starts a server in the open folder, or where it was itself started."""

OPEN_FOLDER = "${workspaceFolder}"
"""In a project's file, an editor replaces this by the open folder."""

STDIO = {"type": "stdio"}
AGENT_SKILLS = ".agents/skills"
"""Where agents of any maker look for skills, in a home and in a project (agentskills.io)."""


class Machine(Struct, frozen=True):
    """Where a user's files are on this machine."""

    home: str
    platform: str  # as in `sys.platform`
    environ: Mapping[str, str]

    @property
    def folders(self) -> dict[str, str]:
        """What the names in braces stand for in `Client.user` and `Client.signs`."""
        home, given = self.home, self.environ.get
        xdg = given("XDG_CONFIG_HOME") or os.path.join(home, ".config")
        roaming = given("APPDATA") or os.path.join(home, "AppData", "Roaming")
        support = os.path.join(home, "Library", "Application Support")
        config = {"darwin": support, "win32": roaming}.get(self.platform, xdg)
        is_windows = self.platform == "win32"
        return {
            "home": home,
            "xdg": xdg,
            "config": config,
            "zed": os.path.join(roaming, "Zed") if is_windows else f"{xdg}/zed",
            "codex": given("CODEX_HOME") or os.path.join(home, ".codex"),
            "copilot": given("COPILOT_HOME") or os.path.join(home, ".copilot"),
            "claude": given("CLAUDE_CONFIG_DIR") or os.path.join(home, ".claude"),
            "claude_json": given("CLAUDE_CONFIG_DIR") or home,
        }

    def paths(self, names: tuple[str, ...]) -> list[str]:
        """The whole paths of files or folders that are named with braces."""
        return [os.path.normpath(name.format_map(self.folders)) for name in names]


class Client(Struct, frozen=True):
    """A program that starts MCP servers, and the files that name them.

    Of several files, the first that exists counts, else the first. `keys` lead to the object of
    all servers, and `fields` are what an entry has besides our command. `serves` is the PATH that our
    server gets, "" if only a whole path will do. A `skills` folder is "" if the
    client reads none.
    """

    name: str
    title: str
    user: tuple[str, ...]
    signs: tuple[str, ...]
    programs: tuple[str, ...] = ()
    project: tuple[str, ...] = ()
    keys: tuple[str, ...] = ("mcpServers",)
    fields: Mapping[str, object] = field(default_factory=dict)
    has_one_list: bool = False  # the command and its arguments are one list
    user_serves: str = ""
    project_serves: str = HERE
    user_skills: str = f"{{home}}/{AGENT_SKILLS}"
    project_skills: str = AGENT_SKILLS

    @property
    def is_toml(self) -> bool:
        """Whether its files are TOML, not JSON with comments."""
        return self.user[0].endswith(".toml")

    def is_on(self, machine: Machine) -> bool:
        """Whether it has left signs on this machine, or its program is installed."""
        path = machine.environ.get("PATH", "")
        return any(map(os.path.exists, machine.paths(self.signs))) or any(
            shutil.which(program, path=path) for program in self.programs
        )


CLIENTS = (
    Client(
        "antigravity",
        "Antigravity",
        user=("{home}/.gemini/config/mcp_config.json",),
        signs=("{home}/.gemini/config", "{home}/.gemini/antigravity"),
        programs=("agy", "antigravity"),
        user_skills="{home}/.gemini/skills",
    ),
    Client(
        "claude",
        "Claude Code",
        user=("{claude_json}/.claude.json",),
        signs=("{claude}", "{claude_json}/.claude.json"),
        programs=("claude",),
        project=(".mcp.json",),
        fields=STDIO,
        user_serves=HERE,
        user_skills="{claude}/skills",
        project_skills=".claude/skills",
    ),
    Client(
        "claude-desktop",
        "Claude Desktop",
        user=("{config}/Claude/claude_desktop_config.json",),
        signs=("{config}/Claude",),
        user_skills="",
    ),
    Client(
        "cline",
        "Cline CLI",
        user=("{home}/.cline/data/settings/cline_mcp_settings.json",),
        signs=("{home}/.cline",),
        programs=("cline",),
        user_skills="{home}/.cline/skills",
    ),
    Client(
        "codex",
        "Codex",
        user=("{codex}/config.toml",),
        signs=("{codex}",),
        programs=("codex",),
        project=(".codex/config.toml",),
        keys=("mcp_servers",),
        user_serves=HERE,
    ),
    Client(
        "copilot",
        "GitHub Copilot CLI",
        user=("{copilot}/mcp-config.json",),
        signs=("{copilot}",),
        programs=("copilot",),
        project=(".github/mcp.json",),
        fields={"type": "local", "tools": ["*"]},
        user_serves=HERE,
    ),
    Client(
        "cursor",
        "Cursor",
        user=("{home}/.cursor/mcp.json",),
        signs=("{home}/.cursor",),
        programs=("cursor", "cursor-agent"),
        project=(".cursor/mcp.json",),
        fields=STDIO,
        project_serves=OPEN_FOLDER,
    ),
    Client(
        "gemini",
        "Gemini CLI",
        user=("{home}/.gemini/settings.json",),
        signs=("{home}/.gemini/settings.json",),
        programs=("gemini",),
        project=(".gemini/settings.json",),
        user_serves=HERE,
    ),
    Client(
        "opencode",
        "OpenCode",
        user=("{xdg}/opencode/opencode.json", "{xdg}/opencode/opencode.jsonc"),
        signs=("{xdg}/opencode",),
        programs=("opencode",),
        project=("opencode.json", "opencode.jsonc"),
        keys=("mcp",),
        fields={"type": "local", "enabled": True},
        has_one_list=True,
        user_serves=HERE,
    ),
    Client(
        "vscode",
        "VS Code",
        user=("{config}/Code/User/mcp.json",),
        signs=("{config}/Code",),
        programs=("code",),
        project=(".vscode/mcp.json",),
        keys=("servers",),
        fields=STDIO,
        project_serves=OPEN_FOLDER,
    ),
    Client(
        "windsurf",
        "Windsurf",
        user=("{home}/.codeium/windsurf/mcp_config.json",),
        signs=("{home}/.codeium/windsurf",),
        programs=("windsurf",),
    ),
    Client(
        "zed",
        "Zed",
        user=("{zed}/settings.json",),
        signs=("{zed}",),
        programs=("zed", "zeditor"),
        keys=("context_servers",),
    ),
)
BY_NAME = {one.name: one for one in CLIENTS}
