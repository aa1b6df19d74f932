"""Runs the product in virtual time: where nothing is left to do, the clock jumps to what is next.

Only the product is given the virtual clock: the modules of loadcheck that read ``time`` read it
from a stand-in for as long as a run goes on, and so does whoever kept ``time.monotonic_ns``.
"""

from __future__ import annotations

import asyncio
import functools
import gc
import math
import selectors
import sys
import time
import types
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any, TypeVar

import anyio.to_thread

Result = TypeVar("Result")

_FOREVER_S = 80_000.0
"""Nothing in a run waits for so long; an endless sleep is cut to a day by the loop."""
_BEGIN_NS = 1_000_000_000_000
_REAL_MONOTONIC_NS = time.monotonic_ns


class StuckError(Exception):
    """Everything waits, and for nothing that could ever come."""


class VirtualClock:
    """Nanoseconds that pass only while everybody sleeps."""

    def __init__(self) -> None:
        self.now_ns = _BEGIN_NS
        self._began_ns = time.time_ns()

    @property
    def now_s(self) -> float:
        """The same in seconds."""
        return self.now_ns / 1e9

    def monotonic_ns(self) -> int:
        """Stand in for :func:`time.monotonic_ns`."""
        return self.now_ns

    def time_ns(self) -> int:
        """Stand in for :func:`time.time_ns`."""
        return self._began_ns + self.now_ns - _BEGIN_NS


class _JumpingSelector(selectors.DefaultSelector):
    def __init__(self, clock: VirtualClock) -> None:
        super().__init__()
        self._clock = clock

    def select(self, timeout: float | None = None) -> list[Any]:
        events = super().select(0)
        if not events:
            if timeout is None or timeout > _FOREVER_S:
                raise StuckError
            self._clock.now_ns += math.ceil(max(0.0, timeout) * 1e9)
        return events


class _VirtualLoop(asyncio.SelectorEventLoop):
    def __init__(self, clock: VirtualClock) -> None:
        super().__init__(_JumpingSelector(clock))
        self._virtual = clock
        self._clock_resolution = 1e-9

    def time(self) -> float:
        return self._virtual.now_s


def run_virtual(main: Callable[[], Coroutine[Any, Any, Result]], clock: VirtualClock) -> Result:
    """Run a coroutine function to its end in virtual time.

    Raises:
        StuckError: It waits for something that never comes.
    """
    with (
        _clocked(clock),
        asyncio.Runner(loop_factory=lambda: _VirtualLoop(clock)) as runner,
    ):
        return runner.run(main())


@contextmanager
def _clocked(clock: VirtualClock) -> Iterator[None]:
    """Give the product the clock; saves go on in no thread, and no garbage is sought."""
    stand_in = types.ModuleType("time")
    stand_in.__dict__.update(
        {name: getattr(time, name) for name in dir(time) if not name.startswith("__")}
    )
    stand_in.__dict__.update(
        monotonic_ns=clock.monotonic_ns,
        monotonic=lambda: clock.now_s,
        time_ns=clock.time_ns,
        time=lambda: clock.time_ns() / 1e9,
        clock_gettime_ns=lambda _clock: clock.now_ns,
    )

    class calendar(datetime):  # noqa: N801  # stands in for one
        @classmethod
        def now(cls, tz: Any = None) -> Any:
            return cls.fromtimestamp(clock.time_ns() / 1e9, tz)

    undo: list[Callable[[], None]] = []

    def put(holder: Any, name: str, value: Any) -> None:
        before = getattr(holder, name)
        undo.append(lambda: setattr(holder, name, before))
        setattr(holder, name, value)

    async def at_once(function: Callable[..., Any], *args: Any, **_: Any) -> Any:
        return function(*args)

    modules = tuple(_modules())
    for module, name, value in _readers(modules):
        instead = {id(time): stand_in, id(datetime): calendar}.get(id(value), clock.monotonic_ns)
        put(module, name, instead)
    for function in _functions(modules):
        for holder, value in _defaults(function, clock):
            put(function, holder, value)
    put(anyio.to_thread, "run_sync", at_once)
    put(gc, "collect", lambda *_: 0)
    try:
        yield
    finally:
        for restore in reversed(undo):
            restore()


def _defaults(
    function: types.FunctionType, clock: VirtualClock | None
) -> Iterator[tuple[str, Any]]:
    """Yield what a function's defaults must be, where they hold the clock that passes by itself."""
    instead = None if clock is None else clock.monotonic_ns

    def swapped(name: str, value: Any) -> Any:
        if name == "spin_ns" and value:
            return 0  # this clock sleeps exactly
        return instead if value is _REAL_MONOTONIC_NS else value

    keywords, defaults = function.__kwdefaults__ or {}, function.__defaults__ or ()
    told = {name: swapped(name, value) for name, value in keywords.items()}
    if any(told[name] is not value for name, value in keywords.items()):
        yield "__kwdefaults__", told
    if any(value is _REAL_MONOTONIC_NS for value in defaults):
        yield "__defaults__", tuple(swapped("", value) for value in defaults)


def _modules() -> Iterator[types.ModuleType]:
    for name, module in list(sys.modules.items()):
        if name.startswith("loadcheck.") and not name.startswith("loadcheck.emulator"):
            yield module


@functools.lru_cache(maxsize=4)
def _readers(modules: tuple[types.ModuleType, ...]) -> list[tuple[types.ModuleType, str, Any]]:
    """Return what in the product's modules is the clock."""
    return [
        (module, name, value)
        for module in modules
        for name, value in vars(module).items()
        if value is time or value is _REAL_MONOTONIC_NS or value is datetime
    ]


@functools.lru_cache(maxsize=4)
def _functions(modules: tuple[types.ModuleType, ...]) -> list[types.FunctionType]:
    """Return every function and method of the product that has a clock as a default."""
    found: list[types.FunctionType] = []
    for module in modules:
        own = [
            value
            for value in vars(module).values()
            if getattr(value, "__module__", None) == module.__name__
        ]
        methods = [inner for value in own if isinstance(value, type) for inner in _members(value)]
        found += [each for each in (*own, *methods) if isinstance(each, types.FunctionType)]
    return [function for function in found if any(True for _ in _defaults(function, None))]


def _members(kind: type) -> Iterator[Any]:
    yield from vars(kind).values()
