"""The memory and processors that this machine, or our container, has left for workers.

A container's limits are those of its control groups, which may bound memory and processor time at
any level, by version 2 or 1 of their interface. What the machine has beyond them cannot be used.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path("/")


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """Memory that is left for new processes.

    Attributes:
        free_bytes: Memory left.
        limit_bytes: The container's limit that bounds it; None: the machine's own memory does.
    """

    free_bytes: int
    limit_bytes: int | None = None


def available_memory(root: Path = ROOT) -> Memory | None:
    """Return the memory left for new processes; None if it cannot be found out.

    Args:
        root: Root of the file system.
    """
    found = [*_left_in_groups(root)]
    with suppress(OSError, ValueError):
        for line in (root / "proc/meminfo").read_text(encoding="ascii").splitlines():
            name, _, value = line.partition(":")
            if name == "MemAvailable":
                found.append(Memory(free_bytes=int(value.split()[0]) * 1024))
    return min(found, key=lambda each: each.free_bytes, default=None)


def cores(root: Path = ROOT) -> int:
    """Return how many cores this process may use; two threads of one core count once.

    Args:
        root: Root of the file system.
    """
    try:
        usable = os.sched_getaffinity(0)
    except AttributeError:
        usable = set(range(os.cpu_count() or 1))
    found = set()
    for cpu in usable:
        siblings = str(cpu)
        with suppress(OSError):
            path = root / f"sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list"
            siblings = path.read_text(encoding="ascii").strip()
        found.add(siblings)
    # rounded down: with less than a whole processor a process is stopped for part of each period
    quota = min(_quotas(root), default=math.inf)
    return max(1, int(min(quota, len(found))))


_V1_MEMORY: Final = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
_V2_MEMORY: Final = ("memory.max", "memory.current", "inactive_file")


def _left_in_groups(root: Path) -> Iterator[Memory]:
    """Yield the memory left by each control group that limits ours."""
    for group in _groups("memory", root):
        for limit_file, used_file, cached in (_V2_MEMORY, _V1_MEMORY):
            with suppress(OSError, ValueError):
                limit = int((group / limit_file).read_text(encoding="ascii"))
                used = int((group / used_file).read_text(encoding="ascii"))
                # inactive pages of the file cache count as used, but are freed when needed
                used -= _cached(group / "memory.stat", cached)
                yield Memory(free_bytes=max(0, limit - used), limit_bytes=limit)


def _cached(path: Path, name: str) -> int:
    with suppress(OSError, ValueError):
        for line in path.read_text(encoding="ascii").splitlines():
            if line.startswith(f"{name} "):
                return int(line.split()[1])
    return 0


def _quotas(root: Path) -> Iterator[float]:
    """Yield the CPU quota of each control group that has one, in processors."""
    for group in _groups("cpu", root):
        with suppress(OSError, ValueError):
            quota, period = (group / "cpu.max").read_text(encoding="ascii").split()
            yield int(quota) / int(period)
        with suppress(OSError, ValueError, ZeroDivisionError):
            quota_us = int((group / "cpu.cfs_quota_us").read_text(encoding="ascii"))
            period_us = int((group / "cpu.cfs_period_us").read_text(encoding="ascii"))
            if quota_us > 0:
                yield quota_us / period_us


def _groups(controller: str, root: Path) -> Iterator[Path]:
    """Yield the folders of our control group for a controller, and of its parents."""
    with suppress(OSError, ValueError):
        memberships = (root / "proc/self/cgroup").read_text(encoding="utf-8").splitlines()
        own: dict[str, str] = {}
        for line in memberships:
            _, controllers, path = line.split(":", 2)
            own |= dict.fromkeys(controllers.split(","), path)
        mounts = (root / "proc/self/mountinfo").read_text(encoding="utf-8").splitlines()
        for line in mounts:
            fields, _, system = line.partition(" - ")
            _, _, _, shown, at, *_ = fields.split()
            kind, _, options = system.split(" ", 2)
            # version 2 has one tree for all controllers, version 1 has one for each
            name = {"cgroup2": "", "cgroup": controller}.get(kind)
            if name not in own or (name and name not in options.split(",")):
                continue
            path = own[name]
            mount = root / at.lstrip("/")
            # within a container only a part of the tree is mounted, and we may be at its root
            below = path.removeprefix(shown) if shown != "/" else path
            folder = mount / below.lstrip("/")
            if ".." in folder.parts or not folder.is_dir():
                folder = mount
            yield folder
            while folder != mount:
                folder = folder.parent
                yield folder
