"""Shapes of a load: recorded traces, repeats, spikes, and users who come and go."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loadcheck import scenario as scenarios
from loadcheck.data.table import DataError
from loadcheck.data.trace import Trace, _chunks, _NotPlainError, _numbers, read_trace
from loadcheck.errors import ScenarioError
from loadcheck.load.pacer import OpenPacer, levels, pacer_of
from loadcheck.load.slices import Slice, SlicedPacer
from loadcheck.scenario.model import ClosedLoad, Stage, Users

HEAD = 'workflow = "amplitude"\n[target]\nkind = "emulator"\n[inputs]\n'


def read(folder: Path, load: str) -> Any:
    path = folder / "s.toml"
    path.write_text(f"{HEAD}[load]\n{load}\n")
    return scenarios.load(path).load


def problems(folder: Path, load: str) -> list[str]:
    with pytest.raises(ScenarioError) as caught:
        read(folder, load)
    return [
        f"{Path(each.file or '').name}:{each.line}: {each.key}: {each.message}"
        for each in caught.value.problems
    ]


def trace(instants_ns: list[int], speed: float = 1.0, scale: float = 1.0) -> Trace:
    found = Trace(np.array(instants_ns, dtype=np.int64), "t.csv", "x")
    found.speed, found.scale = speed, scale
    return found


def pacer(of: Trace, most: int | None = None) -> OpenPacer:
    stage = Stage(name="trace", duration_s=of.duration_s, rate=1.0, end_rate=1.0)
    return OpenPacer(stages=[stage], trace=of, most=most)


def due(of: OpenPacer) -> list[int]:
    return [at for chunk in of.chunks() for at in chunk.tolist()]


GAPS = st.lists(st.integers(0, 3 * 10**9), min_size=1, max_size=60)


@given(gaps=GAPS, speed=st.sampled_from([0.5, 1.0, 3.0]), scale=st.sampled_from([0.3, 1.0, 2.0]))
@settings(max_examples=60)
def test_a_trace_is_followed_to_the_nanosecond_and_shards_share_it_exactly(
    gaps: list[int], speed: float, scale: float
) -> None:
    instants = np.cumsum([0, *gaps[1:]]).tolist()
    of = pacer(trace(instants, speed, scale))
    whole = due(of)
    assert len(whole) == of.planned
    assert abs(of.planned - len(instants) * scale) < 1
    assert whole == sorted(whole)
    assert not whole or whole[-1] < of.duration_s * 1e9
    if scale == 1:
        assert all(abs(a - b / speed) <= 1 for a, b in zip(whole, instants, strict=True))
    for at_ns in {*whole[:5], whole[-1] + 1 if whole else 0, 10**9}:
        assert of.due_before(at_ns / 1e9) == sum(each < at_ns for each in whole)
    parts = [SlicedPacer.of(of, Slice(index=index, of=3)) for index in range(3)]
    assert sorted(at for part in parts for at in due(part)) == whole
    assert sum(part.planned for part in parts) == of.planned
    half_s = of.duration_s / 2
    assert sum(part.due_before(half_s) for part in parts) == of.due_before(half_s)


_CELLS = st.one_of(
    st.integers(-(10**6), 2 * 10**9).map(str),
    st.floats(-1e6, 2e9).map(repr),
    st.decimals(0, 2 * 10**9, places=6).map(str),
)


@settings(max_examples=50)
@given(
    cells=st.lists(_CELLS, min_size=1, max_size=20),
    unit=st.sampled_from([None, "s", "ms", "us", "ns"]),
    wide=st.booleans(),
    end=st.sampled_from(["\n", "\r\n", "\n\n"]),
    odd=st.sampled_from(
        ["", "", "", '"1"', "x", "01", "1e3", " 5", "true", "99999999999999999999"]
    ),
)
def test_plain_numbers_are_read_in_blocks_as_they_are_row_by_row(
    tmp_path_factory: pytest.TempPathFactory,
    cells: list[str],
    unit: str | None,
    wide: bool,
    end: str,
    odd: str,
) -> None:
    path = tmp_path_factory.getbasetemp() / "plain.csv"
    cells = sorted(cells, key=float) + ([odd] if odd else [])
    lines = [f"ü,{cell},z" if wide else cell for cell in cells]
    path.write_text(("a,time,b\n" if wide else "") + end.join([*lines, ""]), newline="")

    def read(how: Any) -> list[int] | str:
        try:
            return [int(each) for chunk in how(path, None, unit) for each in chunk]
        except (DataError, ValueError, OverflowError) as error:
            return str(error)

    try:
        found = read(_numbers)
    except _NotPlainError:
        assert odd or unit == "ns" or end == "\n\n"
    else:
        assert found == read(_chunks)


def test_a_trace_can_end_early() -> None:
    of = pacer(trace([0, 10, 20, 30]), most=2)
    assert due(of) == [0, 10]
    assert of.planned == 2


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("t.csv", "0\n0.5\n2\n"),
        ("t.csv", "\ufeff1700000000\n1700000000.5\r\n\r\n1700000002\n"),
        ("t.csv", "1700000000000\n1700000000500\n1700000002000\n"),
        ("t.csv", "1700000000000000000\n1700000000500000000\n1700000002000000000\n"),
        ("t.tsv", "path\ttime\n/a\t0\n/b\t0.5\n/c\t2\n"),
        ("t.csv", "a,2026-01-31T12:00Z\nb,2026-01-31T12:00:00.5Z\nc,2026-01-31T13:00:02+01:00\n"),
        ("t.csv", '"a ""b"", c",timestamp\n"x,y",0\n"z",0.5\nw,2\n'),
        ("t.txt.gz", "0\n0.5\n2\n"),
    ],
)  # fmt: skip
def test_instants_are_read_as_they_are_written(tmp_path: Path, name: str, text: str) -> None:
    path = tmp_path / name
    path.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
    assert due(pacer(read_trace(path, name))) == [0, 500_000_000, 2_000_000_000]


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("", None, "has no rows"),
        ("\n\n", None, "has no rows"),
        ("time\n", None, "has no rows"),
        ("time\n1\n2\nlate\n", 4, "'late' is not an instant"),
        ("1\n3\n2\n", 3, "is earlier than the row before"),
        ("1\n\n3\n2\n", 4, "is earlier than the row before"),
        ("time\n1\nnan\n", 3, "'nan' is not an instant"),
        ("a,b\nx,y\n", 1, "does not say which column is the time"),
        ("a,time\nx,1\ny\n", 3, "has no cell for the time"),
        ("2026-01-31T12:00:00Z\n2026-13-31T12:00:00Z\n", 2, "is not an instant"),
    ],
)
def test_what_cannot_be_read_names_its_line(
    tmp_path: Path, text: str, line: int | None, message: str
) -> None:
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(DataError) as caught:
        read_trace(tmp_path / "t.csv", "t.csv")
    assert (caught.value.line, message in caught.value.message) == (line, True), caught.value
    (told,) = problems(tmp_path, 'model = "open"\ntrace = "t.csv"')
    assert told.startswith(f"t.csv:{line}: load.trace")


def test_a_cut_or_missing_file_and_a_contradiction_are_told(tmp_path: Path) -> None:
    (tmp_path / "t.csv.gz").write_bytes(gzip.compress(b"1\n2\n" * 5000)[:-20])
    (told,) = problems(tmp_path, 'model = "open"\ntrace = "t.csv.gz"')
    assert "cut short" in told
    assert problems(tmp_path, 'model = "open"\ntrace = "u.csv"') == [
        "s.toml:7: load.trace: no such file"
    ]
    (told,) = problems(tmp_path, 'model = "open"\ntrace = "a\\u0000b"')
    assert "load.trace: cannot be read: embedded null" in told
    (told,) = problems(tmp_path, 'model = "open"\ntrace = "../u.csv"')
    assert "outside of the scenario's folder" in told
    (tmp_path / "t.csv").write_text("1\n2\n")
    (told,) = problems(tmp_path, 'model = "open"\ntrace = "t.csv"\nrate = 5')
    assert told == "s.toml:8: load.rate: contradicts load.trace (line 7)"
    (told,) = problems(tmp_path, 'model = "open"\ntrace = { file = "t.csv", column = "x" }')
    assert "has no column x" in told


def test_repeated_stages_are_numbered_and_go_on_where_they_ended(tmp_path: Path) -> None:
    load = read(
        tmp_path,
        """model = "open"
