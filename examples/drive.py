"""Drives `vsrpp upscale` by its events: starts a run, stops it, goes on with it, prints the result.

python examples/drive.py IN OUT [OPTIONS of vsrpp upscale]
"""

import json
import signal
import subprocess
import sys

command = [sys.executable, "-m", "vsrpp_cli", "upscale", *sys.argv[1:], "--progress", "json"]
stops = [signal.SIGINT]
for _ in range(2):
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as run:
        for event in map(json.loads, run.stderr):
            if stops and event.get("phase") == "compute" and event["done"]:
                run.send_signal(stops.pop())  # the segment under way is finished first
    print(event["event"], event["exit_code"], event.get("message") or event["output"])
