# SPDX-License-Identifier: MIT
"""What goes wrong is told in one clear sentence, and nothing is lost by it."""
import json
import os
import re
import socket
import uuid

import pytest

import brokers
from process import wait_until
from proxy import EXIT_CLEAN, EXIT_CONFIG, EXIT_ERROR, EXIT_USAGE, amqp_config, kafka_config, merge, run

GOOD = """socket: { path: DIR/qbus.sock }
admin: { listen: off, socket: off }
brokers:
  b: { type: kafka, bootstrap_servers: "127.0.0.1:9" }
pipelines:
  orders:
    source: { broker: b, topics: [orders], group_id: g }
    pool: php
pools:
  php: { command: [php, worker.php], num_workers: 2 }
"""

# name: (text, its replacement, line, what the sentence must say)
WRONG = {
    "unknown key": ("num_workers: 2", "num_wokers: 2", 10, "num_wokers.*num_workers"),
    "unknown root key": ("pools:", "poools:", 9, "poools.*pools"),
    "unknown option of a plugin": ("bootstrap_servers", "bootstrap_server", 4, "bootstrap_server.*bootstrap_servers"),
    "wrong type": ("num_workers: 2", "num_workers: many", 10, "num_workers|many"),
    "a map for a number": ("num_workers: 2", "num_workers: { a: 1 }", 10, "num_workers"),
    "below its range": ("num_workers: 2", "num_workers: 0", 10, "num_workers"),
    "wrong unit": ("pool: php\n", "pool: php\n    handler_timeout: 30 lightyears\n", 9, "handler_timeout|lightyears"),
    "duplicate key": ("pool: php\n", "pool: php\n    pool: php\n", 9, "pool.*twice|duplicate|already"),
    "unknown broker": ("broker: b", "broker: x", 7, "x"),
    "unknown pool": ("pool: php\n", "pool: perl\n", 8, "perl"),
    "unknown plugin": ("type: kafka", "type: pigeon", 4, "pigeon"),
    "missing command": ("command: [php, worker.php], ", "", 10, "command"),
    "missing topics": ("topics: [orders], ", "", 7, "topics"),
    "unset variable": ("group_id: g", "group_id: '${QBUS_NOT_SET}'", 7, "QBUS_NOT_SET"),
    "missing secret file": ("type: kafka", "type: kafka, security: { password_file: /nonexistent/pw }", 4, "/nonexistent/pw"),
    "an empty group": ("group_id: g", "group_id: ''", 7, "group_id.*must not be empty"),
    "no topics": ("topics: [orders]", "topics: []", 7, "topics.*must not be empty"),
    "no brokers": ('"127.0.0.1:9"', '""', 4, "bootstrap_servers.*must not be empty"),
    "a command that is one string": ("[php, worker.php]", "php worker.php", 10, "list"),
    "an empty mapping": ("pool: php\n", "pool: php\n    dead_letter: {}\n", 9, "dead_letter.*nothing"),
    "dead letters that come back": ("pool: php\n", "pool: php\n    dead_letter: { topic: orders }\n", 9, "orders"),
    "a directory that is not there": ("path: DIR", "path: /nonexistent", 1, '"/nonexistent"'),
    "no urls": ('kafka, bootstrap_servers: "127.0.0.1:9" }', 'amqp, url: [] }', 4, "url.*must not be empty"),
    "broken yaml": ("pools:", "pools: [", None, ""),
    "a property that librdkafka does not know": ("type: kafka", "type: kafka, properties: { no.such.thing: 1 }", 4,
                                                "no.such.thing"),
}


def complaints(done, file):
    """The lines FILE:LINE:COL: sentence that are no warnings."""
    found = re.findall(rf"^{re.escape(str(file))}:(\d+):(\d+): (?!warning)(.+)$", done.stderr + done.stdout, re.M)
    return [(int(line), sentence) for line, _, sentence in found]


