"""kill_points: kill every step of a night that writes, by SIGKILL, while a reader polls all tables.

A point is one call of the object store, such as the third renewal of the lock, so that it is reproducible. A step is
recorded once. Then it is killed before each recorded call, and on a file system also in the middle of a call. After
each kill every table must show the complete day of one run. The same command again, five minutes later by the lock's
clock, must end with the tables of an undisturbed run. Publishers that are wrong on purpose must fail the same checks.
"""

from __future__ import annotations

import json
import logging
import os
import re
import signal
import socket
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from unittest.mock import patch
from urllib.parse import urlsplit

from jobs.errors import InputError
from jobs.steps.order import TABLE_STEPS
from jobs.warehouse.object_store import ObjectStore
from tests.given.rows import BUSINESS_DATE
from tests.reliability import spark_kill_points
from tests.reliability.doomed_steps import DIES, DROPS, SERVER, STOPS, Started, Step, start
from tests.reliability.kill_switch import Point, arm, fired
from tests.reliability.staged_nights import (
    GENERATED_NIGHT,
    NEW,
    NEWER,
    REAL_NIGHT,
    WINDOW,
    Publication,
    Snapshot,
    copy_warehouse,
    environment,
    let_five_minutes_pass,
    photo_keys,
    publish_old,
    stage_generated,
    stage_newer,
)
from tests.reliability.whole_days import OLD, Content, Day, Reader, connected
from tests.servers.s3_server import BUCKET, S3_ENVIRONMENT, running_s3_server

log = logging.getLogger(__name__)

FULL_POLLS, QUICK_POLLS = 1_000, 100
FULL_LOCAL_POINTS, QUICK_LOCAL_POINTS = 200, 10
"""Limits on the points that are tried. A night has fewer than the full limit, so all are tried."""
FULL_S3_POINTS, QUICK_S3_POINTS = 20, 4
FULL_WINDOW_POINTS, QUICK_WINDOW_POINTS = 15, 3
FULL_ROUNDS, QUICK_ROUNDS = 12, 3
ZOMBIE_RENEWALS = (2, 8, 16)
HALF_SHOWS = ("write", "create", "copy")


@dataclass
class Figures:
    """The figures of measure()."""

    kill_points_tried: int = 0
    kill_points_survived: int = 0
    kill_points_local: int = 0
    kill_points_s3: int = 0
    reader_polls: int = 0
    reader_retries: int = 0
    torn_reads: int = 0
    photos_lost: int = 0
    controls_planted: int = 0
    controls_caught: int = 0
    two_at_once_tried: int = 0
    two_at_once_whole: int = 0
    two_at_once_refused: int = 0


@dataclass
class Examination:
    """The result of one step that was disturbed and run again."""

    faults: list[str]
    torn_reads: list[str]
    photos_lost: int

    @property
    def is_passed(self) -> bool:
        return not (self.faults or self.torn_reads or self.photos_lost)


