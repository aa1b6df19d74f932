"""Workers on a Dask cluster: one load, sent once, whatever becomes of the cluster."""

from __future__ import annotations

import base64
import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path

import orjson
import psutil
import pytest
import trustme

from tests.cli.conftest import KEYS, SCENARIOS, Loadcheck, Service
from tests.cli.test_interrupts import document, started, wait_for
from tests.cli.test_workers import bounds_hold

pytestmark = [
    pytest.mark.long,
    pytest.mark.timeout(240),
    # an import would take a second in every process that collects tests
    pytest.mark.skipif(
        find_spec("distributed") is None, reason="the extra dask brings distributed"
    ),
]


class Cluster:
    """A scheduler and two workers, each with its nanny, on this machine."""

    def __init__(
        self, folder: Path, environment: dict[str, str], options: Sequence[str] = ()
    ) -> None:
        self.file = folder / "scheduler.json"
        self._environment = environment
        self.scheduler = self._start("dask_scheduler", "--port", "0", *options)
        wait_for(self.file.exists)
        self._options = options
        self.nanny = self._hire()
        self.address = str(orjson.loads(self.file.read_bytes())["address"])
        wait_for(self._is_ready)

    def _hire(self) -> subprocess.Popen[bytes]:
        return self._start("dask_worker", "--nworkers", "2", "--nthreads", "1", *self._options)

    def restore(self) -> None:
        """Bring it back to two workers, where some were killed."""
        if self.nanny.poll() is not None:
            self.nanny = self._hire()
        wait_for(self._is_ready)

    def _is_ready(self) -> bool:
        """Return whether the scheduler knows both workers."""
        port = int(self.address.rpartition(":")[2])
        known = 0
        for worker in self.workers():
            with contextlib.suppress(psutil.NoSuchProcess):
                lines = worker.net_connections("tcp")
                known += any(
                    line.status == psutil.CONN_ESTABLISHED and line.raddr.port == port
                    for line in lines
                )
        said = (self.file.parent / "dask_worker.log").read_bytes()
        return known == 2 and said.count(b"Start worker at:") <= said.count(b"Registered to:")

    def _start(self, module: str, *options: str) -> subprocess.Popen[bytes]:
        with (self.file.parent / f"{module}.log").open("ab") as log:
            return subprocess.Popen(
                [
                    *(sys.executable, "-m", f"distributed.cli.{module}", "--no-dashboard"),
                    *("--host", "127.0.0.1", "--scheduler-file", str(self.file), *options),
                ],
                env=self._environment,
                stdout=subprocess.DEVNULL,
                stderr=log,
            )

    def workers(self) -> list[psutil.Process]:
        """Return the workers: what a nanny has started, without what serves it."""
        found = []
        for each in psutil.Process(self.nanny.pid).children():
            # one that was killed is there for a moment longer
            with contextlib.suppress(psutil.NoSuchProcess):
                if "spawn_main" in " ".join(each.cmdline()):
                    found.append(each)
        return found

    def close(self) -> None:
        for process in (self.nanny, self.scheduler):
            # one that has ended already has no children
            with contextlib.suppress(psutil.NoSuchProcess):
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
    loadcheck.results()[0].unlink()
    ended = loadcheck("run", smoke, "--scheduler", cluster.address, "--workers", "3")
    assert ended.code == 2
    said = " ".join(ended.stderr.split())
    assert "load.workers: 3 workers are asked for; the cluster has 2; ask for fewer" in said
    _without_credentials_nothing_is_sent(cluster, loadcheck, smoke)
    cluster.nanny.terminate()
    cluster.nanny.wait()
    ended = loadcheck("run", smoke, "--scheduler", cluster.address)
    assert ended.code == 2
    assert f"the cluster at {cluster.address} has no workers; start some" in ended.stderr
    assert not loadcheck.results()


def _without_credentials_nothing_is_sent(
    cluster: Cluster, loadcheck: Loadcheck, smoke: Path
) -> None:
    # the same scheduler, by an address of which nobody knows that it is this machine's
    scheduler = cluster.address.replace("127.0.0.1", "0.0.0.0")
    nowhere = "http://127.0.0.1:1"
    servers = f'servers={{httpV2Api = "{nowhere}", dashboardRestApi = "{nowhere}"}}'
    live = ["--live", "--yes", "--set", f"target.{servers}", "--scheduler", scheduler]
    ended = loadcheck("run", SCENARIOS / "live.toml", *live, env=KEYS)
    assert ended.code == 2
    for number in (1, 2):
        for name, value in KEYS.items():
            assert f"worker {number} (" in ended.stderr
            assert f": the environment variable {name} is not set; set it there" in ended.stderr
            assert value not in ended.stderr
    written = loadcheck.folder / "written.toml"
    text = (SCENARIOS / "live.toml").read_text()
    written.write_text(text.replace('password = { env = "AMPLITUDE_SECRET_KEY" }', 'password="p"'))
    ended = loadcheck("run", written, *live, env=KEYS)
    assert ended.code == 2
    assert "inputs.basicAuth.basic.password: is written in the scenario" in ended.stderr
    assert 'take a scheduler on tls://, or { env = "NAME" }, set on its workers' in ended.stderr
    ended = loadcheck("run", smoke, "--scheduler", scheduler)
    assert ended.code == 2
    assert "the credentials of the embedded emulator would travel in the clear" in ended.stderr
    assert not loadcheck.results()


