"""loadcheck: a load generator that proves its load arrived.

From Python: :func:`run` a scenario, :func:`load` a results file, :func:`compare` two; see
:mod:`loadcheck.api`, which is imported when one of its names is first used.

The packages, in the order in which data flows through them: :mod:`loadcheck.scenario` reads the
scenario, :mod:`loadcheck.workflow` compiles its requests, :mod:`loadcheck.load` sends them,
:mod:`loadcheck.measure` records what was measured, :mod:`loadcheck.verify` queries the service and
judges, :mod:`loadcheck.result` saves the result, :mod:`loadcheck.report` shows it.
:mod:`loadcheck.pipeline` is the whole program in one function; :mod:`loadcheck.emulator` is a
service to try it on.
"""

import importlib
import sys
from pathlib import Path
from types import ModuleType

__version__ = "0.1.0"

# "from MODULE import NAME as NAME": type checkers read the same lines
_STUB = Path(__file__).with_name("__init__.pyi").read_text(encoding="utf-8").splitlines()
_PLACES = {line.split()[-1]: line.split()[1] for line in _STUB if line.startswith("from ")}
"""Public name → the module that holds it."""
__all__ = sorted(_PLACES)  # noqa: PLE0605  # in the stub, for type checkers


class _Room(ModuleType):
    """A package that shares its name with a public function; calling it calls the function."""

    def __call__(self, *args: object, **kwargs: object) -> object:
        return _public(self.__name__.rpartition(".")[2])(*args, **kwargs)  # type: ignore[operator]


class _House(ModuleType):
    def __setattr__(self, name: str, value: object) -> None:
        """Let ``loadcheck.load`` and ``loadcheck.compare``, once imported, be called as well."""
        if name in _PLACES and isinstance(value, ModuleType):
            value.__class__ = _Room
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _House


def _public(name: str) -> object:
    # imported late: the module may take a second
    return getattr(importlib.import_module(_PLACES[name]), name)


def __getattr__(name: str) -> object:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return _public(name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_PLACES})
