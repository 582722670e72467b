# SPDX-License-Identifier: MIT
"""The demo does what it promises and leaves nothing behind."""
import json
import pathlib
import signal
import subprocess
import tempfile

from process import ROOT, descendants, is_alive, wait_until


def leftovers():
    return set(pathlib.Path(tempfile.gettempdir()).glob("qbus-demo-*"))


def test_it_handles_all_and_tells_so():
    before = leftovers()
    done = subprocess.run([ROOT / "scripts" / "demo", "--messages", "20000", "--json"], capture_output=True, text=True,
                          timeout=300, check=False)
    assert done.returncode == 0, done
    result = json.loads(done.stdout.splitlines()[-1])
    assert result["handled"] == 20000 and result["lost"] == 0 and result["duplicates"] == 0, result
    assert result["workers"] == 2 and result["retries"] == 20 and result["seconds"] > 0 and result["rate"] > 0, result
    assert leftovers() == before


def test_ctrl_c_drains_and_sums_up():
    before = leftovers()
    demo = subprocess.Popen([ROOT / "scripts" / "demo", "--messages", "50000000", "--workers", "3", "--json"],
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        for line in demo.stdout:
            if "handled" in line and " 0 " not in line.split("handled")[1][:14]:
                break
        children = descendants(demo.pid)
        assert len(children) >= 5, "proxy, producer and three workers"
        demo.send_signal(signal.SIGINT)
        out, err = demo.communicate(timeout=90)
    finally:
        demo.kill()
    assert demo.returncode == 0, out + err
    result = json.loads(out.splitlines()[-1])
    assert 0 < result["handled"] < 50_000_000 and result["lost"] == 0 and result["workers"] == 3, result
    wait_until(lambda: not [pid for pid in children if is_alive(pid)], 10, "no process is left")
    assert leftovers() == before
