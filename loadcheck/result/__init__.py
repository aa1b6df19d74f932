"""The results file: its schema, how it is written so that nothing is lost, how it is read."""

from loadcheck.result.schema import SCHEMA, json_schema
from loadcheck.result.schema_others import capacity_schema
from loadcheck.result.store import ResultFile, default_name, read, read_any, save_elsewhere

__all__ = [
    "SCHEMA",
    "ResultFile",
    "capacity_schema",
    "default_name",
    "json_schema",
    "read",
    "read_any",
    "save_elsewhere",
]
