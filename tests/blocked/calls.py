# SPDX-License-Identifier: MIT
"""The calls of handler.php: whom each needs, and what must become of it."""
import typing

BROKEN, TOLD, ENDED = "broken", "told", "ended"


class Call(typing.NamedTuple):
    name: str
    outcome: str            # where all stages are there
    needs: tuple = ()       # peers
    by_socket: bool = True  # of those that are broken: a socket is shut, or a question refused
    threw: str = ""         # exception that the handler must see; "": it may be none
    handler_break: str = "100ms"

    def outcome_under(self, profile):
        """systemd's profile leaves no stage for sockets."""
        return ENDED if profile == "systemd" and self.outcome == BROKEN and self.by_socket else self.outcome


CALLS = [
    Call("loop", ENDED),
    Call("usleep-loop", ENDED),
    Call("preg_match", ENDED),
    Call("sem_acquire", ENDED, ("semaphore",)),
    Call("exec-unbroken", ENDED, handler_break="off"),  # its program ends with the worker's group, and exec returns
    Call("checkpoint-loop", TOLD, threw="Qbus\\DeadlineExceeded"),
    Call("sleep", TOLD),
    Call("stream_select", TOLD, ("silent",)),
    Call("flock", TOLD, ("lock",)),
    Call("stream_select-loop", BROKEN, ("silent",)),
    Call("fread", BROKEN, ("silent",)),
    Call("http", BROKEN, ("silent",)),
    Call("http-half", BROKEN, ("silent",)),
    Call("curl", BROKEN, ("silent",)),
    Call("curl-kept-alive", BROKEN, ("silent",)),
    Call("curl_multi", BROKEN, ("silent",)),
    Call("mysql-connect", BROKEN, ("mysql",), threw="PDOException"),
    Call("mysql-query", BROKEN, ("mysql",), threw="PDOException"),
    Call("pgsql-connect", BROKEN, ("pgsql",), threw="PDOException"),
    Call("pgsql-query", BROKEN, ("pgsql",), threw="PDOException"),
    Call("redis-blpop", BROKEN, ("redis",), threw="RedisException"),
    Call("redis-get", BROKEN, ("redis",), threw="RedisException"),
    Call("memcached", BROKEN, ("memcached",)),
    Call("amqp-consume", BROKEN, ("amqp",), threw="AMQP"),
    Call("dns", BROKEN, ("resolver",)),
    Call("curl-dns", BROKEN, ("resolver",)),
    Call("exec", BROKEN, by_socket=False),
]
