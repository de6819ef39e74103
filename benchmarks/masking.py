"""How fast are credentials masked, which are found, and what is masked without need?

Masks the modules of Python's standard library and the credentials that the tests plant. For
comparison, unmodified detect-secrets scans the same. Nothing is verified over the network.
Rates are megabytes (10^6 characters) per second of CPU time, medians of interleaved rounds.

    python benchmarks/masking.py [--rounds N] [--modules N] [--megabytes N] [--json FILE]

detect-secrets itself scans only a sample of `--megabytes`.
"""

from __future__ import annotations

import argparse
import sys
import sysconfig
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from common import headline, median, surroundings, write_json

from indexer.text import secret_kinds, spans
from indexer.text.masking import mask_secrets

TESTS = Path(__file__).resolve().parent.parent / "tests"
STDLIB = Path(sysconfig.get_path("stdlib"))

if TYPE_CHECKING:
    from planted import Planted


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--modules", type=int, default=0, help="0: all")
    parser.add_argument("--megabytes", type=float, default=1.5)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    sys.path.append(str(TESTS))
    from planted import planted

    modules = dict(islice(read_modules(), options.modules or None))
    sample = sampled(modules, options.megabytes * 1e6)
    results = {
        **surroundings(),
        "rates": rates(modules, sample, options.rounds),
        "planted": found_of_planted(planted()),
        "alarms": alarms(modules),
        "library alarms": library_alarms(sample),
        "missed by gates": missed_by_gates(planted(), sample),
    }
    print(headline())
    report(results, len(modules), len(sample))
    write_json(options.json, results)


def report(results: dict[str, Any], modules: int, sample: int) -> None:
    print(f"\n{'MB/s of CPU time':44}{'median':>8}")
    for name, found in results["rates"].items():
        print(f"{name:44}{found['median']:8.2f}")
    print(
        f"\n{'planted':28}{'secrets':>8}{'masked':>8}{'files flagged by the library':>30}"
    )
    for kind, found in results["planted"].items():
        print(
            f"{kind:28}{found['secrets']:8}{found['masked']:8}"
            f"{found['flagged']:>20} of {found['files']}"
        )
    print(f"\nmasked in the standard library, {modules:,} modules:")
    for alarm in results["alarms"]:
        print(f"  {alarm['place']}: {alarm['kind']}: {alarm['line']}")
    print(f"alarms of unmodified detect-secrets, {sample:,} of these modules:")
    for kind, number in results["library alarms"].items():
        print(f"  {kind}: {number}")
    print(f"missed by the gates: {results['missed by gates'] or 'nothing'}")


def read_modules() -> Iterator[tuple[Path, str]]:
    for path in sorted(STDLIB.rglob("*.py")):
        if "site-packages" not in path.parts:
            yield path, path.read_text(encoding="utf-8", errors="replace")


def sampled(modules: dict[Path, str], size: float) -> dict[Path, str]:
    """Modules from all over the library, together of about the given size."""
    step = max(1, round(sum(map(len, modules.values())) / size))
    return dict(list(modules.items())[::step])


# ---- Rates ----


def rates(
    modules: dict[Path, str], sample: dict[Path, str], rounds: int
) -> dict[str, dict[str, Any]]:
    contestants: dict[str, tuple[Callable[[], object], dict[Path, str]]] = {
        "mask_secrets, the standard library": (lambda: mask_all(modules), modules),
        "mask_secrets, the sample": (lambda: mask_all(sample), sample),
        "detect-secrets, all plugins": (lambda: library_scan(sample), sample),
        "detect-secrets, pattern plugins": (
            lambda: library_scan(sample, patterns_only=True),
            sample,
        ),
    }
    found: dict[str, list[float]] = {name: [] for name in contestants}
    mask_all(sample)  # imports detect-secrets, which is not measured
    for _ in range(rounds):
        for name, (work, texts) in contestants.items():
            started = time.process_time()
            work()
            seconds = time.process_time() - started
            found[name].append(sum(map(len, texts.values())) / 1e6 / seconds)
    return {name: {"median": median(all_), "all": all_} for name, all_ in found.items()}


