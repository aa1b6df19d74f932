"""Kills at random instants: ``python -m tests.benchmarks.kills [--each 50] [--seed 1] [WHO …]``.

WHO is shard, coordinator, mix (a run of two flows), worker (of a Dask cluster) or nanny; stop kills
nobody: the run is interrupted, and told when the last worker started its last copy. far (a run of
whose end its workers do not hear), frozen (the run), thawed (a worker), cut (what reaches a worker)
and deaf (a worker of a cluster) outlive a lease, and so take longer: there are a tenth as many of
them, unless they are named. All of them without WHO, several at a time: fifty of each take some
twelve minutes of an idle machine. What must hold each time is in ``tests/cli/kills.py``; beyond
that the run must tell of a kill within a second, of a cut within five. A seed says at which
instants.
"""

from __future__ import annotations

import argparse
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

from tests.benchmarks.harness import report
from tests.cli import kills

WHO: dict[str, tuple[kills.Happens, float]] = {
    "shard": (kills.kill_shard, 1.0),
    "coordinator": (kills.kill_coordinator, 1.0),
    "mix": (kills.kill_mix, 1.0),
    "worker": (kills.kill_worker, 1.0),
    "nanny": (kills.kill_nanny, 1.0),
    "stop": (kills.stop, 1.0),
    "far": (kills.kill_far, 5.0),
    "frozen": (kills.freeze_coordinator, 5.0),
    "thawed": (kills.thaw_shard, 5.0),
    "cut": (kills.cut_pipe, 5.0),
    "deaf": (kills.cut_worker, 5.0),
}
"""What happens, and within how many seconds it must be told."""
_LONG = ("far", "frozen", "thawed", "cut", "deaf")


class _Bench:
    """Lets things happen in several places at a time, each of which has a target of its own."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        self._own = threading.local()
        self._opening = threading.Lock()

    def happen(self, who: str, after_s: float) -> kills.Killed | Exception:
        """Let something happen; return what came of it, or what did not hold."""
        try:
            if not hasattr(self._own, "place"):
                with self._opening:
                    self._own.place = self._stack.enter_context(kills.lane())
            came = WHO[who][0](self._own.place, after_s)
            within_s = WHO[who][1]
            if came.told_s is not None and came.told_s > within_s:
                raise AssertionError(f"told late: {came}")  # noqa: TRY301  # printed as others are
        except Exception as error:  # noqa: BLE001  # the others are still of use
            print(f"{who}, after {after_s:.2f} s: {error}"[:2000], file=sys.stderr)
            return error
        print(f"{who}, after {after_s:.2f} s: {came}", file=sys.stderr)
        return came


def main() -> int:
    """Run the benchmark; return 1 if something did not hold."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("who", nargs="*", choices=[[], *WHO], help="who is killed")
    parser.add_argument("--each", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=4, help="how many at a time")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    rows = [("killed", "times", "held", "told after, at most", "must be", "last copy after")]
    figures, wrong = {}, 0
    with ExitStack() as stack, ThreadPoolExecutor(options.jobs) as pool:
        bench = _Bench(stack)
        waiting = {}
        for who in options.who or WHO:
            times = -(-options.each // 10) if who in _LONG and not options.who else options.each
            chosen = kills.instants(times, options.seed)
            waiting[who] = [pool.submit(bench.happen, who, after_s) for after_s in chosen]
        for who, futures in waiting.items():
            came = [future.result() for future in futures]
            held = [each for each in came if isinstance(each, kills.Killed)]
            told = sorted(each.told_s for each in held if each.told_s is not None)
            last_s = max((each.last_s for each in held), default=0.0)
            wrong += len(came) - len(held)
            figures[who] = {"times": len(came), "held": len(held), "told_s": told, "last_s": last_s}
            within = (f"{told[-1]:.2f} s", f"<= {WHO[who][1]:g} s") if told else ("–", "")
            rows.append((who, str(len(came)), str(len(held)), *within, f"{last_s:.2f} s"))
    report(figures, rows, as_json=options.json)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
