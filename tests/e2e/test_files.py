# SPDX-License-Identifier: MIT
"""Neither proxy nor worker ever creates a file, whatever the size of a fetch; a small worker takes the same topic."""
import re

from process import SANITIZED, wait_until
from proxy import EXIT_CLEAN, HANDLER, kafka_config

CREATING = re.compile(r"O_CREAT|O_TMPFILE|memfd_create\(|\bcreat\(|\bmknod(at)?\(|\bmkdir(at)?\(|\bsymlink(at)?\(|\blink(at)?\(")
CALLS = "open,openat,openat2,creat,memfd_create,mknod,mknodat,mkdir,mkdirat,symlink,symlinkat,link,linkat"
FETCH = {"max_bytes": "30MiB", "max_partition_bytes": "30MiB"}


def test_a_run_with_fetches_of_30_mb_creates_no_file(kafka, fresh, ledger, serve, tmp_path, monkeypatch):
    if SANITIZED:
        monkeypatch.setenv("ASAN_OPTIONS", "detect_leaks=0")  # the leak check cannot run below strace
    kafka.create_topic(fresh, 2)
    kafka.produce(fresh, 900, "--size", 100_000)
    config = kafka_config(tmp_path, kafka, fresh, ledger, workers=2, pipelines={"orders": {"fetch": FETCH}})
    config["pools"]["php"]["command"] = ["php", "-d", "memory_limit=32M", str(HANDLER), str(ledger.path)]
    trace = tmp_path / "trace"
    proxy = serve(config, wrapper=["strace", "-D", "-f", "-qq", "-e", f"trace={CALLS}", "-o", trace])
    wait_until(lambda: ledger.unique() == 900, 300, "all handled")
    assert proxy.stop() == EXIT_CLEAN
    lines = trace.read_text().splitlines()
    assert len(lines) > 100 and sum("handler.php" in line for line in lines) >= 2, "the trace saw the workers"
    allowed = (str(ledger.path), f"{tmp_path}/qbus.sock")  # the handler's own ledger; the socket and its lock
    created = [line for line in lines if CREATING.search(line) and not any(path in line for path in allowed)]
    assert not created, created


def test_a_full_fetch_of_large_messages_passes_a_small_worker(kafka, fresh, ledger, serve, tmp_path):
    kafka.create_topic(fresh, 1, max_message_bytes=10_000_000)
    kafka.produce(fresh, 60, "--size", 4_000_000, "-X", "message.max.bytes=10000000", "-X", "compression.type=lz4")
    config = kafka_config(tmp_path, kafka, fresh, ledger, workers=1,
                          pipelines={"orders": {"fetch": FETCH}})
    config["pools"]["php"]["command"] = ["php", "-d", "memory_limit=32M", str(HANDLER), str(ledger.path)]
    proxy = serve(config)
    wait_until(lambda: ledger.unique() == 60, 180, "all handled")
    assert proxy.stop() == EXIT_CLEAN
    report = ledger.report(range(1, 61))
    assert not (report.lost or report.duplicates) and len(report.workers) == 1, report
