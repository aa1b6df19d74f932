"""Ten thousand copies in flight at once. ``python -m tests.benchmarks.in_flight``.

The embedded emulator holds every answer back for two seconds while 10,000 copies are kept in
flight; afterwards it is asked how many users it counted. What must hold: all in flight, below
250 MB in the generator, no copy lost or counted twice.
"""

from __future__ import annotations

from tests.benchmarks.harness import arguments, loadcheck, report

_IN_FLIGHT = 10_000


def main() -> None:
    """Run the benchmark."""
    options = arguments(__doc__ or "", seconds=10)
    copies = int(_IN_FLIGHT * max(2.0, options.seconds / 2))
    document = loadcheck(
        "scenarios/closed.toml",
        *("--set", f"load.concurrency={_IN_FLIGHT}"),
        *("--set", f"load.copies={copies}"),
        *("--set", "load.duration=5m"),
        *("--set", "target.faults.slow.rate=1.0", "--set", "target.faults.slow.delay=2s"),
        *("--set", "timeouts.request=60s", "--set", "verify.deadline=60s"),
    )
    seen, sent = document["consistency"], document["copies"]
    figures = {
        "verdict": document["verdict"],
        "max_in_flight": document["load"]["max_in_flight"],
        "copies": sent,
        "uniques": seen["uniques"],
        "totals": seen["totals"],
        "lost": seen["lost_at_most"],
        "duplicated": seen["duplicated"],
        "peak_memory_bytes": document["generator"]["peak_memory_bytes"],
        "requests_per_s": sent["acknowledged"] / document["load"]["duration_s"],
    }
    rows = [
        ("figure", "measured"),
        ("in flight at once", f"{figures['max_in_flight']:,}"),
        ("acknowledged", f"{sent['acknowledged']:,} of {copies:,}"),
        ("counted by the service", f"{seen['uniques']:,} users, {seen['totals']:,} events"),
        ("lost, duplicated", f"{seen['lost_at_most']}, {seen['duplicated']}"),
        ("peak memory", f"{figures['peak_memory_bytes'] / 1e6:.0f} MB"),
        ("verdict", document["verdict"]),
    ]
    report(figures, rows, as_json=options.json)


if __name__ == "__main__":
    main()
