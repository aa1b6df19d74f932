"""How much memory do many copies take? ``python -m tests.benchmarks.memory``.

A closed load, as fast as the emulator answers. What must hold: 1,000,000 copies stay below 200 MB
in the generator.
"""

from __future__ import annotations

from tests.benchmarks.harness import arguments, loadcheck, report

_COPIES = (10_000, 1_000_000)


def main() -> None:
    """Run the benchmark."""
    options = arguments(__doc__ or "")
    figures = {}
    rows = [("copies", "verdict", "peak memory")]
    for copies in _COPIES:
        document = loadcheck(
            "scenarios/closed.toml",
            *("--set", f"load.copies={copies}", "--set", "load.duration=20m"),
        )
        peak_bytes = document["generator"]["peak_memory_bytes"]
        figures[str(copies)] = {"verdict": document["verdict"], "peak_memory_bytes": peak_bytes}
        rows.append((f"{copies:,}", document["verdict"], f"{peak_bytes / 1e6:.0f} MB"))
    report(figures, rows, as_json=options.json)


if __name__ == "__main__":
    main()
