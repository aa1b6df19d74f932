"""What the emulator can be told: mappings (TOML, JSON) parsed into frozen values."""

from __future__ import annotations

from loadcheck.emulator.config.model import (
    DelayDistribution,
    EmulatorConfig,
    Fault,
    Selection,
)
from loadcheck.emulator.config.parse import parse, parse_faults
from loadcheck.emulator.config.reader import ConfigError, ConfigProblem

__all__ = [
    "ConfigError",
    "ConfigProblem",
    "DelayDistribution",
    "EmulatorConfig",
    "Fault",
    "Selection",
    "parse",
    "parse_faults",
]
