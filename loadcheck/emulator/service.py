"""The emulator as a whole: its state, and which path leads to which part."""

from __future__ import annotations

import orjson

from loadcheck.emulator.clock import Clock
from loadcheck.emulator.config import EmulatorConfig
from loadcheck.emulator.faults.injector import Injector
from loadcheck.emulator.http.message import Answer, Request
from loadcheck.emulator.http.router import Router
from loadcheck.emulator.ingest.commit import Committer
from loadcheck.emulator.ingest.upload import Uploads
from loadcheck.emulator.query.dashboard import Dashboard, parameters
from loadcheck.emulator.query.parameters import read_segmentation
from loadcheck.emulator.query.segmentation import Charts
from loadcheck.emulator.store.events import EventStore


class Emulator:
    """One project of Amplitude.

    Attributes:
        router: Answers requests.
    """

    def __init__(self, config: EmulatorConfig, clock: Clock | None = None) -> None:
        self.config = config
        self.clock = clock or Clock()
        self.store = EventStore()
        self.injector = Injector(config.faults)
        self.committer = Committer(config, self.store)
        self.dashboard = Dashboard(config, self.clock, self.injector)
        self.charts = Charts(config, self.store)
        self.router = Router()
        for path, batch in (("/2/httpapi", False), ("/batch", True)):
            uploads = Uploads(
                config,
                batch=batch,
                clock=self.clock,
                committer=self.committer,
                injector=self.injector,
            )
            self.router.add("POST", path, uploads)
        self.router.add(
            "GET", "/api/2/events/segmentation", self.dashboard.guarded(self._segmentation)
        )

    async def _segmentation(self, request: Request) -> Answer:
        query = read_segmentation(parameters(request))
        x_axis = self.charts.axis(query)
        seen_until_ms = self.injector.seen_until_ms(self.clock.now_ms())
        content = await self.charts.chart(query, x_axis, seen_until_ms)
        return Answer(200, orjson.dumps(content))
