# SPDX-License-Identifier: MIT
"""The demo does what it promises and leaves nothing behind."""
import argparse
import importlib.util
import json
import pathlib
import signal
import subprocess
import tempfile

import pytest

from process import ROOT, descendants, is_alive, wait_until


@pytest.fixture(autouse=True)
def a_folder_of_its_own(tmp_path_factory, monkeypatch):
    """For the demo's temporary files: other demos of this machine are none of our business."""
    folder = str(tmp_path_factory.mktemp("demo"))
    monkeypatch.setenv("TMPDIR", folder)
    monkeypatch.setattr(tempfile, "tempdir", folder)


def leftovers():
    return set(pathlib.Path(tempfile.gettempdir()).glob("qbus-demo-*"))


def test_it_handles_all_and_tells_so():
    before = leftovers()
    done = subprocess.run([ROOT / "scripts" / "demo", "--messages", "20000", "--json"], capture_output=True, text=True,
                          timeout=900, check=False)
    assert done.returncode == 0, done
    result = json.loads(done.stdout.splitlines()[-1])
    assert result["handled"] == 20000 and result["lost"] == 0 and result["duplicates"] == 0, result
    assert 1 <= result["workers"] <= 2 and result["retries"] == 20 and result["seconds"] > 0 and result["rate"] > 0, result
    assert leftovers() == before


def test_ctrl_c_drains_and_sums_up():
    before = leftovers()
    demo = subprocess.Popen([ROOT / "scripts" / "demo", "--messages", "10000000", "--workers", "3", "--json"],
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        for line in demo.stdout:
            if "handled" in line and " 0 " not in line.split("handled")[1][:14]:
                break
        wait_until(lambda: len(descendants(demo.pid)) >= 5, 60, "proxy, producer and three workers run")
        children = descendants(demo.pid)
        demo.send_signal(signal.SIGINT)
        out, err = demo.communicate(timeout=180)
    finally:
        demo.kill()
    assert demo.returncode == 0, out + err
    result = json.loads(out.splitlines()[-1])
    assert 0 < result["handled"] < 10_000_000 and result["lost"] == 0 and 1 <= result["workers"] <= 3, result
    wait_until(lambda: not [pid for pid in children if is_alive(pid)], 60, "no process is left")
    assert leftovers() == before


@pytest.mark.parametrize("arguments", [["--messages", "0"], ["--messages", "10000001"], ["--messages", "9" * 20],
                                       ["--workers", "999999"], ["--workers", "-1"], ["--workers", "two"]])
def test_numbers_out_of_range_are_refused(arguments):
    before = leftovers()
    done = subprocess.run([ROOT / "scripts" / "demo", *arguments], capture_output=True, text=True, timeout=900, check=False)
    assert done.returncode == 2 and "a number from 1 to" in done.stderr and "Traceback" not in done.stderr, done
    assert leftovers() == before


def load():
    """The module behind scripts/demo."""
    spec = importlib.util.spec_from_file_location("demo", ROOT / "scripts" / "lib" / "demo.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("interrupts, handled, code, told", [
    (0, 5, 0, "5 handled, 0 lost   by 1 PHP worker in"), (0, 3, 1, "3 handled, 2 lost"), (1, 3, 1, "3 handled, 2 lost"),
    (2, 3, 130, "3 handled, cut short: 2 not handled"), (2, 5, 0, "5 handled, 0 lost")])
def test_a_second_ctrl_c_loses_nothing_it_cuts_short(capsys, interrupts, handled, code, told):
    module = load()
    demo = module.Demo(argparse.Namespace(messages=5, workers=1, json=False))
    try:
        demo.confirmed, demo.interrupts = 5, interrupts
        demo.ledger.feed(b"".join(b"%d 1 7\n" % number for number in range(1, handled + 1)))
        result = demo.summary()
        module.show_summary(result)
        assert module.exit_code(demo, result, True) == code
    finally:
        demo.clear()
    out = capsys.readouterr().out
    assert told in out and "0 duplicates, 0 retries, 0 dead letters" in out, out


def test_a_proxy_that_does_not_start_has_no_summary(monkeypatch, capsys, tmp_path):
    module = load()
    before = leftovers()
    monkeypatch.setattr(module, "BIN", tmp_path)
    monkeypatch.setattr(module.signal, "signal", lambda *_: None)
    monkeypatch.setattr("sys.argv", ["demo"])
    assert module.main() == 1
    captured = capsys.readouterr()
    assert "qbus-proxy ended by itself" in captured.err and "lost" not in captured.out, captured
    assert leftovers() == before
