"""No verdict contradicts the truth, over real sockets and against the emulator in this process."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pytest

from tests.property.verdict_fuzz.emulated import contradictions, mix, sit, truth

CHUNK = 30
Property = Callable[[str, object], None]


async def judge(first: int, record_property: Property) -> None:
    """Run some mixes, and say of each that went wrong how to see it again."""
    runs = await sit(range(first, first + CHUNK))
    cells = Counter((truth(run), run.consistent.value) for _, run in runs)
    record_property("verdicts", [[*cell, number] for cell, number in cells.items()])
    wrong = [
        f"{text}\n  python -m tests.benchmarks.verdict_fuzz --emulated --first {seed} --mixes 1"
        for seed, run in runs
        for text in contradictions(run)
    ]
    assert not wrong, "\n".join(wrong)
    assert len(runs) == CHUNK


@pytest.mark.long
@pytest.mark.anyio
@pytest.mark.parametrize("first", range(0, 30, CHUNK))
async def test_thirty_mixes(first: int, record_property: Property) -> None:
    await judge(first, record_property)


@pytest.mark.long
@pytest.mark.anyio
@pytest.mark.parametrize("first", range(30, 1500, CHUNK))
async def test_many_more(first: int, record_property: Property) -> None:
    await judge(first, record_property)


def test_a_mix_is_its_seed() -> None:
    assert mix(7) == mix(7) != mix(8)
