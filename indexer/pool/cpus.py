"""The CPUs that this process may use."""

from __future__ import annotations

import math
import os
import re


def available_cpus() -> int:
    """The number of CPUs that the process may really use, by its affinity and its cgroup's quota."""
    try:
        count = len(os.sched_getaffinity(0))
    except AttributeError:  # not on this platform
        count = os.cpu_count() or 1
    return max(1, min(count, _cgroup_cpus() or count))


def _cgroup_cpus(root: str = "/sys/fs/cgroup", me: str = "/proc/self/cgroup") -> int:
    """The CPUs of the tightest quota among our cgroup and its ancestors, 0 without a quota.

    Reads version 2, and version 1 as containers mount it. The format is that of "cpu.max" in
    the kernel's cgroup-v2 documentation.
    """
    texts = [
        _read(os.path.join(folder, "cpu.max")) for folder in _cgroup_folders(root, me)
    ]
    quota = _read(os.path.join(root, "cpu", "cpu.cfs_quota_us"))
    texts.append(f"{quota} {_read(os.path.join(root, 'cpu', 'cpu.cfs_period_us'))}")
    # Each text is a quota and its period. "max" and -1 stand for no quota.
    found = [re.fullmatch("([1-9][0-9]*) ([1-9][0-9]*)", text) for text in texts]
    quotas = [int(match[1]) / int(match[2]) for match in found if match]
    return math.ceil(min(quotas)) if quotas else 0


def _cgroup_folders(root: str, me: str) -> list[str]:
    for line in _read(me).splitlines():
        if line.startswith("0::"):
            parts = [part for part in line[3:].split("/") if part]
            return [os.path.join(root, *parts[:n]) for n in range(len(parts) + 1)]
    return [root]


def _read(path: str) -> str:
    try:
        with open(path, encoding="ascii") as file:
            return file.read().strip()
    except (OSError, ValueError):
        return ""
