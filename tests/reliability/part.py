"""part: run one part of the reliability suite, in its own process and folder."""

from __future__ import annotations

import json
import sys
import time
import traceback
from collections.abc import Callable
from importlib import import_module
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.reliability.verdicts import Figures


def measured(part: str, quick: bool, tell: Callable[[str], object]) -> Figures:
    """Run a part and report its time. A part that breaks has only the figure `parts_broken`."""
    started = time.monotonic()
    with TemporaryDirectory(prefix="checkout-ages-") as folder:
        out = Path(folder, "figures.json")
        process = get_context("spawn").Process(target=_measure, args=(part, Path(folder, part), quick, out))
        process.start()
        process.join()
        figures: Figures = json.loads(out.read_text()) if process.exitcode == 0 else {"parts_broken": 1}
    tell(f"{part:16}{time.monotonic() - started:8.0f} s{'' if process.exitcode == 0 else '  broken, see above'}")
    return figures


def _measure(part: str, folder: Path, quick: bool, out: Path) -> None:
    folder.mkdir()
    try:
        figures = import_module(f"tests.reliability.{part}").measure(folder, quick)
    except Exception:
        traceback.print_exc()
        sys.exit(1)
    out.write_text(json.dumps(figures))
