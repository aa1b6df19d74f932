"""Student's distribution, as far as intervals need it."""

from __future__ import annotations

import math
from statistics import NormalDist


def two_sided(confidence: float, freedom: float) -> float:
    """Return how many standard errors an interval reaches to either side.

    G. W. Hill, "Algorithm 396: Student's t-quantiles" (1970): exact for one and two degrees of
    freedom, to five digits and more for others, whole or not.

    Args:
        confidence: Above 0, below 1.
        freedom: Degrees of freedom, at least 1.
    """
    outside = 1 - confidence
    if freedom < 2:  # noqa: PLR2004
        # between one and two no formula is simple: the wider is the safe one
        return 1 / math.tan(outside * math.pi / 2)
    if freedom == 2:  # noqa: PLR2004
        return math.sqrt(2 / (outside * (2 - outside)) - 2)
    a = 1 / (freedom - 0.5)
    b = 48 / (a * a)
    c = ((20700 * a / b - 98) * a - 16) * a + 96.36
    d = ((94.5 / (b + c) - 3) / b + 1) * math.sqrt(a * math.pi / 2) * freedom
    x = d * outside
    y = x ** (2 / freedom)
    if y > 0.05 + a:
        x = NormalDist().inv_cdf(outside / 2)
        y = x * x
        if freedom < 5:  # noqa: PLR2004
            c += 0.3 * (freedom - 4.5) * (x + 0.6)
        c += (((0.05 * d * x - 5) * x - 7) * x - 2) * x + b
        y = (((((0.4 * y + 6.3) * y + 36) * y + 94.5) / c - y - 3) / b + 1) * x
        y = math.expm1(a * y * y)
    else:
        y = (
            (
                1 / (((freedom + 6) / (freedom * y) - 0.089 * d - 0.822) * (freedom + 2) * 3)
                + 0.5 / (freedom + 4)
            )
            * y
            - 1
        ) * (freedom + 1) / (freedom + 2) + 1 / y
    return math.sqrt(freedom * y)
