"""Draft a first scenario for an API: ``loadcheck init``.

Reads an OpenAPI description, recorded requests or a curl line, finds the operation that takes the
data and the one that counts users, and writes the Arazzo document, the scenario and
``.env.example``. The files are checked first, written all together or not at all, and never
overwrite existing ones.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, urlsplit

from loadcheck import scenario as scenarios
from loadcheck.documents.document import Document
from loadcheck.documents.toml import as_toml
from loadcheck.draft import texts
from loadcheck.draft.choose import Choice, Wishes, choose
from loadcheck.draft.operations import candidates, open_description
from loadcheck.draft.recorded import RecordedRequest, as_source, describe
from loadcheck.draft.requests import DraftRequests, draft_requests, snake
from loadcheck.errors import (
    ConsentError,
    DraftError,
    InputError,
    Problem,
    did_you_mean,
    many,
    printable,
)
from loadcheck.load.transport.routes import is_loopback
from loadcheck.pipeline.prepare import fetch, hide_passwords
from loadcheck.pipeline.preview import preview
from loadcheck.secrets import Redactor, without_userinfo
from loadcheck.workflow.description.loader import Source
from loadcheck.workflow.description.openapi import DescriptionError, split_base
from loadcheck.workflow.exchange import Origin

_MOST: Final = 40
"""Most characters of a scenario's name."""
_NAME = re.compile(rf"[A-Za-z0-9_-]{{1,{_MOST}}}")
_PLACEHOLDER: Final = "placeholder"
_ENV = re.compile(r'\benv = "([A-Z][A-Z0-9_]*)"')
EXAMPLE: Final = ".env.example"
"""Name of the file that lists the variables."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """The files of a scenario, not yet written.

    Attributes:
        name: Name of the scenario.
        files: File name → content; the scenario first.
        texts: File name → what it is, in words.
        variables: Environment variables that it needs → whether they are secret.
        choice: What it was drafted from; None for a shipped profile.
        notes: What the user should check.
        referred: Location of the description if the draft refers to that file; "" otherwise.
    """

    name: str
    files: Mapping[str, bytes]
    texts: Mapping[str, str]
    variables: Mapping[str, bool]
    choice: Choice | None = None
    notes: tuple[str, ...] = ()
    referred: str = ""

    @property
    def scenario(self) -> str:
        """File name of the scenario."""
        return f"{self.name}.toml"


def read_api(source: str, *, consent: bool) -> Source:
    """Read an OpenAPI description.

    Args:
        source: A file or a URL.
        consent: Whether it may be read from another machine.

    Raises:
        InputError: It cannot be read, is not an OpenAPI description, or is on another machine
            without consent.
    """
    try:
        return open_description(source, partial(fetch, consent=consent))
    except ConsentError as error:
        (problem,) = error.problems
        reason = problem.message.partition(": ")[2].partition(": add")[0]
        message = f"{without_userinfo(source)} is not read: {reason}"
        remedy = "add --live to allow it, or save it and name the file"
        raise ConsentError(Problem(message=message, remedy=remedy)) from None


def from_description(
    api: Source, source: str, wishes: Wishes, *, into: Path | None, name: str | None = None
) -> Draft:
    """Draft a scenario for an API.

    Args:
        api: Its description.
        source: Where the description was read from, as the user named it.
        wishes: What the user has decided.
        into: The folder to write to; None: one named after the scenario.
        name: Name of the scenario; None: it is made from the API's title.

    Raises:
        DraftError: The description does not show which operation takes the data or counts users.
    """
    assert api.description is not None
    shown = _shown(source)
    choice = choose(candidates(api.description), wishes, shown)
    info = api.document.root.get("info")
    title = " ".join(str(info.get("title") or "").split()) if isinstance(info, dict) else ""
    name = _named(name) or slug(title or Path(shown).stem)
    title = title or "an API"
    found = _servers(choice, api.document, wishes.server, shown)
    url, copied = _place(api, into if into is not None else Path(name))
    prefix = snake(name)
    requests = draft_requests(choice, prefix if prefix[0].isalpha() else f"API_{prefix}")
    document = f"{name}.arazzo.yml"
    scenario = texts.scenario(
        choice,
        requests,
        title=title,
        document=document,
        source=shown,
        servers=found,
    )
    files = {
        f"{name}.toml": scenario,
        document: texts.arazzo(choice, requests, title=title, url=url),
        EXAMPLE: texts.environment(_variables(requests), title),
        **copied,
    }
    purposes = {
        f"{name}.toml": "the scenario: how much, where to, what must hold",
        document: "the workflow: what is sent, and what is asked",
        EXAMPLE: "variables to set" if _variables(requests) else "no variables needed",
        **dict.fromkeys(copied, "the API's description, as it is now"),
    }
    return Draft(
        name=name,
        files={name: text.encode() for name, text in files.items()},
        texts=purposes,
        variables=_variables(requests),
        choice=choice,
        notes=tuple(requests.notes),
        referred="" if "://" in api.document.location else api.document.location,
    )


def from_requests(
    recorded: Sequence[RecordedRequest],
    source: str,
    wishes: Wishes,
    *,
    into: Path | None,
    name: str | None = None,
) -> Draft:
    """Draft a scenario from recorded requests, without their credentials.

    See :func:`from_description` for the arguments.

    Raises:
        DraftError: As there; or a credential would end up in a file.
    """
    host = str(urlsplit(recorded[0].url).hostname)
    title = "My API" if is_loopback(host) else host
    described = describe(recorded, title)
    name = _named(name) or slug(Path(source).stem if source.endswith(".har") else title)
    api = as_source(described, source)
    draft = from_description(api, source, wishes, into=into, name=name)
    hide = Redactor(described.secrets)
    for file, content in draft.files.items():
        if hide.text(content.decode()) != content.decode():
            message = f"{file} would hold something that authorizes requests"
            remedy = "take it out of what is recorded, or draft from an OpenAPI description"
            raise DraftError(Problem(message=message, file=source, remedy=remedy))
    return draft


def from_profile(profile: str, *, name: str | None = None) -> Draft:
    """Draft a scenario from a service profile that comes with loadcheck.

    Raises:
        DraftError: There is no such profile.
    """
    shipped = {name: each / "init.toml" for name, each in scenarios.shipped().items()}
    path = shipped.get(profile)
    if path is None:
        message = f'--profile: there is no "{profile}"'
        raise DraftError(Problem(message=message, remedy=did_you_mean(profile, shipped)))
    text, name = path.read_text(encoding="utf-8"), _named(name) or profile
    text = text.replace(f"{profile}.toml", f"{name}.toml")
    said = "\n".join(line for line in text.splitlines() if not line.startswith("#"))
    variables = dict.fromkeys(_ENV.findall(said), True)
    return Draft(
        name=name,
        files={
            f"{name}.toml": text.encode(),
            EXAMPLE: texts.environment(variables, profile).encode(),
        },
        texts={
            f"{name}.toml": f'the scenario; its workflow is the shipped "{profile}"',
            EXAMPLE: "variables to set" if variables else "no variables needed",
        },
        variables=variables,
    )


def write(draft: Draft, folder: Path) -> dict[str, Any]:
    """Write a draft, if ``loadcheck check`` finds nothing wrong with it.

    Args:
        draft: The draft.
        folder: The folder to write to.

    Returns:
        The preview that ``loadcheck check`` shows of it.

    Raises:
        InputError: A file exists already, or the check failed; nothing was written.
    """
    shown: dict[str, Any] = {}

    def examine(stage: Path) -> None:
        env = {**dict.fromkeys(draft.variables, _PLACEHOLDER), **os.environ}
        env |= {name: _PLACEHOLDER for name in draft.variables if not env.get(name)}
        try:
            # a path relative to the final folder does not resolve from the stage
            mapped = [f"workflow.sources.{texts.SOURCE}={as_toml(draft.referred)}"]
            loaded = scenarios.load(
                stage / draft.scenario, env=env, overrides=mapped if draft.referred else ()
            )
            shown.update(preview(hide_passwords(loaded)))
        except InputError as error:
            raise DraftError(
                replace(
                    problem,
                    message=problem.message.replace(str(stage), str(folder)),
                    file=problem.file.replace(str(stage), str(folder)),
                )
                for problem in error.problems
            ) from None

    texts.write_all(folder, draft.files, examine)
    return shown


def slug(title: str) -> str:
    """Return a name for files, made from a title."""
    words = re.findall(r"[a-z0-9]+", title.lower())
    text = "-".join(words)
    while len(text) > _MOST and len(words) > 1:
        words = words[:-1]
        text = "-".join(words)
    return text[:_MOST] or "api"


def _named(name: str | None) -> str | None:
    """Return the name that the user gave, or None.

    Raises:
        DraftError: It cannot be a file name.
    """
    if name is not None and not _NAME.fullmatch(name):
        remedy = f"expected letters, digits, - and _, at most {_MOST}: it names the files"
        raise DraftError(Problem(message=f'--name: found "{name}"', remedy=remedy))
    return name


def _variables(requests: DraftRequests) -> dict[str, bool]:
    return {
        name: secret for each in requests.inputs.values() for name, secret in each.variables.items()
    }


def _shown(source: str) -> str:
    """Return a source for display: a URL without user info and query, which may hold secrets."""
    return without_userinfo(source).partition("?")[0] if "://" in source else source


def _servers(
    choice: Choice, document: Document, wish: str | None, source: str
) -> list[tuple[Origin, str]]:
    """Return origin and path of each distinct base URL of the operations.

    The base URL is ``wish``, or else the first that the description gives for the operation.

    Raises:
        DraftError: A base URL is missing or is not an http or https URL.
    """
    operations = [choice.ingest.operation]
    if choice.count is not None:
        operations.append(choice.count.operation)
    named = [each.servers[0] if each.servers else "/" for each in operations]
    try:
        found = [
            split_base(each, document.location) for each in (named if wish is None else [wish])
        ]
    except DescriptionError as error:
        remedy = "say where it is: --server http://127.0.0.1:8080"
        if wish is not None:
            problem = Problem(message=f"--server: {error}", remedy=remedy)
        else:
            message = "does not say where its server is"
            message += f": {error}" if any(each.servers for each in operations) else ""
            problem = Problem(message=message, file=source, remedy=remedy)
        raise DraftError(problem) from None
    return list(dict.fromkeys(found))


def _place(api: Source, folder: Path) -> tuple[str, dict[str, str]]:
    """Return the URL of the description relative to the drafted document, and the files to copy.

    A local file stays where it is and is referred to. A downloaded description is copied, so that
    the scenario needs nothing but the API itself, unless it refers to further files.
    """
    location = api.document.location
    if "://" not in location:
        beside = os.path.relpath(location, folder.absolute().resolve())
        return quote(beside if beside.startswith("..") else f"./{beside}"), {}
    if any(not each.startswith("#") for each in _references(api.document.root)):
        return location, {}
    return "./openapi.yml", {"openapi.yml": texts.written(api.document.root)}


def _references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        for part in value.values():
            yield from _references(part)
    elif isinstance(value, list):
        for part in value:
            yield from _references(part)


def summary(draft: Draft, folder: Path, shown: Mapping[str, Any]) -> str:
    """Return a summary for the user: the files written, the choices made, the next commands.

    Args:
        draft: The draft.
        folder: The folder that it was written to.
        shown: The preview returned by :func:`write`.
    """
    width = max(len(str(folder / name)) for name in draft.files)
    lines = ["wrote"]
    lines += [f"  {folder / name!s:<{width}}  {text}" for name, text in draft.texts.items()]
    lines += ["", *(f"  {name:<8} {text}" for name, text in _found(draft, shown))]
    lines += ["", "next"]
    scenario = shlex.quote(str(folder / draft.scenario))
    if draft.variables:
        example, own = (shlex.quote(str(folder / each)) for each in (".env.example", ".env"))
        lines.append(f"  cp {example} {own}   # and fill it in")
        lines.append(f"  set -a; . {own if own.startswith('/') else f'./{own}'}; set +a")
    lines.append(f"  loadcheck run {scenario}{' --live' * shown['leaves_this_machine']}")
    return "".join(f"{printable(line)}\n" for line in lines)


def _found(draft: Draft, shown: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield a heading and a line for each choice made, so that the user can verify it."""
    choice = draft.choice
    if choice is not None:
        yield "sends", f"{choice.ingest.label}, the user's id at {choice.user.at}"
    if choice is not None and choice.count is not None:
        yield "counts", f"{choice.count.label}, users at {choice.uniques}"
        if choice.run is not None:
            yield "filters", f"by {choice.run[1].at}: only the users of a run are counted"
        else:
            yield "filters", "nothing: users of others are counted too, so that no run can"
            yield "", "prove that no user is lost; --run names what the count can filter by"
    for note in draft.notes:
        yield "look at", note
    copies = shown["load"]["copies"]
    yield "check", f"passed: {many(copies, 'users')}, nothing was sent" if copies else "passed"
