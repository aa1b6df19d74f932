from __future__ import annotations

import trio
import trio.testing

from loadcheck.load.monitor import each_second


def ticks(length_s: float, *, held_up_s: float = 0.0) -> list[int]:
    """Return the seconds that were told; after the first, the loop may be held up."""
    seen: list[int] = []
    late = 0.0

    def now() -> int:
        return round((trio.current_time() + late) * 1e9)

    def close(second: int) -> None:
        nonlocal late
        seen.append(second)
        late += held_up_s if second == 0 else 0.0

    async def main() -> None:
        with trio.move_on_after(length_s):
            await each_second(now(), close, now)

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))
    return seen


def test_every_second_is_told_once_it_is_over() -> None:
    assert ticks(4.5) == [0, 1, 2, 3]


def test_a_loop_that_was_held_up_is_told_the_latest_second_only() -> None:
    assert ticks(4.5, held_up_s=2.2) == [0, 2, 3, 4, 5]
