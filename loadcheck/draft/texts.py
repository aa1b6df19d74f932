"""The texts of a draft's files: the Arazzo document, the scenario, ``.env.example``.

The files are written all together or not at all.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import yaml

from loadcheck.documents.document import MISSING, format_pointer
from loadcheck.documents.files import exists, is_folder, reason_of
from loadcheck.documents.toml import as_toml
from loadcheck.draft.choose import Choice
from loadcheck.draft.operations import Candidate
from loadcheck.draft.requests import DraftRequests, camel
from loadcheck.errors import DraftError, Problem
from loadcheck.load.transport.routes import is_loopback
from loadcheck.workflow.exchange import Origin

SOURCE: Final = "api"
"""Name of the source description."""
_ID = re.compile(r"[A-Za-z0-9_-]+")
_PLAIN = re.compile(r"[A-Za-z$].*")
_WORDS: Final = frozenset({"true", "false", "null", "yes", "no", "on", "off", "y", "n"})
_SUCCESS: Final = "$statusCode >= 200 && $statusCode < 300"


def step_id(candidate: Candidate) -> str:
    """Return the ``stepId`` for an operation."""
    if candidate.operation_id is not None:
        return camel(candidate.operation_id) if not _is_id(candidate) else candidate.operation_id
    path = candidate.operation.path.replace("{", "").replace("}", "")
    return camel(f"{candidate.operation.method.lower()} {path}")


def _is_id(candidate: Candidate) -> bool:
    return bool(candidate.operation_id and _ID.fullmatch(candidate.operation_id))


def arazzo(choice: Choice, requests: DraftRequests, *, title: str, url: str) -> str:
    """Return the Arazzo document.

    Args:
        choice: The operations.
        requests: Their requests.
        title: Title of the API.
        url: URL of the API's description, relative to the document.
    """
    inputs = requests.inputs
    asked = "" if choice.count is None else ", then count the users"
    document: dict[str, Any] = {
        "arazzo": "1.0.1",
        "info": {"title": f"{title}: send an event of a user{asked}", "version": "1.0.0"},
        "sourceDescriptions": [{"name": SOURCE, "url": url, "type": "openapi"}],
        "workflows": [
            {
                "workflowId": "send-and-count" if choice.count is not None else "send",
                "inputs": {
                    "type": "object",
                    "required": list(inputs),
                    "properties": {
                        name: {"type": each.type}
                        | ({"description": each.text} if each.text else {})
                        for name, each in inputs.items()
                    },
                },
                "steps": [
                    _step("ingest", choice.ingest, requests),
                    *(
                        []
                        if choice.count is None
                        else [
                            _step("count", choice.count, requests)
                            | {"outputs": {"users": choice.uniques}}
                        ]
                    ),
                ],
            }
        ],
    }
    return written(document)


def written(document: Any) -> str:
    """Return a JSON value as YAML."""
    text: str = yaml.dump(
        document, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100, line_break="\n"
    )
    return text


def _step(step: str, candidate: Candidate, requests: DraftRequests) -> dict[str, Any]:
    operation = candidate.operation
    described: dict[str, Any] = {"stepId": step_id(candidate)}
    if _is_id(candidate):
        described["operationId"] = candidate.operation_id
    else:
        pointer = format_pointer(("paths", operation.path, operation.method.lower()))
        described["operationPath"] = f"{{$sourceDescriptions.{SOURCE}.url}}#{pointer}"
    parameters = [
        {"name": name, "in": place, "value": value}
        for place, name, value in requests.parameters[step]
    ]
    if parameters:
        described["parameters"] = parameters
    payload = requests.bodies[step]
    if payload is not MISSING:
        body = {"contentType": candidate.content_type or "application/octet-stream"}
        described["requestBody"] = body | {"payload": payload}
    return described | {"successCriteria": [{"condition": _SUCCESS}]}


class _Dumper(yaml.SafeDumper):
    """Writes strings so that YAML 1.1 and 1.2 read them alike, and writes no aliases."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002  # the base class's signature
        return True


def _text(dumper: yaml.SafeDumper, data: str) -> yaml.Node:
    plain = _PLAIN.fullmatch(data) and data.lower() not in _WORDS and not data.endswith(" ")
    return dumper.represent_scalar("tag:yaml.org,2002:str", data, style=None if plain else "'")


_Dumper.add_representer(str, _text)
_Dumper.add_multi_representer(dict, yaml.SafeDumper.represent_dict)
_Dumper.add_multi_representer(list, yaml.SafeDumper.represent_list)


