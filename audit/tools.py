"""What the audit's programs in Python share: the Makefile, which builds the contracts and installs forge and what .venv holds."""

import os
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ".venv/.installed"
PYTHON = ROOT / ".venv/bin/python"


def make(target):
    """Brings a target up to date, and returns what it says."""
    command = ["make", "--no-print-directory", target]
    environment = os.environ | {"FOUNDRY_PROFILE": "default"}
    return subprocess.run(command, cwd=ROOT, env=environment, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()


def forge():
    """Where it is. What it builds of the contracts is up to date."""
    return Path(make("forge"))