@pytest.mark.parametrize("command", ["check-config", "serve"])
@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_file_is_refused_at_its_line(tmp_path, name, command):
    old, new, line, says = WRONG[name]
    assert GOOD.count(old) == 1 or name in ("unknown root key", "broken yaml")
    file = tmp_path / "qbus.yaml"
    file.write_text(GOOD.replace(old, new).replace("DIR", str(tmp_path)))
    done = run(command, "-c", file)
    assert done.returncode == EXIT_CONFIG, done
    found = complaints(done, file)
    assert found, done
    assert line is None or line in [at for at, _ in found], found
    assert any(re.search(says, sentence, re.S) for _, sentence in found), found


def test_the_good_file_is_accepted(tmp_path):
    file = tmp_path / "qbus.yaml"
    file.write_text(GOOD.replace("DIR", str(tmp_path)))
    done = run("check-config", "-c", file)
    assert done.returncode == 0, done
    assert run("check-config", "-c", file, "--print").stdout.count("num_workers: 2") == 1


def test_all_faults_are_told_at_once(tmp_path):
    file = tmp_path / "qbus.yaml"
    file.write_text(GOOD.replace("DIR", str(tmp_path)).replace("num_workers: 2", "num_wokers: 2, tll: 1h")
                    .replace("group_id: g", "group_id: g, colour: red"))
    done = run("check-config", "-c", file)
    assert done.returncode == EXIT_CONFIG
    assert [line for line, _ in complaints(done, file)] == [7, 10, 10], done


def test_a_missing_file_is_refused(tmp_path):
    done = run("serve", "-c", tmp_path / "none.yaml")
    assert done.returncode == EXIT_CONFIG and "none.yaml" in done.stderr


@pytest.mark.parametrize("broker, says", [
    ({"type": "amqp", "url": "amqps://b/", "ca_file": "FILE"}, "ca_file holds no certificate"),
    ({"type": "amqp", "url": "amqps://b/", "certificate_file": "FILE", "key_file": "FILE"}, "hold no certificate and its key"),
    ({"type": "kafka", "bootstrap_servers": "b:1", "security": {"protocol": "ssl", "ca_file": "FILE"}}, "ssl.ca.location failed"),
    ({"type": "kafka", "bootstrap_servers": "b:1;c:1"}, "host:port,host:port")])
def test_what_a_client_would_refuse_is_refused_before(tmp_path, broker, says):
    junk, file = tmp_path / "junk.pem", tmp_path / "qbus.yaml"
    junk.write_text("junk\n")
    source = {"broker": "b", "queue": "q"} if broker["type"] == "amqp" else {"broker": "b", "topics": ["t"], "group_id": "g"}
    file.write_text(json.dumps({"socket": {"path": str(tmp_path / "s")}, "brokers": {"b": broker},
                                "pipelines": {"p": {"source": source}}}).replace("FILE", str(junk)))
    done = run("check-config", "-c", file)
    assert done.returncode == EXIT_CONFIG and [sentence for _, sentence in complaints(done, file) if says in sentence], done


@pytest.mark.parametrize("url, says", [
    ("amqp://b:70000/", "port 70000"), ("amqp://b:0/", "port 0"), ("amqp://u@b:70000", "port 70000"), ("http://b:80", "amqp://"),
    ("amqp://b:port/", "amqp://")])
def test_a_wrong_url_is_refused(tmp_path, url, says):
    file = tmp_path / "qbus.yaml"
    file.write_text(json.dumps({"socket": {"path": str(tmp_path / "s")}, "brokers": {"b": {"type": "amqp", "url": url}},
                                "pipelines": {"p": {"source": {"broker": "b", "queue": "q"}}}}))
    done = run("check-config", "-c", file)
    assert done.returncode == EXIT_CONFIG and [sentence for _, sentence in complaints(done, file) if says in sentence], done