def mask_all(texts: dict[Path, str]) -> int:
    return sum(mask_secrets(text, path.name)[1] for path, text in texts.items())


def library_scan(texts: dict[Path, str], patterns_only: bool = False) -> Counter[str]:
    """How many credentials of each kind detect-secrets finds."""
    return Counter(kind for _, kind in library_findings(map(str, texts), patterns_only))


def library_findings(
    paths: Iterator[str] | list[str], patterns_only: bool = False
) -> Iterator[tuple[str, str]]:
    """The path and the kind of every credential that detect-secrets finds."""
    from detect_secrets.core.plugins.util import get_mapping_from_secret_type_to_class
    from detect_secrets.core.scan import scan_file
    from detect_secrets.plugins.base import RegexBasedDetector
    from detect_secrets.settings import transient_settings

    offered: dict[str, Any] = get_mapping_from_secret_type_to_class()
    plugins = [
        {"name": plugin.__name__}
        for plugin in offered.values()
        if not patterns_only or issubclass(plugin, RegexBasedDetector)
    ]
    with transient_settings({"plugins_used": plugins}):
        for path in paths:
            for finding in scan_file(path):
                yield path, finding.type


# ---- What is found ----


def found_of_planted(cases: list[Planted]) -> dict[str, dict[str, int]]:
    """By kind: the secrets, how many are masked, the files, how many the library flags."""
    found: dict[str, dict[str, int]] = {}
    with tempfile.TemporaryDirectory() as folder:
        files = {}
        for number, case in enumerate(cases):
            path = Path(folder, str(number), case.path)
            path.parent.mkdir(parents=True)
            path.write_text(case.text, newline="")
            files[str(path)] = case
        flagged = {path for path, _ in library_findings(list(files))}
    for file, case in files.items():
        masked = mask_secrets(case.text, case.path)[0]
        row = found.setdefault(
            case.kind, dict.fromkeys(("secrets", "masked", "files", "flagged"), 0)
        )
        row["secrets"] += len(case.secrets)
        row["masked"] += sum(secret not in masked for secret in case.secrets)
        row["files"] += 1
        row["flagged"] += file in flagged
    return found


def alarms(modules: dict[Path, str]) -> list[dict[str, str]]:
    """What is masked in modules that hold nobody's credentials."""
    found = []
    for path, text in modules.items():
        masked = mask_secrets(text, path.name)[0]
        pairs = zip(text.splitlines(), masked.splitlines(), strict=True)
        for number, (line, new) in enumerate(pairs, start=1):
            if line != new:
                place = f"{path.relative_to(STDLIB)}:{number}"
                found.append(
                    {"place": place, "kind": kind_of(line), "line": line.strip()[:80]}
                )
    return found


def kind_of(line: str) -> str:
    """The names of the detectors that see something in a line."""
    whole = spans.SearchedText(line)
    names = [
        kind.names
        for kind in secret_kinds.KINDS
        if list(secret_kinds.detected(kind, whole, 0, len(line)))
    ]
    return ", ".join(names) or "telling name"


def library_alarms(sample: dict[Path, str]) -> dict[str, int]:
    return dict(library_scan(sample).most_common())


def missed_by_gates(cases: list[Planted], sample: dict[Path, str]) -> list[str]:
    """What the chosen detectors still find in masked texts when they search every line."""
    from planted import found_without_gates

    texts = [(case.path, case.text) for case in cases]
    texts += [(path.name, text) for path, text in sample.items()]
    return [
        f"{path}: {value}"
        for path, text in texts
        for value in found_without_gates(mask_secrets(text, path)[0], path)
    ]


if __name__ == "__main__":
    main()