def test_secrets_show_in_no_process_log_or_result(
    cluster: Cluster, loadcheck: Loadcheck, service: Service
) -> None:
    pair = ":".join(KEYS.values()).encode()
    secrets = [value.encode() for value in KEYS.values()]
    secrets += [base64.b64encode(each) for each in (pair, *secrets)]
    process = loadcheck.start(
        *("run", str(SCENARIOS / "smoke.toml"), "--scheduler", cluster.address),
        *service.options(**{"load.duration": 6.0}),
        env=KEYS,
    )
    wait_for(lambda: started(loadcheck) > 100, 120)
    ours = [cluster.scheduler.pid, cluster.nanny.pid, process.pid]
    family = [each for pid in ours for each in psutil.Process(pid).children(recursive=True)]
    shown = {f"/proc/{pid}/cmdline" for pid in (*ours, *(each.pid for each in family))}
    # it is the run's own environment that they are taken from
    shown |= {f"/proc/{pid}/environ" for pid in (*ours[:2], *(each.pid for each in family))}
    shown -= {f"/proc/{child.pid}/environ" for child in psutil.Process(process.pid).children()}
    assert sum("shard" in each.cmdline() for each in family) == 2
    for path in shown:
        with contextlib.suppress(OSError):
            said = Path(path).read_bytes()
            assert not [each for each in secrets if each in said], path
    stdout, stderr = process.communicate(timeout=120)
    assert process.returncode == 0, stderr
    told = (stdout + stderr).encode()
    folder = cluster.file.parent
    logs = [folder / f"{name}.log" for name in ("dask_scheduler", "dask_worker")]
    assert all(b"distributed" in log.read_bytes() for log in logs)
    for each in secrets:
        assert each not in told
        assert not [path for path in (*logs, *loadcheck.results()) if each in path.read_bytes()]


def test_a_cluster_of_another_version_is_refused(
    tmp_path: Path, loadcheck: Loadcheck, smoke: Path
) -> None:
    # what a package's metadata says is what Dask tells of it
    for package, version in (("loadcheck", "0.0.9"), ("distributed", "2001.1.0")):
        metadata = tmp_path / "old" / f"{package}-{version}.dist-info" / "METADATA"
        metadata.parent.mkdir(parents=True)
        metadata.write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: {version}\n")
    old = f"{tmp_path / 'old'}:{os.environ.get('PYTHONPATH', '')}".rstrip(":")
    cluster = Cluster(tmp_path, {**os.environ, "PYTHONPATH": old})
    try:
        ended = loadcheck("run", smoke, "--scheduler", cluster.address)
    finally:
        cluster.close()
    assert ended.code == 2, ended.stderr
    for who in ("the scheduler", "worker 1 on tcp://", "worker 2 on tcp://"):
        assert f"error: {who}" in ended.stderr
    assert ended.stderr.count("runs distributed 2001.1.0, this is distributed ") == 3
    assert ended.stderr.count("; install the same version there") in (3, 6)
    assert "Warning" not in ended.stderr, "what Dask has to say is said"
    assert not ended.results


@pytest.fixture
def mute() -> Iterator[str]:
    """Yield the address of something that takes connections, and never says anything."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield f"tcp://127.0.0.1:{listening.getsockname()[1]}"


def test_what_is_no_scheduler_is_told(loadcheck: Loadcheck, smoke: Path, mute: str) -> None:
    ended = loadcheck("run", smoke, "--scheduler", mute)
    assert ended.code == 2, ended.stderr
    assert f"no Dask scheduler answers at {mute}: " in ended.stderr
    assert not ended.results


def test_an_interrupt_ends_the_wait_for_a_scheduler(
    loadcheck: Loadcheck, smoke: Path, mute: str
) -> None:
    process = loadcheck.start("run", smoke, "--scheduler", mute)
    port = int(mute.rpartition(":")[2])
    us = psutil.Process(process.pid)
    wait_for(lambda: any(getattr(each.raddr, "port", 0) == port for each in us.net_connections()))
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 130, stderr
    assert stderr == "Interrupted.\n"
    assert not loadcheck.results()


@pytest.mark.parametrize("victim", ["worker", "nanny", "shard", "scheduler"])
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
    elif victim == "scheduler":
        cluster.scheduler.kill()
    else:
        (shard,) = worker.children(recursive=True)
        shard.kill()
    stdout, stderr = process.communicate(timeout=180)
    assert process.returncode == 3, stdout + stderr
    result = document(loadcheck)
    bounds_hold(result)
    # what has an outcome, or may have one, is of the schedule: of no copy there are two
    copies = result["copies"]
    ended = sum(copies[name] for name in ("acknowledged", "rejected", "indeterminate", "skipped"))
    assert copies["started"] <= ended <= copies["planned"] == 1800
    assert result["consistency"]["duplicated"] == 0
    (finding,) = (each for each in result["findings"] if each["check"] == "shard")
    assert len(finding["evidence"]["lost"]) == (2 if victim in ("nanny", "scheduler") else 1)
    assert "Traceback" not in stderr, "what Dask has to say is said"


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
        stranger = tmp_path / "stranger.pem"
        trustme.CA().cert_pem.write_to_path(stranger)
        for file, told in (
            (stranger, "and are the files of distributed.comm.tls (ca-file, client.cert,"),
            (tmp_path / "none.pem", f"Dask cannot read its TLS files for {cluster.address}: "),
        ):
            other = {**names, "DASK_DISTRIBUTED__COMM__TLS__CA_FILE": str(file)}
            refused = loadcheck("run", smoke, "--scheduler", cluster.address, env=other)
            assert refused.code == 2, refused.stderr
            assert told in " ".join(refused.stderr.split())
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