@pytest.mark.parametrize("arguments, says", [
    ([], "Usage"), (["fly"], "fly"), (["serve"], "-c FILE"), (["serve", "--wings"], "wings"), (["serve", "-c"], "argument"),
    (["serve", "-c", "f", "--print"], "serve has no option --print"), (["version", "-c", "f"], "version has no option --config"),
    (["check-config", "-c", "f", "--config", "g"], "--config is given twice"),
    (["status", "--socket", "s", "--socket", "t"], "--socket is given twice"),
    (["serve", "qbus.yaml"], "-c FILE"), (["help", "fly"], "fly"), (["status", "-c", "f", "now"], "what is \"now\" for?\n")])
def test_a_wrong_command_line_is_refused(arguments, says):
    done = run(*arguments)
    assert done.returncode == EXIT_USAGE and says in done.stderr, done


def test_a_stream_to_be_declared_is_refused(tmp_path):
    file = tmp_path / "qbus.yaml"
    source = {"broker": "b", "queue": "q", "declare": {"arguments": {"x-queue-type": "stream"}}}
    file.write_text(json.dumps({"socket": {"path": str(tmp_path / "s")}, "brokers": {"b": {"type": "amqp", "url": "amqp://b"}},
                                "pipelines": {"p": {"source": source}}}))
    done = run("check-config", "-c", file)
    assert done.returncode == EXIT_CONFIG and [s for _, s in complaints(done, file) if "a stream hands nothing out again" in s], done


def test_a_missing_folder_of_the_socket_below_run_warns_and_stops_the_start_in_the_same_words(tmp_path):
    folder, file = f"/run/{uuid.uuid4()}", tmp_path / "qbus.yaml"
    sentence = f'needs the directory "{folder}", which has to be there at the start'
    file.write_text(GOOD.replace("DIR", folder))
    checked, served = run("check-config", "-c", file), run("serve", "-c", file)
    assert checked.returncode == EXIT_CLEAN and f'{file}:1:17: warning: "socket.path" {sentence}' in checked.stderr, checked
    errors = [entry["msg"] for entry in map(json.loads, re.findall(r"^{.*}$", served.stderr, re.M)) if entry["level"] == "error"]
    assert served.returncode == EXIT_ERROR and errors == [f"the socket {sentence}"], served


def commands():
    """What `qbus-proxy help` tells: the lines of each command."""
    told, name = {}, None
    for line in run("help").stdout.split("\n\n")[1].splitlines():
        name = line.split()[0] if line.split()[0] != name and line[2] != " " else name
        told.setdefault(name, []).append(line)
    return told


def test_help_takes_the_name_of_a_command():
    for name in commands():
        done = run("help", name)
        assert done.returncode == EXIT_CLEAN and done.stdout == run(name, "--help").stdout, done


@pytest.mark.parametrize("flag", ["--help", "-h"])
def test_each_command_has_a_help_of_its_own(flag):
    told = commands()
    assert {"serve", "dlq", "pipelines", "help"} <= set(told)
    for name, lines in told.items():
        done = run(name, "what", flag) if name == "dlq" else run(name, flag)
        assert done.returncode == EXIT_CLEAN and not done.stderr, done
        assert done.stdout.startswith(f"Usage: qbus-proxy {name} "), done
        assert [line for line in sum(told.values(), []) if line in done.stdout] == lines, done


def test_the_help_of_a_command_tells_the_options_that_it_takes_and_no_other():
    told = {name: set(re.findall(r"^ +(?:-., )?--(\w+)", run(name, "--help").stdout, re.M)) for name in commands()}
    options = set.union(*told.values()) - {"help"}
    assert {"config", "json", "socket", "print", "watch", "wait", "all"} <= options and "json" not in told["serve"]
    for name, own in told.items():
        taken = {option for option in options if "has no option" not in run(name, f"--{option}", "x").stderr}
        assert taken == own - {"help"}, name


