"""Workers on a Dask cluster: one load, sent once, whatever becomes of the cluster."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import orjson
import psutil
import pytest
import trustme

from tests.cli.conftest import Loadcheck
from tests.cli.test_interrupts import document, started, wait_for
from tests.cli.test_workers import bounds_hold

pytest.importorskip("distributed")
pytestmark = [pytest.mark.long, pytest.mark.timeout(240)]


class Cluster:
    """A scheduler and two workers, each with its nanny, on this machine."""

    def __init__(
        self, folder: Path, environment: dict[str, str], options: Sequence[str] = ()
    ) -> None:
        self.file = folder / "scheduler.json"
        self._environment = environment
        self.scheduler = self._start("dask_scheduler", "--port", "0", *options)
        wait_for(self.file.exists)
        self.nanny = self._start("dask_worker", "--nworkers", "2", "--nthreads", "1", *options)
        self.address = str(orjson.loads(self.file.read_bytes())["address"])
        wait_for(lambda: len(self.workers()) == 2)

    def _start(self, module: str, *options: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [
                *(sys.executable, "-m", f"distributed.cli.{module}", "--no-dashboard"),
                *("--host", "127.0.0.1", "--scheduler-file", str(self.file), *options),
            ],
            env=self._environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def workers(self) -> list[psutil.Process]:
        """Return the workers: what a nanny has started, without what serves it."""
        found = psutil.Process(self.nanny.pid).children()
        return [each for each in found if "spawn_main" in " ".join(each.cmdline())]

    def close(self) -> None:
        for process in (self.nanny, self.scheduler):
            for child in psutil.Process(process.pid).children(recursive=True):
                child.kill()
            process.kill()
            process.wait()


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    made = Cluster(tmp_path, dict(os.environ))
    yield made
    made.close()


def test_a_cluster_sends_one_load(cluster: Cluster, loadcheck: Loadcheck, smoke: Path) -> None:
    ended = loadcheck("run", smoke, "--scheduler", cluster.address, timeout_s=180)
    assert ended.code == 0, ended.stderr
    result = ended.result
    workers = result["run"]["workers"]
    assert workers["engine"] == "dask"
    assert [each["acknowledged"] for each in workers["shards"]] == [100, 100]
    assert result["consistency"]["uniques"] == 200
    ended = loadcheck("run", smoke, "--scheduler", cluster.address, "--workers", "3")
    assert ended.code == 2
    assert "3 workers are asked for; the cluster has 2" in ended.stderr


@pytest.mark.parametrize("victim", ["worker", "nanny", "shard"])
def test_what_is_killed_is_not_sent_again(
    cluster: Cluster, loadcheck: Loadcheck, smoke: Path, victim: str
) -> None:
    process = loadcheck.start(
        *("run", smoke, "--scheduler", cluster.address, "--keep-going"),
        *("--set", "load.duration=12", "--set", "load.rate=150"),
    )
    wait_for(lambda: started(loadcheck) > 100, 120)
    worker = cluster.workers()[0]
    if victim == "worker":
        worker.kill()
    elif victim == "nanny":
        cluster.nanny.kill()
        for each in cluster.workers():
            each.kill()
    else:
        (shard,) = worker.children(recursive=True)
        shard.kill()
    stdout, stderr = process.communicate(timeout=180)
    assert process.returncode == 3, stdout + stderr
    result = document(loadcheck)
    bounds_hold(result)
    assert result["copies"]["started"] <= 1800
    (finding,) = (each for each in result["findings"] if each["check"] == "shard")
    assert len(finding["evidence"]["lost"]) == (2 if victim == "nanny" else 1)


def test_a_scheduler_with_tls_takes_those_who_have_its_certificates(
    tmp_path: Path, loadcheck: Loadcheck, smoke: Path
) -> None:
    authority = trustme.CA()
    certificate = authority.issue_cert("127.0.0.1", "localhost")
    ca, pem = tmp_path / "ca.pem", tmp_path / "all.pem"
    authority.cert_pem.write_to_path(ca)
    certificate.private_key_and_cert_chain_pem.write_to_path(pem)
    names = {"DASK_DISTRIBUTED__COMM__TLS__CA_FILE": str(ca)}
    for role in ("SCHEDULER", "WORKER", "CLIENT"):
        for what in ("CERT", "KEY"):
            names[f"DASK_DISTRIBUTED__COMM__TLS__{role}__{what}"] = str(pem)
    cluster = Cluster(tmp_path, {**os.environ, **names}, ["--protocol", "tls"])
    try:
        assert cluster.address.startswith("tls://")
        refused = loadcheck("run", smoke, "--scheduler", cluster.address)
        assert refused.code == 2, refused.stderr
        said = " ".join(refused.stderr.split())
        assert f"Dask has no TLS files for {cluster.address}" in said
        assert "set distributed.comm.tls" in said
        assert not refused.results
        ended = loadcheck("run", smoke, "--scheduler", cluster.address, env=names, timeout_s=180)
        assert ended.code == 0, ended.stderr
        assert ended.result["copies"]["acknowledged"] == 200
    finally:
        cluster.close()


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("tcp://127.0.0.1:1", "no Dask scheduler answers at tcp://127.0.0.1:1"),
        ("tls://127.0.0.1:1", "set distributed.comm.tls (ca-file, client.cert, client.key)"),
        ("nonsense", "give it as tcp://HOST:PORT or tls://HOST:PORT"),
    ],
)
def test_a_scheduler_that_is_not_there_is_told(
    loadcheck: Loadcheck, smoke: Path, address: str, said: str
) -> None:
    ended = loadcheck("run", smoke, "--scheduler", address)
    assert ended.code == 2
    assert said in ended.stderr
    assert "Warning" not in ended.stderr, "what Dask has to say is said"
    assert ended.stderr.count("\n") == 1
    assert not ended.results
