# SPDX-License-Identifier: MIT
"""PHP handlers with limits around their parts, and handlers of batches."""
import collections

import pytest

from process import ROOT, wait_until
from proxy import EXIT_CLEAN
from test_admin import metric, watched  # noqa: F401 (a fixture)
from test_deadline import begun, deadlines, silent, wait_acked  # noqa: F401 (a fixture)

SILENT = """$silent = function (): mixed {
    $service = stream_socket_client('tcp://127.0.0.1:' . getenv('SILENT'));
    return fread($service, 100);
};
"""

NESTED = """
exit(Qbus\\Worker::connect()->on('orders', function (Qbus\\Message $message) use ($silent): void {
    fprintf(STDERR, "begins attempt=%d pid=%d\\n", $message->attempt, getmypid());
    $begin = hrtime(true);
    $answer = $message->within(20.0, function () use ($message, $silent): string {
        try {
            return $message->within(1.0, $silent);
        } catch (Qbus\\DeadlineExceeded) {
            return 'no answer';
        }
    });
    fprintf(STDERR, "%s after %.3f s, %s\\n", $answer, (hrtime(true) - $begin) / 1e9,
        $message->isCancelled() ? 'cancelled' : 'with time left');
})->run());
"""

# Says of each message: its receipt, attempt, and the number of its batch.
LEDGER = """
$ledger = fopen(getenv('LEDGER'), 'a');
$note = function (Qbus\\Message $message, int $batch = 0) use ($ledger): int {
    fwrite($ledger, "{$message->offset} {$message->attempt} {$batch}\\n");
    return $message->offset;
};
$batch = 0;
"""

MIXED = """
exit(Qbus\\Worker::connect()->onBatch('orders', 100, 0.2, function (array $messages) use ($note, &$batch): void {
    ++$batch;
    foreach ($messages as $message) {
        $offset = $note($message, $batch);
        match (true) {
            $offset % 10 === 3 && $message->attempt === 1 => $message->retry(0.01, 'busy'),
            $offset % 10 === 7 => $message->reject('a seven'),
            $offset % 10 === 9 => $message->ack(),
            default => null,
        };
    }
    if ($batch === 2) {
        throw new RuntimeException('those without a verdict come again');
    }
})->run());
"""

BROKEN_BATCH = """
exit(Qbus\\Worker::connect(credit: 20)->onBatch('orders', 10, 1.0, function (array $messages) use ($note, $silent): void {
    foreach ($messages as $i => $message) {
        $note($message);
        if ($message->offset < 3) {
            $message->ack();
        } elseif ($message->offset === 3 && $message->attempt === 1) {
            $silent();
        }
    }
})->run());
"""

ONE_HANGS = """
exit(Qbus\\Worker::connect(credit: 200)->on('orders', function (Qbus\\Message $message) use ($note, $silent): void {
    if ($note($message) === 150 && $message->attempt === 1) {
        $silent();
    }
})->run());
"""


@pytest.fixture
def working(watched, tmp_path, silent):  # noqa: F811
    """working(handler, ...) starts a proxy whose one worker runs this PHP; proxy.handled() is what its ledger says."""
    def start(handler, messages, lanes=1, **pipeline):
        file = tmp_path / "within.php"
        file.write_text("<?php\nrequire getenv('CLIENT');\nini_set('default_socket_timeout', '600');\n"
                        f"{SILENT}{LEDGER}{handler}")
        environment = {"SILENT": str(silent), "CLIENT": str(ROOT / "php-client" / "autoload.php"),
                       "LEDGER": str(tmp_path / "ledger.txt")}
        proxy = watched(messages=messages, **{
            "pools": {"php": {"command": ["php", str(file)], "num_workers": 1, "environment": environment}},
            "pipelines": {"orders": {"pool": "php", "backoff": {"initial": "10ms"}, "source": {"lanes": lanes}, **pipeline}}})
        proxy.handled = lambda: [tuple(map(int, line.split())) for line in (tmp_path / "ledger.txt").read_text().splitlines()]
        return proxy
    return start


def test_a_call_that_hangs_in_a_part_fails_and_the_handler_goes_on(working):
    proxy = working(NESTED, 1)
    wait_acked(proxy)
    assert proxy.wait_log(r"no answer after \d+\.\d+ s, with time left")  # that of the part around it
    (attempt, pid), = begun(proxy.text())
    assert attempt == 1 and pid in proxy.workers()
    assert metric(proxy, "qbus_messages_retried_total", reason="deadline") == 0
    assert [metric(proxy, "qbus_part_deadline_total", stage=stage) for stage in ("told", "broken")] == [1, 1]
    assert deadlines(proxy) == [0, 0, 0]
    assert proxy.stop() == EXIT_CLEAN


def test_every_message_of_a_thousand_in_batches_has_its_verdict(working):
    proxy = working(MIXED, 1000)
    wait_until(lambda: metric(proxy, "qbus_messages_acked_total") == 900, 60, f"all but the sevens are acked\n{proxy.text()}")
    wait_until(lambda: metric(proxy, "qbus_messages_rejected_total", reason="rejected") == 100, 60, "the sevens are given up")
    handled = proxy.handled()
    attempts = collections.Counter(offset for offset, _, _ in handled)
    busy = {(offset, attempt) for offset, attempt, _ in handled if offset % 10 == 3 and attempt == 1}
    second = {(offset, attempt) for offset, attempt, batch in handled if batch == 2 and offset % 10 not in (7, 9)}
    again = collections.Counter(offset for offset, _ in busy | second)
    assert len(busy) == 100 and second
    assert attempts == {offset: 1 + again[offset] for offset in range(1000)}
    sizes = collections.Counter(batch for _, _, batch in handled).values()
    assert 1 < max(sizes) <= 100, sizes
    assert metric(proxy, "qbus_messages_retried_total", reason="exception") == again.total()
    assert proxy.stop() == EXIT_CLEAN


def test_a_broken_call_spoils_its_batch_but_what_was_acked_by_word_and_what_was_not_begun(working):
    proxy = working(BROKEN_BATCH, 20, handler_timeout="5s", handler_break="100ms", handler_grace="20s")
    wait_until(lambda: metric(proxy, "qbus_messages_acked_total") == 20, 60, f"all are acked\n{proxy.text()}")
    attempts = collections.defaultdict(list)
    for offset, attempt, _ in proxy.handled():
        attempts[offset].append(attempt)
    assert attempts == {offset: [1, 2] if 3 <= offset < 10 else [1] for offset in range(20)}
    assert deadlines(proxy) == [1, 1, 0]
    assert metric(proxy, "qbus_messages_retried_total", reason="deadline") == 7


def test_only_the_message_is_blamed_whose_handler_hung(working):
    proxy = working(ONE_HANGS, 300, handler_timeout="2s", handler_break="100ms", handler_grace="20s")
    wait_until(lambda: metric(proxy, "qbus_messages_acked_total") == 300, 60, f"all are acked\n{proxy.text()}")
    assert metric(proxy, "qbus_messages_retried_total", reason="deadline") == 1
    attempts = collections.Counter(offset for offset, _, _ in proxy.handled())
    assert attempts == {offset: 2 if offset == 150 else 1 for offset in range(300)}
    assert deadlines(proxy) == [1, 1, 0]
