"""Runs one function of test/symbolic with Halmos, for audit/symbolic and audit/patches."""

import json
import os
import re
import shutil
import subprocess
from tools import PYTHON, VENV, forge, make

PLAIN = ["-m", "halmos"]
PATCHED = ["test/symbolic/limits.py"]
BUILD = "target/symbolic/out"
# No loop is cut short: a bound that is met is a defect.
OPTIONS = ["--forge-build-out", BUILD, "--loop", "1000", "--no-status"]
OPTIONS += ["--solver-timeout-branching", "200ms", "--solver-timeout-assertion", "120s"]
PASSED, REFUTED, STUCK, CRASHED = 0, 1, 3, 5
OUTCOMES = ["passed", "was refuted", "timed out", "got stuck", "reverted on every path", "broke off"]


def install():
    """Halmos, and the environment that it needs: it runs forge by name."""
    make(VENV)
    return os.environ | {"PATH": f"{forge().parent}:{os.environ['PATH']}", "FOUNDRY_PROFILE": "symbolic", "COLUMNS": "160"}


def build(root, environment, log):
    """The proofs, afresh: an artifact that another build left may lack what Halmos needs. True if all compiles."""
    shutil.rmtree(root / BUILD, ignore_errors=True)
    command = ["forge", "build", "--force", "--ast", "--extra-output", "storageLayout", "metadata"]
    return subprocess.run(command, cwd=root, env=environment, stdout=log, stderr=log).returncode == 0


def prove(root, environment, log, contract, function, *options, program=PATCHED):
    """What Halmos says of a function: its outcome, whether an example shows it, the number of paths. None if nothing.

    The code under proof is what `root` has in `out/`."""
    result = root / f"target/symbolic/{contract}.{function}.json"
    result.unlink(missing_ok=True)
    command = [PYTHON, *program, *OPTIONS, *options, "--json-output", result]
    command += ["--match-contract", f"^{contract}$", "--match-test", rf"^{re.escape(function)}\("]
    said = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True)
    log.write(f"$ {' '.join(map(str, command))}\n{said.stdout}{said.stderr}")
    log.flush()
    if not result.exists():
        return None
    tests = [test for tests in json.loads(result.read_text())["test_results"].values() for test in tests]
    return tests[0] if len(tests) == 1 else None


def refuted(test):
    return test["exitcode"] == REFUTED and any(example["is_valid"] for example in test["models"])
