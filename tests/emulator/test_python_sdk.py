"""Amplitude's own Python SDK delivers through the emulator, and reacts to it as to Amplitude."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import amplitude
import pytest
from amplitude import storage

from tests.emulator.conftest import Make, Serve, Served, stored

Send = Callable[..., list[tuple[str, int]]]


NO_PROJECT = {"project_events_per_s": "off", "project_requests_per_s": "off"}


class Impatient(storage.InMemoryStorage):  # type: ignore[misc]
    """Waits a good second where the SDK would wait 30 after a 429."""

    def push(self, event: Any, delay: int = 0) -> tuple[bool, str | None]:
        pushed: tuple[bool, str | None] = super().push(event, min(delay, 1200))
        return pushed


class ImpatientProvider(storage.StorageProvider):  # type: ignore[misc]
    def get_storage(self) -> Impatient:
        return Impatient()


@pytest.fixture
def send() -> Iterator[Send]:
    """Track one event per user, wait for the SDK to call back for each, return what it said."""
    clients: list[Any] = []

    def send(
        served: Served, users: list[str], *, path: str = "/2/httpapi", batch: int = 10, **more: Any
    ) -> list[tuple[str, int]]:
        said: list[tuple[str, int]] = []
        done = threading.Event()

        def callback(event: Any, code: int, _: str | None = None) -> None:
            said.append((event.user_id, code))
            if len(said) == len(users):
                done.set()

        client = amplitude.Amplitude(
            more.get("api_key", "an-api-key-of-the-tests"),
            amplitude.Config(
                server_url=f"{served.url}{path}",
                flush_queue_size=batch,
                flush_interval_millis=20,
                callback=callback,
                storage_provider=ImpatientProvider(),
            ),
        )
        clients.append(client)
        for number, user in enumerate(users):
            client.track(amplitude.BaseEvent("probe", user_id=user, event_properties={"n": number}))
        assert done.wait(20), said
        return sorted(said)

    yield send
    for client in clients:
        client.shutdown()


@pytest.mark.parametrize("path", ["/2/httpapi", "/batch"])
def test_it_delivers(serve: Serve, send: Send, path: str) -> None:
    served = serve()
    users = [f"user-{number:03}" for number in range(100)]
    assert send(served, users, path=path) == [(user, 200) for user in users]
    assert stored(served) == (100, 100, 0)


def test_400_drops_the_events_named_and_sends_the_rest_again(serve: Serve, send: Send) -> None:
    served = serve()
    said = send(served, ["user-1", "u", "user-2", "unknown", "user-3"], batch=5)
    assert said == [("u", 400), ("unknown", 400), ("user-1", 200), ("user-2", 200), ("user-3", 200)]
    assert stored(served) == (3, 3, 0)


def test_a_wrong_api_key_ends_it(serve: Serve) -> None:
    served = serve()
    said: list[int] = []
    client = amplitude.Amplitude(
        "some-other-key",
        amplitude.Config(
            server_url=f"{served.url}/2/httpapi",
            callback=lambda _, code, __=None: said.append(code),
        ),
    )
    client.track(amplitude.BaseEvent("probe", user_id="user-1"))
    for sending in client.flush():
        sending.result(10)
    client.shutdown()
    assert said == []
    assert served.project.emulator.state()["refused"]["/2/httpapi"] == {"400": 1}


def test_413_makes_it_send_smaller_batches(serve: Serve, send: Send) -> None:
    served = serve(limits={"base": "off", "httpapi": {"max_events": 3}})
    users = [f"user-{number}" for number in range(20)]
    assert send(served, users) == sorted((user, 200) for user in users)
    assert stored(served) == (20, 20, 0)
    assert served.project.emulator.state()["refused"]["/2/httpapi"]["413"] >= 1


def test_429_makes_it_wait_with_the_throttled_and_send_the_others(serve: Serve, send: Send) -> None:
    limits = NO_PROJECT | {"user_events_per_s": 1, "window_s": 2}
    served = serve(limits={"base": "documented", "httpapi": limits})
    for _ in range(2):
        served.project.user("user-2")
    users = ["user-1", "user-2", "user-3"]
    assert send(served, users, batch=3) == [(user, 200) for user in users]
    assert stored(served) == (3, 5, 0)
    assert served.project.emulator.state()["refused"]["/2/httpapi"]["429"] >= 1


def test_over_the_daily_quota_it_drops(serve: Serve, send: Send) -> None:
    limits = NO_PROJECT | {"user_events_per_day": 1}
    served = serve(limits={"base": "documented", "httpapi": limits})
    assert send(served, ["user-1"]) == [("user-1", 200)]
    assert send(served, ["user-1", "user-2"], batch=2) == [("user-1", 429), ("user-2", 200)]


def test_503_and_500_make_it_retry_without_duplicates(serve: Serve, send: Send) -> None:
    served = serve(
        faults={
            "error_before_commit": {"count": 2, "status": 503},
            "error_after_commit": {"count": 2, "status": 500},
        }
    )
    users = [f"user-{number}" for number in range(10)]
    assert send(served, users, batch=5) == [(user, 200) for user in users]
    known, events, duplicates = stored(served)
    assert (known, events) == (10, 10)
    assert duplicates >= 1  # what was stored before the 500 came again


def test_documented_limits_let_a_patient_client_through(make: Make) -> None:
    """10 events a request, 100 requests a second: what Amplitude advises."""
    project = make(limits="documented")
    for number in range(100):
        events = [
            {"user_id": f"user-{number}-{index}", "event_type": "probe"} for index in range(10)
        ]
        assert project.upload(*events)["code"] == 200
