# SPDX-License-Identifier: MIT
"""Parts of a handler that have a limit of their own around a call that hangs: they fail, the handler goes on."""
import json

from calls import BROKEN, Call
from process import wait_until
from scene import HERE, counters, settings
from table import GOAL_MS, SLACK_MS, Ledger, possible

PARTS = [Call("within-mysql", BROKEN, ("mysql",), threw="PDOException"),
         Call("within-pgsql", BROKEN, ("pgsql",), threw="PDOException"),
         Call("within-redis", BROKEN, ("redis",), threw="RedisException"),
         Call("within-curl", BROKEN, ("silent",))]
EMPTY = Call("within-empty", "")
N_EMPTY = 100_000
COLUMNS = ("part", "ms from its end", "within throws", "cause", "acked")


def faults_of(call, told, count):
    """Sentences about what is wrong with it. told: what the handler saw."""
    faults = []
    if told["threw"] != "Qbus\\DeadlineExceeded":
        faults.append(f"within throws {told['threw']}")
    if (told["cause"] or "") != call.threw:
        faults.append(f"the cause is {told['cause']}, not {call.threw or 'nothing'}")
    if told["ms"] > GOAL_MS + SLACK_MS:
        faults.append(f"{told['ms']:.0f} ms after the end of the part")
    if any(count.get((f"qbus_messages_{what}_total", call.name)) != 1 for what in ("delivered", "acked")):
        faults.append("its message is not acked at the first attempt")
    return faults


def play(scene):
    """[(call, cells, faults)], and the microseconds that an empty part costs."""
    calls = [*possible(scene, PARTS)[0], EMPTY]
    ledger = Ledger(scene.directory / "within.ledger")
    one = {"source": {"messages": 1}, "handler_timeout": "60s", "handler_break": "100ms", "handler_grace": f"{2 * SLACK_MS}ms"}
    handler = [HERE / "handler.php", ledger.path, json.dumps(scene.addresses()), *(call.name for call in calls)]
    proxy = scene.serve(settings(scene.directory, {call.name: one for call in calls}, handler, 1, "within"), "within")

    def all_is_acked():
        count = counters(proxy)
        return all(count.get(("qbus_messages_acked_total", call.name)) for call in calls) and count

    count = wait_until(all_is_acked, 180, "every part has ended and every message is acked")
    proxy.stop()
    ledger.read()
    rows = []
    for call in calls[:-1]:
        told = ledger.of(call.name, "E")["result"]
        cells = (call.name, f"{told['ms']:.0f}", str(told["threw"]), str(told["cause"]), "yes")
        rows.append((call.name, cells, faults_of(call, told, count)))
    return rows, ledger.of(EMPTY.name, "E")["result"]["us"]
