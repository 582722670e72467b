# SPDX-License-Identifier: MIT
"""The judge is judged: each kind of wrong history is found, and a right one is not complained about."""
import pathlib
import sys
import types

import pytest

sys.path[:0] = [str(pathlib.Path(__file__).parent), str(pathlib.Path(__file__).parents[1] / "e2e")]

from commits import Commit, Commits, above  # noqa: E402
from oracle import Oracle  # noqa: E402


@pytest.fixture
def oracle(tmp_path):
    judge = Oracle(tmp_path / "ledger")
    for number in (1, 2, 3):
        judge.sent[number] = "k"
        judge.confirmed.add(number)

    def write(*lines):
        """Lines as `B 1 pid=7 at=10`: id 1, offset 1, partition 0."""
        with open(judge.path, "a", encoding="ascii") as file:
            for line in lines:
                kind, number, pid, at = line.split()
                file.write(f"{kind} {number} k 0 {number} 1 {pid} {at}\n")
        return judge.read()
    judge.write = write
    return judge


RIGHT = ("B 1 70 10", "E 1 70 20", "B 2 71 21", "E 2 71 30", "B 3 70 31", "E 3 70 40")


def test_a_right_history_has_no_faults(oracle):
    report = oracle.write(*RIGHT).report()
    assert (report.ok, report.lost, report.duplicated, report.unexpected) == (3, [], 0, [])
    assert not report.faults() and not oracle.order_faults


def test_what_was_confirmed_and_never_handled_is_lost(oracle):
    report = oracle.write(*RIGHT[:4]).report()
    assert report.lost == [3] and report.faults()


def test_half_a_line_is_not_a_completion(oracle):
    oracle.write(*RIGHT[:5])
    with open(oracle.path, "a", encoding="ascii") as file:
        file.write("E 3 k 0 3 1 70 4")
    assert oracle.report().lost == [3]


def test_a_dead_letter_is_not_lost(oracle):
    oracle.write(*RIGHT[:4]).bury(3, {})
    assert not oracle.report().lost


def test_what_was_never_confirmed_and_yet_handled_is_recovered(oracle):
    oracle.confirmed.remove(3)
    report = oracle.write(*RIGHT).report()
    assert (report.ok, report.recovered) == (2, 1)


def test_what_was_never_sent_is_unexpected(oracle):
    assert oracle.write(*RIGHT, "B 9 70 50", "E 9 70 60").report().unexpected == [9]


def test_a_second_completion_is_a_duplicate(oracle):
    assert oracle.write(*RIGHT, "B 3 71 50", "E 3 71 60").report().duplicated == 1
    assert not oracle.order_faults


def test_a_key_that_goes_backwards_is_found(oracle):
    oracle.write("B 2 70 10", "E 2 70 20", "B 1 70 21", "E 1 70 30")
    assert oracle.order_faults


def test_two_handlers_of_one_key_at_once_are_found(oracle):
    oracle.write("B 1 70 10", "B 2 71 15", "E 1 70 20", "E 2 71 30")
    assert oracle.order_faults


def test_a_killed_handler_holds_its_key_no_more(oracle):
    oracle.write("B 1 70 10")
    oracle.killed([70], 12)
    assert [line.id for line in oracle.struck([70])] == [1]
    oracle.write("B 1 71 15", "E 1 71 20")
    assert not oracle.order_faults and not oracle.report().duplicated


def test_a_memo_tells_what_is_settled_above_the_offset():
    assert above(Commit(0, 10, "", 0)) == set()
    assert above(Commit(0, 10, "qbus2:a,1,2,z,1", 0)) == {11, 12, 48}


class Told(Commits):
    """Commits without a broker."""

    def __init__(self, *commits):  # pylint: disable=super-init-not-called
        self.all, self.judged, self.n_judged, self.buried = list(commits), {}, 0, set()

    def read(self):
        return self.all


@pytest.mark.parametrize("commits, wrong", [
    ([Commit(0, 3, "", 35_000), Commit(0, 4, "", 45_000)], None),
    ([Commit(0, 4, "", 35_000)], "later"),
    ([Commit(0, 3, "qbus2:3,1,1", 45_000)], "not settled"),
    ([Commit(0, 5, "", 45_000)], "not settled"),
    ([Commit(0, 3, "", 35_000), Commit(0, 2, "", 45_000)], "after 3"),
])
def test_a_commit_covers_only_what_was_settled_by_then(oracle, commits, wrong):
    oracle.settled_us.update({(0, 0): 0, (0, 1): 20_000, (0, 2): 30_000, (0, 3): 42_000})
    reader = types.SimpleNamespace(read=lambda: oracle, settled_us=oracle.settled_us)
    faults = Told(*commits).faults(reader, slack_us=0)
    assert bool(faults) == bool(wrong) and (not wrong or wrong in faults[0]), faults