def test_version_names_every_library():
    done = run("version")
    assert done.returncode == 0
    for library in ("librdkafka", "rabbitmq", "libevent", "msgpack", "libyaml"):
        assert re.search(library, done.stdout, re.I), done.stdout


def told(proxy, pattern):
    """Waits for a warning or an error whose sentence matches."""
    def find():
        for line in proxy.text().splitlines():
            try:
                entry = json.loads(line)
            except ValueError:
                continue
            if entry.get("level") in ("warn", "error") and re.search(pattern, line, re.I):
                return line
        assert proxy.process.is_running(), proxy.process.tail()
        return None
    return wait_until(find, 60, f"a warning or an error like {pattern!r}\n{proxy.text()[-3000:]}")


def test_an_unreachable_kafka_is_told_and_used_when_it_comes(tmp_path_factory, fresh, ledger, serve, tmp_path):
    kafka = brokers.Kafka(tmp_path_factory.mktemp("kafka-late"))
    try:
        proxy = serve(kafka_config(tmp_path, kafka, fresh, ledger))
        told(proxy, rf"connect|reach|answer|{kafka.port}")
        kafka.start()
        kafka.create_topic(fresh, 2)
        kafka.produce(fresh, 100)
        wait_until(lambda: ledger.unique() == 100, 120, "all handled once it is there")
        assert proxy.stop() == EXIT_CLEAN
    finally:
        kafka.finish()


def test_an_unreachable_rabbitmq_is_told(ledger, serve, tmp_path):
    port, = brokers.free_ports(1)

    class Nobody:
        url = f"amqp://guest:guest@127.0.0.1:{port}/%2f"

    proxy = serve(amqp_config(tmp_path, Nobody, "orders", ledger, admin={"socket": f"{tmp_path}/admin.sock"}))
    line = told(proxy, "connect|refused|reach")
    assert "guest:guest" not in line
    status = wait_until(lambda: re.search(r"^not ready: broker not connected pipeline=orders broker=b: (.+)$",
                                          run("status", "-c", proxy.file).stdout, re.M), 60, "status tells why")
    assert re.search("connect|refused|reach", status[1]) and "guest:guest" not in status[1]
    assert proxy.stop() == EXIT_CLEAN


def test_an_unknown_topic_is_told_and_consumed_when_it_is_there(kafka, fresh, ledger, serve, tmp_path):
    config = kafka_config(tmp_path, kafka, fresh, ledger,
                          brokers={"b": {"properties": {"topic.metadata.refresh.interval.ms": 1000}}})
    proxy = serve(config)
    told(proxy, fresh)
    kafka.create_topic(fresh, 2)
    kafka.produce(fresh, 100)
    wait_until(lambda: ledger.unique() == 100, 120, "all handled once it is there")
    assert proxy.stop() == EXIT_CLEAN


def test_an_unknown_queue_is_told_and_consumed_when_it_is_there(rabbit, fresh, ledger, serve, tmp_path):
    proxy = serve(amqp_config(tmp_path, rabbit, fresh, ledger))
    told(proxy, fresh)
    rabbit.declare(fresh)
    rabbit.produce(fresh, 100)
    wait_until(lambda: ledger.unique() == 100, 120, "all handled once it is there")
    assert proxy.stop() == EXIT_CLEAN


def test_refused_kafka_credentials_are_told(kafka, fresh, ledger, serve, tmp_path):
    config = kafka_config(tmp_path, kafka, fresh, ledger, brokers={"b": {
        "bootstrap_servers": kafka.sasl_bootstrap,
        "security": {"protocol": "sasl_plaintext", "mechanism": "PLAIN", "username": "app", "password": "wrong-secret"}}})
    proxy = serve(config)
    line = told(proxy, "authentication|credentials|password")
    assert "wrong-secret" not in proxy.text() and line
    proxy.stop()
    kafka.create_topic(fresh, 1)
    kafka.produce(fresh, 10)
    proxy.configure(merge(config, {"brokers": {"b": {"security": {"password": "right"}}}}))
    proxy.start()
    wait_until(lambda: ledger.unique() == 10, 90, "the right password is accepted")
    assert proxy.stop() == EXIT_CLEAN


