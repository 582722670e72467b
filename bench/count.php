<?php
// SPDX-License-Identifier: MIT

declare(strict_types=1);

/*
 * A handler that does nothing but count, and tells the bench.
 *
 * QBUS_BENCH_SOCKET  the bench's datagram socket; a datagram is "PID COUNT MOMENT", the moment in nanoseconds
 * QBUS_BENCH_EVERY   how many messages make a datagram at most; the first message makes one, and 20 ms do
 * QBUS_BENCH_WORK    microseconds of work for each message, done by turning the processor; 0: none
 * QBUS_BENCH_SLEEP   microseconds of sleep for each message; 0: none
 * QBUS_BENCH_READ    whole: the body is asked for; stream: it is read in pieces; empty: it is not touched
 * QBUS_BENCH_LIVE    not empty: the end of a body tells when the message was due (bench/order.h), and a datagram goes on
 *                    with the microseconds since then, a number for each message; 20 ms or 500 messages make one
 */

// A scope of its own: who requires this keeps its variables.
return (static function (): Closure {
    $bench = \stream_socket_client('udg://' . \getenv('QBUS_BENCH_SOCKET'));
    $every = (int) \getenv('QBUS_BENCH_EVERY') ?: 1000;
    $work = 1000 * (int) \getenv('QBUS_BENCH_WORK');
    $sleep = (int) \getenv('QBUS_BENCH_SLEEP');
    $pid = \getmypid();
    $count = 0;
    $next = 1;

    // Without a clock for each message: $step is what came in 20 ms of late, $every at most.
    $step = 1;
    $told = \hrtime(true);
    $handler = static function () use (&$count, &$next, &$step, &$told, $every, $pid, $bench): void {
        if (++$count === $next) {
            $now = \hrtime(true);
            if (@\fwrite($bench, "{$pid} {$count} {$now}") === false) {
                return; // the bench has what it wants; $next is passed, and nothing is told any more
            }
            $step = \max(1, \min($every, 2 * $step, (int) ($step * 20_000_000 / ($now - $told + 1))));
            $told = $now;
            $next = $count + $step;
        }
    };
    if (\getenv('QBUS_BENCH_LIVE')) {
        $samples = [];
        $told = 0;
        $handler = static function (object|string $message) use (&$count, &$samples, &$told, $pid, $bench): void {
            $due = (int) \substr(\is_string($message) ? $message : $message->body, -21, 19);
            $now = \hrtime(true);
            $count++;
            if ($due > 0) {
                $samples[] = \intdiv($now - $due, 1000);
            }
            if ($now - $told >= 20_000_000 || \count($samples) === 500) {
                @\fwrite($bench, "{$pid} {$count} {$now} " . \implode(' ', $samples)); // nobody listens at the end
                $samples = [];
                $told = $now;
            }
        };
    }

    $read = \getenv('QBUS_BENCH_READ');
    if ($read) {
        $tell = $handler;
        $handler = static function (object|string $message) use ($tell, $read): void {
            if ($read === 'stream' && \is_object($message)) {
                for ($stream = $message->stream(); !\feof($stream);) {
                    \fread($stream, 1 << 20);
                }
            } elseif (\strlen(\is_string($message) ? $message : $message->body) === 0) {
                throw new \LogicException('a message without a body');
            }
            $tell($message);
        };
    }

    return $work + $sleep === 0 ? $handler : static function (object|string $message = '') use ($handler, $work, $sleep): void {
        if ($sleep > 0) {
            \usleep($sleep);
        }
        for ($until = \hrtime(true) + $work; \hrtime(true) < $until;) {
        }
        $handler($message);
    };
})();
