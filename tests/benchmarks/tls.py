"""What does TLS cost? ``python -m tests.benchmarks.tls``.

The same closed load over kept-alive connections to the trivial server, plain and over TLS, each
side pinned to a core of its own. What must hold: 0.6 of the plain rate. Where the server's own TLS
is the limit, the processor time of a request on our side tells what the generator could do.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import trustme

from tests.benchmarks.harness import arguments, cores, report, send_only, target

_LOAD = 'model = "closed"\nconcurrency = 64\nduration = {seconds}'


def measure(folder: Path, seconds: float, *, secure: bool) -> dict[str, float]:
    """Return the rate and the processor time of a request."""
    ours, theirs = cores()
    options, more, scheme = [], "", "http"
    if secure:
        authority = trustme.CA()
        authority.cert_pem.write_to_path(folder / "ca.pem")
        leaf = authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem
        leaf.write_to_path(folder / "server.pem")
        options, scheme = ["--tls", str(folder / "server.pem")], "https"
        more = f'tls = {{ ca = "{folder / "ca.pem"}" }}'
    with target(theirs, *options) as port:
        load = _LOAD.format(seconds=seconds)
        document: dict[str, Any] = send_only(port, load, ours, scheme=scheme, more=more)
    sent = document["copies"]["acknowledged"]
    return {
        "requests_per_s": sent / document["load"]["duration_s"],
        "generator_cpu_us": document["generator"]["cpu_s"] / sent * 1e6,
    }


def main() -> None:
    """Run the benchmark."""
    options = arguments(__doc__ or "", seconds=10)
    with tempfile.TemporaryDirectory() as name:
        plain = measure(Path(name), options.seconds, secure=False)
        tls = measure(Path(name), options.seconds, secure=True)
    ratio = tls["requests_per_s"] / plain["requests_per_s"]
    by_cpu = plain["generator_cpu_us"] / tls["generator_cpu_us"]
    figures = {"plain": plain, "tls": tls, "ratio": ratio, "ratio_by_cpu": by_cpu}
    rows = [("connection", "requests/s", "of plain", "processor time", "of plain")]
    rows += [
        (
            name,
            f"{each['requests_per_s']:,.0f}",
            f"{each['requests_per_s'] / plain['requests_per_s']:.2f} ×",
            f"{each['generator_cpu_us']:.1f} µs",
            f"{each['generator_cpu_us'] / plain['generator_cpu_us']:.2f} ×",
        )
        for name, each in (("plain", plain), ("TLS", tls))
    ]
    report(figures, rows, as_json=options.json)


if __name__ == "__main__":
    main()
