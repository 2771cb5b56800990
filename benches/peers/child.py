"""Runs a command and prints what it cost, as JSON.

A program's most resident memory is counted from what its parent had when it was started: so it is started from this
small one.
"""

import json
import os
import subprocess
import sys
import time


def main() -> None:
    started = time.monotonic()
    process = subprocess.Popen(sys.argv[1:], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.monotonic() - started
    cpu = usage.ru_utime + usage.ru_stime
    print(json.dumps({"status": status, "wall": wall, "cpu": cpu, "memory_mb": usage.ru_maxrss / 1024}))


if __name__ == "__main__":
    main()