def scenario(
    choice: Choice,
    requests: DraftRequests,
    *,
    title: str,
    document: str,
    source: str,
    servers: Sequence[tuple[Origin, str]],
) -> str:
    """Return the scenario.

    Args:
        choice: The operations.
        requests: Their requests.
        title: Title of the API.
        document: File name of the Arazzo document.
        source: What the draft was made from, for a comment.
        servers: Origin and path of the base URLs; several are left to the description. If one is
            not on this machine, the load is small.
    """
    away = not all(is_loopback(origin.host) for origin, _ in servers)
    ingest, live = step_id(choice.ingest), " --live" if away else ""
    name = document.removesuffix(".arazzo.yml")
    rate, deadline = (5, "2m") if away else (50, "30s")
    lines = [
        f"# {title}: one event for each of many users"
        + (". Is everybody counted?" if choice.count is not None else "."),
        "#",
        f"#   loadcheck check {name}.toml",
        f"#   loadcheck run {name}.toml{live}",
        "#",
        f"# Drafted by loadcheck init from {source}. It is yours: change what you like.",
        "",
        f"description = {as_toml(f'One event for each of {10 * rate:,} users')}",
        f"workflow = {as_toml(document)}",
        "",
        "thresholds = [",
        '    "error_rate < 1%",',
    ]
    if choice.count is not None:
        lines.append('    "lost == 0",')
    if choice.totals is not None:
        lines.append('    "duplicated == 0",')
    lines += [
        f'    # "{ingest}.p99 < 250ms",      # response time, counted from when a copy was due',
        "]",
        "",
        "[target]",
        'kind = "live"' + ("                       # leaves this machine only with --live" * away),
        f"servers = {{ {SOURCE} = {as_toml(f'{servers[0][0]}{servers[0][1]}')} }}"
        if len(servers) == 1
        else "# servers: those that the description names",
        "",
        "[inputs]",
    ]
    lines += _commented({name: (each.value, each.text) for name, each in requests.inputs.items()})
    lines += [
        "",
        "[load]",
        *_commented(
            {
                "model": ('"open"', "users come, whether the service is slow or not"),
                "rate": (str(rate), "users a second"),
                "duration": ('"10s"', ""),
            }
        ),
        "",
        "[verify]",
    ]
    lines += _verify(choice, deadline)
    return "\n".join(lines) + "\n"


def _verify(choice: Choice, deadline: str) -> list[str]:
    if choice.count is None:
        return ["enabled = false                     # nothing in this API counts users"]
    entries = {
        "ingest": (as_toml(step_id(choice.ingest)), "sends one user's event"),
        "step": (as_toml(step_id(choice.count)), "is asked how many users there are"),
        "user": ('"$inputs.userId"', "the user id that the service counts"),
        "uniques": (as_toml(choice.uniques), "the number of users in its answer"),
    }
    if choice.totals is not None:
        entries["totals"] = (as_toml(choice.totals), "the number of events")
    entries |= {
        "every": ('"1s"', "how often to ask, during the load and after it"),
        "quiet": ('"3s"', "settled: every user counted, or the count unchanged for this long"),
        "deadline": (as_toml(deadline), "after the last answer; users missing by then are lost"),
    }
    return _commented(entries)


def _commented(entries: Mapping[str, tuple[str, str]]) -> list[str]:
    """Return a TOML line for each key, with its value and a comment beside it."""
    lines = []
    for name, (value, text) in entries.items():
        line = f"{name} = {value}"
        comment = " ".join(text.split())
        lines.append(f"{line:<34}  # {comment[:80]}" if comment else line)
    return lines


def environment(variables: Iterable[str], title: str) -> str:
    """Return the text of ``.env.example``."""
    lines = [f"# What {title} must be given, and no file of the scenario may hold."]
    if not variables:
        return f"{lines[0]}\n# Nothing: its requests carry no credentials.\n"
    lines += [
        "#",
        "#   cp .env.example .env     fill it in, and keep it out of version control",
        "",
    ]
    lines += [f"{name}=" for name in variables]
    return "\n".join(lines) + "\n"


def write_all(folder: Path, files: Mapping[str, bytes], examine: Callable[[Path], None]) -> None:
    """Write files into a folder, which is created if missing.

    Args:
        folder: The folder.
        files: Name → content.
        examine: Called with a temporary folder that contains the files; if it raises, nothing is
            written.

    Raises:
        DraftError: A file exists already or cannot be written; nothing was changed.
    """
    place = folder.resolve()  # beside "." and ".." as well
    made = _with_parents(folder, place)
    try:
        _refuse_present(folder, files)
        stage = Path(tempfile.mkdtemp(prefix=f".{place.name}-", dir=place.parent))
        try:
            for name, content in files.items():
                (stage / name).write_bytes(content)
            examine(stage)
            _move(stage, folder, files)
        finally:
            shutil.rmtree(stage, ignore_errors=True)
    except OSError as error:
        _remove(made)
        raise _unwritable(folder, error) from error
    except BaseException:
        _remove(made)
        raise


def _with_parents(folder: Path, place: Path) -> list[Path]:
    """Create the folders above one, and return those that were missing, deepest first."""
    missing = [each for each in place.parents if not exists(each)]
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        _remove(missing)
        raise _unwritable(folder, error) from error
    return missing


def _remove(folders: list[Path]) -> None:
    for each in folders:
        try:
            each.rmdir()
        except OSError:
            return  # not empty: something else was written into it


def _refuse_present(folder: Path, files: Mapping[str, bytes]) -> None:
    if exists(folder) and not is_folder(folder):
        message, remedy = "exists and is not a folder", "name another one: --into FOLDER"
        raise DraftError(Problem(message=message, file=str(folder), remedy=remedy))
    present = [name for name in files if os.path.lexists(folder / name)]
    if present:
        remedy = "nothing is written over: move it away, or write elsewhere: --into FOLDER"
        raise DraftError(
            Problem(message="is there already", file=str(folder / name), remedy=remedy)
            for name in present
        )


def _move(stage: Path, folder: Path, files: Mapping[str, bytes]) -> None:
    """Move the files into the folder; hard links never replace a file created in the meantime."""
    new = not exists(folder)
    folder.mkdir(exist_ok=True)
    done: list[Path] = []
    try:
        for name in files:
            (folder / name).hardlink_to(stage / name)
            done.append(folder / name)
    except OSError:
        for path in done:
            path.unlink(missing_ok=True)
        if new:
            _remove([folder])
        raise


def _unwritable(folder: Path, error: OSError) -> DraftError:
    file = str(error.filename2 or folder) if isinstance(error, FileExistsError) else str(folder)
    message, remedy = f"cannot be written: {reason_of(error)}", "write elsewhere: --into FOLDER"
    return DraftError(Problem(message=message, file=file, remedy=remedy))