repeat = 3
stages = [
    { name = "up", duration = "2s", ramp_to = 10 }, { name = "hold", duration = "1s", rate = 10 },
]""",
    )
    assert [stage.name for stage in load.stages] == [
        *("up-1", "hold-1", "up-2", "hold-2", "up-3", "hold-3")
    ]
    assert [(stage.rate, stage.end_rate) for stage in load.stages[:3]] == [
        (0, 10),
        (10, 10),
        (10, 10),
    ]
    (told,) = problems(tmp_path, 'model = "open"\nrate = 5\nduration = "1s"\nrepeat = 2')
    assert told.startswith("s.toml:9: load.repeat: repeats stages, and there are none")
    (told,) = problems(
        tmp_path,
        'model = "open"\nrepeat = 600\nstages = [{duration="1s",rate=1},{duration="1s",rate=2}]',
    )
    assert "makes 1,200 stages" in told


def test_spikes_come_on_time_and_the_length_stays(tmp_path: Path) -> None:
    load = read(
        tmp_path,
        'model = "open"\nrate = 10\nduration = "25s"\n'
        'spikes = { every = "10s", duration = "2s", rate = 100 }',
    )
    assert [(stage.name, stage.duration_s, stage.rate) for stage in load.stages] == [
        ("steady-1", 8, 10), ("spike-1", 2, 100), ("steady-2", 8, 10), ("spike-2", 2, 100),
        ("steady-3", 5, 10),
    ]  # fmt: skip
    assert pacer_of(load, 0).planned == 210 + 400
    (told,) = problems(
        tmp_path,
        'model = "open"\nrate = 10\nduration = "25s"\n'
        'spikes = { every = "2s", duration = "2s", rate = 100 }',
    )
    assert "load.spikes.duration: contradicts load.spikes.every" in told


def test_rates_may_count_events(tmp_path: Path) -> None:
    text = 'model = "open"\nrate = 30\nduration = "2s"\nevents_per_copy = 3\nrate_in = "events"'
    load = read(tmp_path, text)
    assert pacer_of(load, 0).planned * load.events_per_copy == 60


@given(
    ramp=st.lists(st.tuples(st.integers(1, 9), st.integers(0, 40)), min_size=1, max_size=5),
    workers=st.integers(1, 4),
    together=st.integers(1, 3),
)
@settings(max_examples=60)
def test_levels_end_where_the_ramp_says_and_shards_add_up(
    ramp: list[tuple[int, int]], workers: int, together: int
) -> None:
    load = ClosedLoad(
        concurrency=max(users for _, users in ramp) or 1,
        ramp=tuple(Users(duration_s=float(s), concurrency=users) for s, users in ramp),
    )
    found = list(levels(load))
    assert [at for at, _ in found] == sorted(at for at, _ in found)
    assert found[-1][1] == ramp[-1][1]
    assert found[-1][0] <= sum(s for s, _ in ramp)
    parts = [Slice(index=index, of=workers, together=together) for index in range(workers)]
    for _, level in found:
        assert sum(part.share_of_copies(level) for part in parts) == level


def test_bad_ramps_are_told(tmp_path: Path) -> None:
    assert problems(tmp_path, 'model = "closed"\nconcurrency = 5\nramp = []') == [
        "s.toml:7: load.concurrency: contradicts load.ramp (line 8)",
        "s.toml:8: load.ramp: is empty",
    ]
    (told,) = problems(tmp_path, 'model = "closed"\nramp = [{ duration = "1s", concurrency = 0 }]')
    assert "brings no users" in told
    (told,) = problems(tmp_path, 'model = "open"\nrate = 1\nduration = 1\nramp = []')
    assert "contradicts load.model" in told