def measure(folder: Path, quick: bool = False) -> dict[str, int | float]:
    """Kill, check and run again at all points, or when quick at a few of publishing; return Figures as a dict."""
    figures = Figures()
    folder.mkdir(parents=True, exist_ok=True)
    with s3_server(folder / "s3"), Reader() as reader, ExitStack() as stack:
        harness = Harness(folder, reader, figures, stack)
        spark = None if quick else stack.enter_context(spark_kill_points.spark_night(folder / "spark"))
        night = harness.night(spark) if spark else harness.snapshot(GENERATED_NIGHT)
        window = harness.snapshot(WINDOW)
        local, on_s3 = (folder / "cases").as_uri(), f"s3://{BUCKET}/{folder.name}"
        harness.controls(night, local, on_s3)
        harness.two_at_once(night, local, QUICK_ROUNDS if quick else FULL_ROUNDS)
        harness.two_at_once(night, on_s3, 1 if quick else FULL_ROUNDS // 3)
        harness.zombies(night, local, ZOMBIE_RENEWALS[: 1 if quick else None])
        harness.kill(night, local, QUICK_LOCAL_POINTS if quick else FULL_LOCAL_POINTS)
        harness.kill(window, local, QUICK_WINDOW_POINTS if quick else FULL_WINDOW_POINTS)
        harness.kill(night, on_s3, QUICK_S3_POINTS if quick else FULL_S3_POINTS)
        if spark:
            harness.kill_with_spark(spark, night, on_s3)
        harness.poll_until(QUICK_POLLS if quick else FULL_POLLS)
        figures.reader_polls, figures.reader_retries = reader.polls, reader.retries
    figures.kill_points_tried = figures.kill_points_local + figures.kill_points_s3
    return vars(figures)


class Harness:
    """Copies snapshots, runs their last steps, disturbs them, and examines the tables."""

    def __init__(self, folder: Path, reader: Reader, figures: Figures, stack: ExitStack) -> None:
        self._folder = folder
        self._reader = reader
        self._figures = figures
        self._switch = folder / "switch.json"
        self._cases = 0
        self._connections = {kind: stack.enter_context(connected(f"{kind}://")) for kind in ("file", "s3")}
        self._last_day: Day | None = None

    def night(self, spark: spark_kill_points.Night) -> Snapshot:
        """Land a small day and stage its night with real steps, including inference."""
        store = ObjectStore((self._folder / "night-snapshot").as_uri())
        landing = spark_kill_points.land(self._folder / "landing")
        spark_kill_points.stage_undisturbed(spark, store, landing)
        return self._with_days(Snapshot(store, landing, REAL_NIGHT))

    def snapshot(self, publication: Publication) -> Snapshot:
        """Stage generated rows."""
        store = ObjectStore((self._folder / f"{publication.steps[-1]}-snapshot").as_uri())
        stage_generated(store, publication)
        return self._with_days(Snapshot(store, self._folder / "landing", publication))

    def _with_days(self, snapshot: Snapshot) -> Snapshot:
        """Publish an old day next to the staged one, and record the tables after undisturbed runs."""
        publish_old(snapshot.store, snapshot.publication)
        stage_newer(snapshot.store, snapshot.publication)
        day = snapshot.day_at(snapshot.store.uri)
        snapshot.days[OLD] = self._contents(day)
        for run_id in (NEW, NEWER):
            undisturbed = snapshot.day_at(self._copied(snapshot, (self._folder / "undisturbed").as_uri()))
            for step in snapshot.publication.steps if run_id == NEW else snapshot.publication.steps[-1:]:
                self._must_end(self._start(snapshot, undisturbed, step, run_id), 0)
            snapshot.days[run_id] = self._contents(undisturbed)
        return snapshot

    def kill(self, snapshot: Snapshot, place: str, most: int) -> None:
        """Kill the snapshot's steps at up to `most` of their points, spread evenly."""
        started = time.monotonic()
        is_local = place.startswith("file:")
        points = self._points(snapshot, place, with_halves=is_local)
        count = min(most, len(points))
        chosen = [points[number * len(points) // count] for number in range(count)]
        for step, point in chosen:
            passed = self._examined(snapshot, place, step, point).is_passed
            self._figures.kill_points_survived += passed
            self._figures.kill_points_local += is_local
            self._figures.kill_points_s3 += not is_local
        log.info("%s points at %s in %.0f s", len(chosen), place, time.monotonic() - started)

    def kill_with_spark(self, spark: spark_kill_points.Night, night: Snapshot, on_s3: str) -> None:
        """Run one night; kill every step with Spark at each of its points, then run it again."""
        day = self._opened(night, (self._folder / "cases").as_uri())
        survived = self._kill_steps(spark, night, day, TABLE_STEPS)
        for step in night.publication.steps:
            self._must_end(self._start(night, day, step, NEW), 0)
        if faults := self._faults(day, "after the killed night", NEW):
            log.warning("the night whose steps were killed: %s", faults)
            survived = 0
        self._figures.photos_lost += self._photos_lost(night, day)
        self._figures.torn_reads += len(self._reader.watch(None))
        survived += self._kill_steps(spark, night, self._opened(night, on_s3), [spark_kill_points.S3_STEP])
        self._figures.torn_reads += len(self._reader.watch(None))
        self._figures.kill_points_survived += survived

    def _kill_steps(self, spark: spark_kill_points.Night, night: Snapshot, day: Day, steps: Sequence[str]) -> int:
        """Kill each of the steps and run it again; return the number of points that each survived."""
        store = ObjectStore(day.warehouse_uri)
        spark_kill_points.unstage(store)
        settings = environment(day.warehouse_uri, night.landing)
        is_local = day.warehouse_uri.startswith("file:")
        survived = 0
        for step in steps:
            points = [(spark.kill_worker, point) for point in spark_kill_points.worker_points(step)]
            points += [(spark.kill_driver, point) for point in spark_kill_points.driver_points(step)]
            for kill, point in points:
                started = time.monotonic()
                faults = kill(step, settings, point) + self._faults(day, f"after {step} was killed {point}", OLD)
                faults += spark.run(step, settings) + self._staged_faults(night, store, step)
                survived += not faults
                self._figures.kill_points_local += is_local
                self._figures.kill_points_s3 += not is_local
                log.info("%s killed %s in %.1f s: %s", step, point, time.monotonic() - started, faults or "whole")
        return survived

    def _staged_faults(self, night: Snapshot, store: ObjectStore, step: str) -> list[str]:
        """Compare a step's staged rows with those of the undisturbed night."""
        rows = [
            self._connections[urlsplit(place.uri).scheme]
            .sql(f"SELECT count(*), sum(hash(rows)::HUGEINT) FROM '{spark_kill_points.staged(place, step)}' AS rows")
            .fetchall()
            for place in (night.store, store)
        ]
        return [] if rows[0] == rows[1] else [f"{step} staged {rows[1]}, undisturbed {rows[0]}"]

    def controls(self, snapshot: Snapshot, local: str, on_s3: str) -> None:
        """Publish wrongly on purpose. Each way must be detected by its own fault."""
        for place, fault in [(local, DIES), (on_s3, DIES), (local, STOPS), (on_s3, STOPS), (local, DROPS)]:
            found = self._examined(snapshot, place, snapshot.publication.steps[-1], None, fault)
            evidence = {
                DIES: any("after the kill" in words for words in found.faults),
                STOPS: bool(found.torn_reads),
                DROPS: found.photos_lost == 1,
            }
            self._figures.controls_planted += 1
            self._figures.controls_caught += evidence[fault]
            if not evidence[fault]:
                log.warning("a control was not caught: %s at %s: %s", fault, place, found)

    def two_at_once(self, snapshot: Snapshot, place: str, rounds: int) -> None:
        """Let two processes publish at the same moment; in turns they belong to one run or to two runs."""
        step = snapshot.publication.steps[-1]
        for number in range(rounds):
            run_ids = (NEW, NEW) if number % 2 else (NEW, NEWER)
            day = self._opened(snapshot, place)
            together = SERVER.Barrier(2)
            pair = [self._start(snapshot, day, step, run_id, together=together) for run_id in run_ids]
            self._judge_two(day, pair)

    def zombies(self, snapshot: Snapshot, place: str, renewals: Sequence[int]) -> None:
        """Stop a publisher before it renews its lock, let another one take over and end, then continue the first."""
        step = snapshot.publication.steps[-1]
        for number, run_id in [(number, run_id) for number in renewals for run_id in (NEW, NEWER)]:
            day = self._opened(snapshot, place)
            arm(self._switch, Point("create", "_locks/", number, sent=signal.SIGSTOP))
            zombie = self._start(snapshot, day, step, NEW, switched=True)
            was_stopped = zombie.wait_until_stopped()
            let_five_minutes_pass(ObjectStore(day.warehouse_uri))
            successor = self._start(snapshot, day, step, run_id)
            successor_code = successor.exit_code()
            zombie.go_on()
            self._judge_two(day, [zombie, successor], is_fine=was_stopped and successor_code == 0, last=run_id)

    def poll_until(self, polls: int) -> None:
        """Let the reader poll the last day until it has this many polls in total."""
        self._reader.watch(self._last_day)
        self._reader.poll_until(polls)
        self._figures.torn_reads += len(self._reader.watch(None))

    def _judge_two(self, day: Day, pair: list[Started], is_fine: bool = True, last: str | None = None) -> None:
        """Check that both publish in turn, or one does and the other names it, and that all tables are of one run."""
        codes = [process.exit_code() for process in pair]
        told = [process.said() for process, code in zip(pair, codes, strict=True) if code]
        is_told = all(
            re.search(r"error: .* (is being published by|lost its lock to) run 'new(er)?' \(process \d+ on", words)
            for words in told
        )
        torn_reads = self._reader.watch(None)
        self._figures.torn_reads += len(torn_reads)
        contents = self._contents(day)
        shown = [run for run in (NEW, NEWER) if not day.faults(contents, run)]
        is_whole = len(shown) == 1 and last in (None, *shown) and set(shown) <= set(contents[day.marks.name])
        self._figures.two_at_once_tried += 1
        self._figures.two_at_once_refused += len(told)
        self._figures.two_at_once_whole += is_fine and is_told and is_whole and sorted(codes) in ([0, 0], [0, 1])
        if torn_reads or not (is_fine and is_told and is_whole):
            log.warning("two at once at %s: %s, %s, %s, %s", day.warehouse_uri, codes, told, contents, torn_reads)

    def _examined(self, snapshot: Snapshot, place: str, step: str, point: Point | None, fault: str = "") -> Examination:
        """Disturb a step, check, run it and the following steps again, and check again."""
        day = self._opened(snapshot, place)
        if point:
            arm(self._switch, point)
        disturbed = self._start(snapshot, day, step, NEW, switched=True, fault=fault)
        if fault == STOPS and disturbed.wait_until_stopped():
            self._reader.poll_until(self._reader.polls + 2)
            disturbed.go_on()
        code = disturbed.exit_code()
        faults = self._faults(day, "after the kill")
        if point and (code != -signal.SIGKILL or not fired(self._switch).exists()):
            faults.append(f"the point was not reached: exit code {code}")
        let_five_minutes_pass(ObjectStore(day.warehouse_uri))
        for again in snapshot.publication.steps[snapshot.publication.steps.index(step) :]:
            process = self._start(snapshot, day, again, NEW, fault=fault if fault == DROPS else "")
            if code := process.exit_code():
                faults.append(f"{again} run again exits with {code}: {process.said()}")
        faults += self._faults(day, "after the second run", NEW)
        faults += [f"left in staging: {entry.key}" for entry in ObjectStore(day.warehouse_uri).list(f"_staging/{NEW}")]
        torn_reads = self._reader.watch(None)
        lost = self._photos_lost(snapshot, day)
        examination = Examination(faults, torn_reads, lost)
        if not fault:
            self._figures.torn_reads += len(torn_reads)
            self._figures.photos_lost += lost
            if not examination.is_passed:
                log.warning("%s killed %s at %s: %s", step, point, day.warehouse_uri, examination)
        return examination

    def _faults(self, day: Day, when: str, *runs: str) -> list[str]:
        try:
            contents = self._contents(day)
        except Exception as error:  # DuckDB raises many kinds of errors for a torn file
            return [f"{when}: {str(error).splitlines()[0]}"]
        faults = [f"{when}: {words}" for words in day.faults(contents, *runs)]
        if runs and contents[day.marks.name] != tuple(sorted({*runs, OLD})):
            faults.append(f"{when}: commit marks {contents[day.marks.name]}")
        return faults

    def _photos_lost(self, snapshot: Snapshot, day: Day) -> int:
        if snapshot.publication is WINDOW:
            return 0
        files = f"{day.warehouse_uri}/photo_age_estimates/business_date={BUSINESS_DATE}/*.parquet"
        shown = self._connections[urlsplit(day.warehouse_uri).scheme].sql(f"SELECT photo_key FROM '{files}'").fetchall()
        return len(photo_keys(snapshot.store) - {key for (key,) in shown})

    def _points(self, snapshot: Snapshot, place: str, with_halves: bool) -> list[tuple[str, Point]]:
        """Record the calls of undisturbed steps. Each gives a point before it, and some a point in the middle."""
        day = self._opened(snapshot, place)
        points: list[tuple[str, Point]] = []
        for step in snapshot.publication.steps:
            recorded = self._folder / f"calls-{self._cases}-{step}.jsonl"
            self._switch.unlink(missing_ok=True)
            self._must_end(self._start(snapshot, day, step, NEW, switched=True, recorded=recorded), 0)
            seen: Counter[tuple[str, str]] = Counter()
            for operation, key in map(json.loads, recorded.read_text().splitlines()):
                if operation == "read":
                    continue
                seen[operation, key] += 1
                point = Point(operation, f"^{re.escape(key)}$", seen[operation, key])
                points.append((step, point))
                if with_halves and operation in HALF_SHOWS:
                    points.append((step, replace(point, moment="half")))
            points.append((step, replace(point, moment="after")))
        return points

    def _opened(self, snapshot: Snapshot, place: str) -> Day:
        """Copy the snapshot to a new place, and let the reader poll it."""
        self._cases += 1
        day = snapshot.day_at(self._copied(snapshot, f"{place}/{self._cases}"))
        self._reader.watch(day)
        self._last_day = day
        return day

    def _copied(self, snapshot: Snapshot, warehouse_uri: str) -> str:
        target = ObjectStore(warehouse_uri)
        target.delete([entry.key for entry in list(target.list())])
        copy_warehouse(snapshot.store, target)
        return warehouse_uri

    def _start(self, snapshot: Snapshot, day: Day, step: str, run_id: str, **how: Any) -> Started:
        self._cases += 1
        fault = how.pop("fault", "")
        switch = self._switch if how.pop("switched", False) else None
        settings = environment(day.warehouse_uri, snapshot.landing) | S3_ENVIRONMENT
        step_log = self._folder / f"step-{self._cases}.log"
        return start(Step(step, run_id, settings, fault), step_log, switch, **how)

    def _must_end(self, process: Started, code: int) -> None:
        if process.exit_code() != code:
            raise RuntimeError(f"an undisturbed step did not end with {code}: {process.said()}")

    def _contents(self, day: Day) -> dict[str, Content]:
        return day.contents(self._connections[urlsplit(day.warehouse_uri).scheme])


@contextmanager
def s3_server(folder: Path) -> Iterator[None]:
    """Start the S3 server of the tests, unless it runs, and set its credentials for the block."""
    with ExitStack() as stack, socket.socket() as probe, patch.dict(os.environ, S3_ENVIRONMENT):
        if probe.connect_ex(("127.0.0.1", urlsplit(S3_ENVIRONMENT["AWS_ENDPOINT_URL"]).port)):
            folder.mkdir(parents=True, exist_ok=True)
            stack.enter_context(running_s3_server(folder))
            _wait_until_it_stores()
        yield


def _wait_until_it_stores() -> None:
    """Wait until the server can store objects: its volume is ready some time after its bucket."""
    for _ in range(30):
        with suppress(InputError):
            ObjectStore(f"s3://{BUCKET}").write("kill-points-ready", b"yes")
            return
        time.sleep(1)
