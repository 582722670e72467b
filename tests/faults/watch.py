# SPDX-License-Identifier: MIT
"""What an operator sees of a lane that cannot be read, in every place where it must be seen."""
import http.client
import json
import pathlib
import re
import socket

from process import wait_until
from scene import status


class Page(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost", timeout=60)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


def page(proxy, name):
    """(code, text) of a page of the admin socket."""
    connection = Page(json.loads(proxy.file.read_text())["admin"]["socket"])
    connection.request("GET", name)
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    return answer.status, text


def reasons(proxy, word):
    """Why it is not ready, of that kind."""
    told = status(proxy)
    return [reason for reason in (told or {"reasons": []})["reasons"] if reason["reason"] == word]


def wait_wedged(proxy, topic, partition, timeout=120):
    def find():
        return [reason for reason in reasons(proxy, "lane wedged")
                if (reason["source"], reason["partition"]) == (topic, partition)]
    return wait_until(find, timeout, lambda: f"{topic}[{partition}] is told as wedged\n{proxy.process.tail(5)}")[0]


def judge_wedged(proxy, topic, partition, offset, words):
    """Waits until that lane is told as wedged, then looks in every place. `words` must stand in the reason."""
    told = wait_wedged(proxy, topic, partition)
    faults = []
    if told["offset"] != offset:
        faults.append(f"status tells offset {told['offset']} of {topic}[{partition}], not {offset}")
    if not re.search(words, told["why"]) or f"{topic}[{partition}]" not in told["why"] or str(offset) not in told["why"]:
        faults.append(f"the reason says {told['why']!r}")
    lanes = [lane for pipeline in status(proxy)["pipelines"] for lane in pipeline["lanes"]
             if (lane["source"], lane["partition"]) == (topic, partition)]
    if [lane["wedged"] for lane in lanes] != [True] or lanes[0]["trouble"] != told["why"]:
        faults.append(f"the lanes of the status say {lanes}")
    code, text = page(proxy, "/readyz")
    if code != 503 or told not in json.loads(text)["reasons"]:
        faults.append(f"readyz says {code} {text}")
    if not re.search(rf'^qbus_lane_wedged{{.*"{re.escape(topic)}".*}} [1-9]', page(proxy, "/metrics")[1], re.M):
        faults.append("the metric qbus_lane_wedged is not above 0")
    return faults + judge_lines(proxy, topic, partition, 1)


def wedge_lines(proxy, topic, partition):
    return [line for line in proxy.text().splitlines()
            if "cannot be read" in line and f"{topic}[{partition}]" in line]


def judge_lines(proxy, topic, partition, count):
    lines = wedge_lines(proxy, topic, partition)
    return [] if len(lines) == count else [f"{len(lines)} log lines, not {count}: {lines[:3]}"]


def peak_mib(proxy):
    """The most memory that the proxy ever held."""
    text = pathlib.Path(f"/proc/{proxy.process.pid}/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+)", text)[1]) // 1024
