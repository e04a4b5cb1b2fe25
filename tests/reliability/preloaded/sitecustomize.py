"""Python runs this at its start where the folder is on PYTHONPATH; see tests/reliability/kill_switch.py."""

import os
from pathlib import Path

if switch := os.environ.get("KILL_SWITCH"):
    from tests.reliability.kill_switch import Switch, install

    install(Switch(Path(switch)))
