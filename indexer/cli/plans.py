"""How a plan is shown, by `status` and by `run --dry-run`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import click
from msgspec.structs import asdict

from indexer.cli.texts import count_text, counts_text, duration_text, printable, shown

if TYPE_CHECKING:
    from indexer.run.plan import Plan


def plan_text(plan: Plan) -> str:
    """What a run would do, in one line; "" if it would do nothing."""
    changes = {
        "added": len(plan.added),
        "modified": len(plan.modified),
        "renamed": len(plan.renamed),
        "deleted": len(plan.deleted),
        "to embed": len(plan.unembedded),
        "to strip": len(plan.stripped),
    }
    return "; ".join(filter(None, (printable(plan.doubt), counts_text(changes))))


def costs(plan: Plan) -> Iterator[str]:
    """What a run would take: for the index, and for the wiki."""
    cost = plan.forecast
    if cost.chunks:
        chunks = count_text(cost.chunks, "chunk")
        yield (
            f"about {chunks}, at most {duration_text(cost.seconds)}, "
            f"{cost.megabytes:,.1f} MB"
        )
    if plan.wiki_pages:
        yield f"at least {count_text(plan.wiki_pages, 'wiki page')}"


def print_plan(plan: Plan) -> None:
    """Print what a run would do, one file per line, as `git status --short` does."""
    for letter, paths in (("A", plan.added), ("M", plan.modified)):
        for name in paths:
            click.echo(f"{letter} {shown(name)}")
    for old, new in plan.renamed:
        click.echo(f"R {shown(old)} -> {shown(new)}")
    for letter, paths in (
        ("D", plan.deleted),
        ("E", plan.unembedded),
        ("S", plan.stripped),
    ):
        for name in paths:
            click.echo(f"{letter} {shown(name)}")


def left_out_lines(plan: Plan) -> list[str]:
    """The folders that are left out as a whole, and why, one line each."""
    return [
        f"{shown(path)} ({reason.replace('_', ' ')})"
        for path, reason in sorted(plan.left_out.items())
    ]


def plan_dict(plan: Plan) -> dict[str, object]:
    """What a run would do, as JSON-ready values."""
    return {
        "doubt": plan.doubt,
        "forecast": asdict(plan.forecast),
        "wiki_pages": plan.wiki_pages,
        "plan": {
            "added": [shown(name) for name in plan.added],
            "modified": [shown(name) for name in plan.modified],
            "renamed": [[shown(old), shown(new)] for old, new in plan.renamed],
            "deleted": [shown(name) for name in plan.deleted],
            "unembedded": [shown(name) for name in plan.unembedded],
            "stripped": [shown(name) for name in plan.stripped],
        },
        "left_out": [
            {"path": shown(path), "reason": reason}
            for path, reason in sorted(plan.left_out.items())
        ],
    }