def test_refused_rabbitmq_credentials_are_told(rabbit, fresh, ledger, serve, tmp_path):
    config = amqp_config(tmp_path, rabbit, fresh, ledger)
    config["brokers"]["b"]["url"] = rabbit.url.replace("guest:guest", "guest:wrong-secret")
    proxy = serve(config)
    told(proxy, "ACCESS_REFUSED|refused|credentials")
    assert "wrong-secret" not in proxy.text()
    assert proxy.stop() == EXIT_CLEAN


def test_a_second_instance_is_refused_and_the_first_goes_on(kafka, fresh, ledger, serve, tmp_path):
    kafka.create_topic(fresh, 2)
    config = kafka_config(tmp_path, kafka, fresh, ledger)
    first = serve(config)
    second = serve(config, ready=False, name="second")
    assert second.process.wait(60) == EXIT_ERROR
    assert re.search("qbus.sock", second.text()) and len(second.text().splitlines()) <= 6, second.text()
    kafka.produce(fresh, 100)
    wait_until(lambda: ledger.unique() == 100, 90, "the first goes on")
    assert first.stop() == EXIT_CLEAN


def test_a_stale_socket_is_taken_over(kafka, fresh, ledger, serve, tmp_path):
    kafka.create_topic(fresh, 1)
    config = kafka_config(tmp_path, kafka, fresh, ledger)
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(config["socket"]["path"])
    proxy = serve(config)
    assert proxy.stop() == EXIT_CLEAN


def test_a_file_in_the_sockets_place_is_not_touched(kafka, fresh, ledger, serve, tmp_path):
    config = kafka_config(tmp_path, kafka, fresh, ledger)
    (tmp_path / "qbus.sock").write_text("precious")
    proxy = serve(config, ready=False)
    assert proxy.process.wait(60) in (EXIT_ERROR, EXIT_CONFIG)
    assert (tmp_path / "qbus.sock").read_text() == "precious"


def test_a_worker_that_cannot_start_is_told_and_not_retried_madly(kafka, fresh, ledger, serve, tmp_path):
    kafka.create_topic(fresh, 1)
    config = kafka_config(tmp_path, kafka, fresh, ledger, workers=1)
    config["pools"]["php"]["command"] = ["php", str(tmp_path / "missing.php")]
    proxy = serve(config)
    told(proxy, r'"worker php/1","msg":"ends with exit 1 pid=\d+ lived_ms=\d+ restart_ms=[1-9]\d*",'
         r'"pid":\d+,"lived_ms":\d+,"restart_ms":\d+}')
    proxy.wait_log("missing.php")
    wait_until(lambda: len(re.findall("Could not open input file", proxy.text())) >= 2, 60, "it is tried again")
    assert len(re.findall("Could not open input file", proxy.text())) < 20, "restarts back off"
    assert proxy.stop() == EXIT_CLEAN


def test_a_worker_that_dies_gives_its_messages_back(kafka, fresh, ledger, serve, tmp_path):
    kafka.create_topic(fresh, 2)
    kafka.produce(fresh, 5000)
    proxy = serve(kafka_config(tmp_path, kafka, fresh, ledger, handler=["delay_us=2000"])).wait_workers(4)
    for kill, count in enumerate((500, 1500, 2500)):
        wait_until(lambda count=count: ledger.unique() >= count, 90, f"{count} handled")
        os.kill(ledger.read()[-1].pid, 9)
        proxy.wait_workers(5 + kill)
    wait_until(lambda: ledger.unique() == 5000, 120, "all handled")
    assert proxy.stop() == EXIT_CLEAN
    report = ledger.report(range(1, 5001))
    assert not report.lost, report
    assert kafka.committed("orders-php", fresh) == kafka.ends(fresh)
