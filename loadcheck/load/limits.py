"""The operating system's limit on open files, which bounds the connections of a load."""

from __future__ import annotations

import resource

from loadcheck.errors import InputError, Problem


def raise_open_file_limit(needed: int) -> None:
    """Raise this process's limit on open files, if it is below what the load may need.

    Raises:
        InputError: The system does not allow as many.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return
    if hard != resource.RLIM_INFINITY and hard < needed:
        raise InputError(
            Problem(
                key="load",
                message=f"needs {needed:,} open files; this process may have {hard:,}",
                remedy="lower load.max_in_flight (or load.concurrency), or raise `ulimit -n`",
            )
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))
