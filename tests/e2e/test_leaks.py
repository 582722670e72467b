# SPDX-License-Identifier: MIT
"""Workers that leak: the growth is seen, and the paths that grow are named."""
import json
import re

from process import ROOT, wait_until
from proxy import EXIT_CLEAN, config, merge, run
from test_admin import metric, watched  # pylint: disable=unused-import

HANDLER = ROOT / "tests" / "e2e" / "leaks.php"
MESSAGES = 200
SIX = {r"App\Cache::$items", r"App\Handler->dispatcher->listeners", r"App\Visit::$last", r"function App\handle() static $seen",
       "global $log", "{closure leaks.php:} use $caught"}


def workers(proxy):
    done = run("workers", "--leaks", "--json", "-c", proxy.file)
    assert done.returncode == EXIT_CLEAN, done.stderr
    return json.loads(done.stdout)["workers"]


def plain(path):
    """Without the line of a closure."""
    return re.sub(r"(\.php:)\d+", r"\1", path)


def leaky(tmp_path, ledger, pool, messages=MESSAGES, **changes):
    source = {"lanes": 1, "messages": messages}
    base = config(tmp_path, {"type": "memory"}, source, ledger)
    return merge(base, {"admin": {"socket": f"{tmp_path}/admin.sock"},
                        "pools": {"php": {"num_workers": 1, **pool}}, **changes})


def test_six_leaks_are_named_within_200_messages_and_nothing_else_is(serve, tmp_path, ledger):
    """Of two pipelines, whose messages come in turn: one handler is an object, the other a closure."""
    source = {"lanes": 1, "messages": MESSAGES}
    pipelines = {"orders": {"source": source, "credit": 1},
                 "hooks": {"source": {"broker": "b", **source}, "credit": 1, "pool": "php"}}
    pool = {"command": ["php", str(HANDLER)], "leak_check": 10}
    proxy = serve(leaky(tmp_path, ledger, pool, pipelines=pipelines))

    def done():
        found = workers(proxy)
        return found and found[0]["leak_looks"] >= 2 * MESSAGES // 10 and found[0]
    worker = wait_until(done, 120, "200 messages of each pipeline are handled and looked behind")
    assert {plain(leak["path"]) for leak in worker["leaks"]} == SIX
    for leak in worker["leaks"]:
        assert leak["grew"] >= 11 and leak["bytes"] > 1000, leak
    named = [plain(path) for path in re.findall(r"warn.*?\"([^\"]*) keeps growing", proxy.text().replace("\\\\", "\\"))]
    assert sorted(named) == sorted(SIX), "each has one line in the log"
    shown = run("workers", "--leaks", "-c", proxy.file).stdout
    assert all(plain(path) in plain(shown) for path in SIX), shown
    assert proxy.stop() == EXIT_CLEAN


def test_a_worker_that_is_not_asked_to_look_does_not(serve, tmp_path, ledger):
    proxy = serve(leaky(tmp_path, ledger, {}))
    wait_until(lambda: [w for w in workers(proxy) if w["messages"] == MESSAGES], 60, "all is handled")
    worker, = workers(proxy)
    assert (worker["leak_looks"], worker["leaks"]) == (0, [])
    assert proxy.stop() == EXIT_CLEAN


def test_memory_that_rises_steadily_is_seen_and_said_once(serve, tmp_path, ledger):
    pool = {"command": ["php", str(ROOT / "php-client" / "examples" / "leaky.php")]}
    pipelines = {"orders": {"source": {"rate": 1000, "lanes": 1, "messages": 0}}}
    proxy = serve(leaky(tmp_path, ledger, pool, pipelines=pipelines))
    worker = wait_until(lambda: next((w for w in workers(proxy) if w["leaking"]), None), 120, "the leak is seen")
    assert 200 * 1000 < worker["growth_bytes_per_1000"] < 20000 * 1000
    assert proxy.text().count("its memory rises steadily") == 1
    status = json.loads(run("status", "--json", "-c", proxy.file).stdout)
    assert status["pipelines"][0]["leaking"] and status["pipelines"][0]["growth_bytes_per_1000"] > 0
    assert proxy.stop() == EXIT_CLEAN


def document():
    """The configuration of the page, the commands and the paths that its output names."""
    page = (ROOT / "docs" / "leaks.md").read_text()
    shown = page[:page.index("## What paths look like")]
    return (re.search(r"```yaml\n(.*?)```", shown, re.S)[1], re.findall(r"^ {4}qbus-proxy (workers.*)$", shown, re.M),
            set(re.findall(r"^ {4}.* (Shop\S+)", shown, re.M)))


def test_the_page_about_leaks_finds_the_leak_of_its_example(serve, tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    text, commands, paths = document()
    assert commands == ["workers -c leaks.yaml", "workers --leaks -c leaks.yaml"] and len(paths) == 1
    path, = paths
    text = text.replace("/tmp/", f"{tmp_path}/")
    asked = text.replace("leak_check: 0 ", "leak_check: 10 ")
    assert asked != text
    proxy = serve(text, ready=False)
    proxy.socket = f"{tmp_path}/leaks.sock"
    proxy.wait_log("its memory rises steadily", 120)
    table = run(*commands[0].replace("leaks.yaml", str(proxy.file)).split())
    assert table.returncode == EXIT_CLEAN
    head, row = table.stdout.splitlines()[-2:]
    assert [*head.split()][:12] == "WORKER PID POOL PLACE STATE RSS PHP MEMORY GROWTH/1000 LEAKING MESSAGES AGE".split()
    assert " yes " in row and path not in proxy.text()
    off = run(*commands[1].replace("leaks.yaml", str(proxy.file)).split()).stdout
    assert off.endswith("keeps growing: none\nleak_check is off in the pool php: with `leak_check: 100` its workers look every "
                        "100 messages\n")
    assert proxy.stop() == EXIT_CLEAN
    proxy.configure(asked)
    proxy.start(ready=False)
    proxy.socket = f"{tmp_path}/leaks.sock"
    proxy.wait_log(re.escape(path.replace("\\", "\\\\")) + " keeps growing: in 12 of 12 looks", 120)
    table = run(*commands[1].replace("leaks.yaml", str(proxy.file)).split())
    assert "leak_check is off" not in table.stdout
    assert re.search(r"^ +1 +\d+ +\d+ +\S+ \w+ +" + re.escape(path) + "$", table.stdout, re.M), table.stdout
    assert proxy.stop() == EXIT_CLEAN


def test_a_worker_tells_which_message_it_has_and_how_long_it_may_take(watched):
    from client import Client
    proxy = watched(messages=3, pipelines={"orders": {"handler_timeout": "100s"}})
    with Client(proxy.socket) as worker:
        worker.welcome(credit=2)
        held = worker.take(2)
        seen, = workers(proxy)
        current = seen["current"]
        assert (current["id"], current["pipeline"], current["offset"]) == (held[0].id, "orders", held[0].offset)
        assert 50 < current["remaining_seconds"] <= 100
        worker.ack(held)
        wait_until(lambda: workers(proxy)[0]["messages"] == 2, 60, "two messages are settled")
        assert metric(proxy, "qbus_worker_leaking") == 0
    assert proxy.stop() == EXIT_CLEAN
