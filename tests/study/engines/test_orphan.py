"""A child whose parent is killed ends by itself."""

import os
import signal
import subprocess
import sys
import time

PARENT = """
import subprocess, sys, time
child = (
    "from netcaliper.study.engines.orphan import stop_with_parent; import time;"
    "stop_with_parent(); print(1, flush=True); time.sleep(60)"
)
worker = subprocess.Popen([sys.executable, "-c", child], stdout=subprocess.PIPE)
worker.stdout.readline()
print(worker.pid, flush=True)
time.sleep(60)
"""


def runs(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8") as stream:
            return stream.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_worker_whose_parent_has_ended_before_ends_too():
    late = (
        "from netcaliper.study.engines.orphan import stop_with_parent; import time; stop_with_parent(1); time.sleep(60)"
    )
    assert os.getpid() != 1
    assert subprocess.run([sys.executable, "-c", late], check=False, timeout=30).returncode == 1


def test_a_worker_ends_with_its_parent():
    parent = subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE)
    assert parent.stdout is not None
    worker = int(parent.stdout.readline())
    assert runs(worker)
    os.kill(parent.pid, signal.SIGKILL)
    parent.wait()
    parent.stdout.close()
    end = time.monotonic() + 10
    while runs(worker) and time.monotonic() < end:
        time.sleep(0.05)
    assert not runs(worker)
