"""From an API's description to the files of a first scenario, checked before they are kept."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, urlsplit

from loadcheck import scenario as scenarios
from loadcheck.documents.document import Document
from loadcheck.draft import texts
from loadcheck.draft.choose import Choice, Wishes, choose
from loadcheck.draft.files import write_all
from loadcheck.draft.operations import candidates, open_description
from loadcheck.draft.requests import DraftRequests, draft_requests, snake
from loadcheck.errors import ConsentError, DraftError, InputError, Problem
from loadcheck.load.transport.routes import is_loopback
from loadcheck.pipeline.prepare import fetch, hide_passwords
from loadcheck.pipeline.preview import preview
from loadcheck.secrets import without_userinfo
from loadcheck.workflow.description.openapi import DescriptionError, split_base
from loadcheck.workflow.description.sources import Source

_MOST: Final = 40
"""Characters of a name that is made from a title."""
_PLACEHOLDER: Final = "placeholder"


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """The files of a scenario that are not written yet.

    Attributes:
        name: Of the scenario.
        files: Name → content; the scenario first.
        texts: File name → what it is, in words.
        variables: The environment variables that it needs → whether they are secret.
        choice: What it was drafted from; None for one of a shipped profile.
        away: Whether it leaves this machine.
        notes: What the user should look at.
    """

    name: str
    files: Mapping[str, bytes]
    texts: Mapping[str, str]
    variables: Mapping[str, bool]
    choice: Choice | None
    away: bool
    notes: tuple[str, ...] = ()

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
        InputError: It cannot be read, is none, or is on another machine and nobody has consented.
    """
    try:
        return open_description(source, partial(fetch, consent=consent))
    except ConsentError as error:
        (problem,) = error.problems
        told = problem.message.partition(": ")[2].partition(": add")[0]
        message = f"{without_userinfo(source)} is not read: {told}"
        remedy = "add --live to say that it may be, or save it and name the file"
        raise ConsentError(Problem(message=message, remedy=remedy)) from None


def from_description(
    api: Source, source: str, wishes: Wishes, *, into: Path | None, name: str | None = None
) -> Draft:
    """Draft a scenario for an API.

    Args:
        api: Its description.
        source: Where it was read from, as the user named it.
        wishes: What the user has decided.
        into: The folder that it is written to; None: one called as the scenario.
        name: Of the scenario; None: it is made from the API's title.

    Raises:
        DraftError: The description does not tell how data goes in, and how it is counted.
    """
    assert api.description is not None
    shown = _shown(source)
    choice = choose(candidates(api.description), wishes, shown)
    info = api.document.root.get("info")
    title = str(info.get("title") or "") if isinstance(info, dict) else ""
    title = " ".join(title.split()) or "an API"
    name = name or slug(title if title != "an API" else Path(shown).stem)
    server = _server(choice, api.document, wishes.server, shown)
    folder = into if into is not None else Path(name)
    url, copied = _place(api, folder)
    requests = draft_requests(choice, snake(name.replace("-", "_")))
    away = not is_loopback(str(urlsplit(server).hostname or ""))
    document = f"{name}.arazzo.yml"
    scenario = texts.scenario(
        choice,
        requests,
        title=title,
        document=document,
        server=server,
        source=shown,
        away=away,
    )
    files = {
        f"{name}.toml": scenario.encode(),
        document: texts.arazzo(choice, requests, title=title, url=url).encode(),
        ".env.example": texts.environment(requests, title).encode(),
        **copied,
    }
    told = {
        f"{name}.toml": "the scenario: how much, where to, what must hold",
        document: "the workflow: what is sent, and what is asked",
        ".env.example": "variables to set" if _variables(requests) else "no variables needed",
        **dict.fromkeys(copied, "the API's description, as it is now"),
    }
    return Draft(
        name=name,
        files=files,
        texts=told,
        variables=_variables(requests),
        choice=choice,
        away=away,
        notes=tuple(requests.notes),
    )


def write(draft: Draft, folder: Path) -> dict[str, Any]:
    """Write a draft, if ``loadcheck check`` finds nothing wrong with it.

    Args:
        draft: The draft.
        folder: Where to.

    Returns:
        What ``check`` shows of it.

    Raises:
        InputError: A file is there already, or something in the draft cannot be used; nothing was
            written.
    """
    shown: dict[str, Any] = {}

    def examine(stage: Path) -> None:
        env = {**dict.fromkeys(draft.variables, _PLACEHOLDER), **os.environ}
        env |= {name: _PLACEHOLDER for name in draft.variables if not env.get(name)}
        try:
            loaded = scenarios.load(stage / draft.scenario, env=env)
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

    write_all(folder, draft.files, examine)
    return shown


def slug(title: str) -> str:
    """Return a name for files made from a title."""
    words = re.findall(r"[a-z0-9]+", title.lower())
    text = "-".join(words)
    while len(text) > _MOST and len(words) > 1:
        words = words[:-1]
        text = "-".join(words)
    return text[:_MOST] or "api"


def _variables(requests: DraftRequests) -> dict[str, bool]:
    return {
        name: secret for each in requests.inputs.values() for name, secret in each.variables.items()
    }


def _shown(source: str) -> str:
    """Return a source without what may be secret in it."""
    return without_userinfo(source).partition("?")[0] if "://" in source else source


def _server(choice: Choice, document: Document, wish: str | None, source: str) -> str:
    """Return the base URL: the one wished for, or the first that the description names."""
    operations = [choice.ingest.operation]
    if choice.count is not None:
        operations.append(choice.count.operation)
    servers = [(each.servers or ("/",))[0] for each in operations]
    server = wish if wish is not None else servers[0]
    try:
        origin, path = split_base(server, document.location)
        if wish is None and split_base(servers[-1], document.location) != (origin, path):
            raise DraftError(
                Problem(
                    message=f"data goes to {servers[0]} and is counted at {servers[-1]}: one"
                    " description of two servers is not drafted from",
                    file=source,
                    remedy="say where both are: --server URL",
                )
            )
    except DescriptionError as error:
        named = any(each.servers for each in operations)
        message = f"--server: {error}" if wish is not None else "does not say where its server is"
        if wish is None and named:
            message += f": {error}"
        remedy = "say where it is: --server http://127.0.0.1:8080"
        raise DraftError(
            Problem(message=message, file="" if wish is not None else source, remedy=remedy)
        ) from None
    return f"{origin}{path}"


def _place(api: Source, folder: Path) -> tuple[str, dict[str, bytes]]:
    """Return where the description is, from the drafted document, and what is copied there.

    A file of the user's stays where it is and is referred to; what was downloaded is kept, so that
    the scenario needs nothing but the API itself, unless it refers to further files.
    """
    location = api.document.location
    if "://" not in location:
        beside = os.path.relpath(location, folder.absolute().resolve())
        return quote(beside if beside.startswith("..") else f"./{beside}"), {}
    if any(not each.startswith("#") for each in _references(api.document.root)):
        return location, {}
    content = texts.written(api.document.root)
    return "./openapi.yml", {"openapi.yml": content.encode()}


def _references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        for part in value.values():
            yield from _references(part)
    elif isinstance(value, list):
        for part in value:
            yield from _references(part)
