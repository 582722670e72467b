# SPDX-License-Identifier: MIT
"""The examples of the PHP client run as they are, as workers of a pool, and do what their first lines say."""
import re

import pytest

from process import ROOT, wait_until
from proxy import EXIT_CLEAN
from test_admin import metric, watched  # noqa: F401 (a fixture)
from test_deadline import silent  # noqa: F401 (a fixture)

EXAMPLES = ROOT / "php-client" / "examples"
MESSAGES = 4

# What an example says of all of them, as a pattern of which each match tells some of the messages.
SAYS = {
    "worker.php": r"memory #(\d), attempt 1: 0:\1\.",
    "pull.php": r"[ \"](0:\d)\.{100}",
    "within.php": r"#(\d+): no answer",
    "batch.php": r"(\d+) messages, \d+00 bytes",
}


def test_each_example_is_run_here():
    assert {path.name for path in EXAMPLES.iterdir()} == set(SAYS) | {"leaky.php"}, "test_leaks.py runs that one"


@pytest.mark.parametrize("name", SAYS)
def test_an_example_handles_messages_and_ends_in_order(watched, silent, name):  # noqa: F811
    proxy = watched(messages=MESSAGES, pipelines={"orders": {"pool": "php", "source": {"lanes": 1}}}, pools={"php": {
        "command": ["php", str(EXAMPLES / name)], "num_workers": 1,
        "environment": {"SERVICE": f"tcp://127.0.0.1:{silent}"}}})
    wait_until(lambda: metric(proxy, "qbus_messages_acked_total") == MESSAGES, 60, f"all are acked\n{proxy.text()}")

    def all_is_said():  # what a worker says may be in the log only after its ack has come
        said = re.findall(SAYS[name], proxy.text())
        return (sum(map(int, said)) if name == "batch.php" else len(set(said))) == MESSAGES
    wait_until(all_is_said, 60, f"each is named\n{proxy.text()}")
    assert metric(proxy, "qbus_messages_delivered_total") == MESSAGES, "none was tried again"
    assert proxy.stop() == EXIT_CLEAN
    assert not re.search(r"PHP (Warning|Notice|Deprecated|Fatal)", proxy.text()), proxy.text()
