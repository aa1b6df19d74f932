"""Where in the order of acknowledgement the missing stand."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from pyroaring import BitMap

if TYPE_CHECKING:
    from loadcheck.verify.localize import Localized
    from loadcheck.verify.visibility import Ranks
    from loadcheck.workflow.buckets import Buckets


def places(found: Localized, buckets: Buckets, acknowledged: BitMap) -> Ranks | None:
    """Return the places of the missing among the acknowledged, from 1, ascending.

    Copies start in the order of their numbers, and are taken to be acknowledged in it. Of a window
    it is known how many are missing, not who: they are spread over it evenly.

    Args:
        found: What the counts by bucket tell.
        buckets: The run's partitions.
        acknowledged: The copies acknowledged.

    Returns:
        The places; None if not all of the missing have one.
    """
    if len(found.lost) == found.lost_at_least:
        return np.array([acknowledged.rank(number) for number in found.lost], dtype=np.int64)
    if sum(window.lost for window in found.windows) < found.lost_at_least:
        return None
    spread = []
    for window in found.windows:
        before = acknowledged.rank(buckets.first(window.first) - 1) if window.first else 0
        within = acknowledged.rank(buckets.first(window.last + 1) - 1) - before
        spread.append(before + 1 + np.arange(window.lost, dtype=np.int64) * within // window.lost)
    return np.concatenate(spread)
