"""Does the generator hold the rate that is asked of it? ``python -m tests.benchmarks.pacing``.

Real runs of the command: two against the embedded emulator, on however many cores there are, which
must reach at least 99 % of the asked rate and skip nothing; one against a trivial server, each on a
core of its own, which at 20,000/s must reach 99.9 % with a lateness p99 below 0.5 ms and a p99.9
below 3 ms. That server counts nobody, so there is no verdict.
"""

from __future__ import annotations

from typing import Any

from tests.benchmarks.harness import arguments, cores, loadcheck, report, send_only, target


def steady(rate: int, seconds: float) -> dict[str, Any]:
    """Run a constant rate."""
    return loadcheck(
        "scenarios/smoke.toml",
        *("--set", f"load.rate={rate}", "--set", f"load.duration={seconds}"),
    )


def fast(rate: int, seconds: float) -> dict[str, Any]:
    """Run a constant rate against a server that takes no time."""
    ours, theirs = cores()
    with target(theirs) as port:
        return send_only(port, f'model = "open"\nrate = {rate}\nduration = {seconds}', ours)


def figures_of(document: dict[str, Any]) -> dict[str, Any]:
    """Return what is compared."""
    lateness = document["generator"]["lateness"]
    return {
        "verdict": document["verdict"],
        "copies": document["copies"]["started"],
        "skipped": document["copies"]["skipped"],
        "reached_ratio": document["load"]["reached_ratio"],
        "lateness_p99_ms": lateness["p99_ms"],
        "lateness_p999_ms": lateness["p999_ms"],
    }


def main() -> None:
    """Run the benchmark."""
    options = arguments(__doc__ or "", seconds=20)
    figures = {
        "burst": figures_of(loadcheck("scenarios/burst.toml")),
        "steady_5000": figures_of(steady(5000, options.seconds)),
        "fast_20000": figures_of(fast(20_000, options.seconds)) | {"verdict": None},
    }
    rows = [("run", "verdict", "copies", "skipped", "reached", "lateness p99", "p99.9")]
    for name, run in figures.items():
        rows.append(
            (
                name,
                run["verdict"] or "–",
                f"{run['copies']:,}",
                f"{run['skipped']:,}",
                f"{100 * run['reached_ratio']:.2f} %",
                f"{run['lateness_p99_ms']:.3f} ms",
                f"{run['lateness_p999_ms']:.3f} ms",
            )
        )
    report(figures, rows, as_json=options.json)


if __name__ == "__main__":
    main()
