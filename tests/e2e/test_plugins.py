# SPDX-License-Identifier: MIT
"""The unit tests of plugins that need a broker (ctest's label `broker`), with the broker that they need."""
import os
import re
import subprocess

import pytest

from process import BUILD, scaled

COUNT = re.compile(r"^\[  (PASSED|SKIPPED|FAILED)  ?\] (\d+) test\(s\)", re.M)
RUN = re.compile(r"^\[=+\] (\d+) test\(s\) run", re.M)


@pytest.mark.parametrize("name", ["amqp_test", "amqp_publish_test"])
def test_a_plugin_keeps_its_contract_with_a_real_broker(rabbit, name):
    program = BUILD / "tests" / name
    assert program.exists(), f"{program} is not built"
    environment = {**os.environ, "QBUS_TEST_AMQP_URL": rabbit.url, "QBUS_TEST_AMQP_MESSAGES": str(scaled(100_000))}
    done = subprocess.run([program], env=environment, timeout=900, check=False, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True)
    counts = {word: int(number) for word, number in COUNT.findall(done.stdout)}
    n_run = sum(map(int, RUN.findall(done.stdout)))
    assert done.returncode == 0 and n_run > 0, f"exit {done.returncode}\n{done.stdout[-6000:]}"
    assert counts == {"PASSED": n_run}, f"{counts} of {n_run}\n{done.stdout[-6000:]}"
