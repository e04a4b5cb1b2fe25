"""delivery_in_words: turns the result of check-delivery into the lines that it prints."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date

from jobs.errors import one_line
from jobs.operations.check_delivery import DeliveryCheck, Kind
from jobs.steps.rules.rule import RuleResult

KINDS_SHOWN = 20


@dataclass(frozen=True)
class Line:
    """A line to print on the terminal, with its colour or style."""

    text: str
    style: str | None = None


def delivery_in_words(checked: DeliveryCheck, business_date: date) -> Iterator[Line]:
    """Yield the lines to print: counts, kinds of unused input with examples, rules, and whether a night publishes."""
    counts = checked.counts
    yield Line(
        f"{business_date}: {counts.kept_lines} receipt lines kept, {counts.rejected_lines} rejected, "
        f"{counts.unread_files} files not read to the end; {counts.receipts} receipts, "
        f"{counts.receipts_with_photo} with a photo; {counts.photos} photos, {counts.unplaced_photos} of them with an "
        "unusable key"
    )
    for kinds in (checked.rejections, checked.unplaced_photos):
        yield from _kinds(kinds)
    for result in checked.results:
        yield from _result(result)
    if checked.publishes_nothing:
        yield Line("the night would publish nothing", "bold red")
    else:
        yield Line("the night would publish this day, unless it is much smaller than the published day", "green")


def _kinds(kinds: Sequence[Kind]) -> Iterator[Line]:
    for kind in kinds[:KINDS_SHOWN]:
        yield Line(f"{kind.count:9}  {kind.kind}")
        for example in kind.examples:
            # An example is delivered text: without one_line it could move the cursor or hide other lines.
            yield Line(f"{'':13}{one_line(example)}", "dim")
    if len(kinds) > KINDS_SHOWN:
        yield Line(f"{'':11}and {len(kinds) - KINDS_SHOWN} more kinds")


def _result(result: RuleResult) -> Iterator[Line]:
    if result.is_broken is False:
        yield Line(f"    holds  {result.rule}")
    for sentence in result.sentences if result.is_broken is not False else ():
        style = "red" if result.severity == "fail" else "yellow"
        yield Line(f"    {'fails' if result.severity == 'fail' else 'warns'}  {sentence}", style)
