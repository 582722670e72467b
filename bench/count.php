<?php
// SPDX-License-Identifier: MIT

declare(strict_types=1);

/*
 * A handler that does nothing but count, and tells the bench.
 *
 * QBUS_BENCH_SOCKET  the bench's datagram socket; a datagram is "PID COUNT MOMENT", the moment in nanoseconds
 * QBUS_BENCH_EVERY   how many messages make a datagram; the first message makes one, too
 * QBUS_BENCH_WORK    microseconds of work for each message, done by turning the processor; 0: none
 * QBUS_BENCH_SLEEP   microseconds of sleep for each message; 0: none
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

    $handler = static function () use (&$count, &$next, $every, $pid, $bench): void {
        if (++$count === $next) {
            \fwrite($bench, "{$pid} {$count} " . \hrtime(true));
            $next = $count - $count % $every + $every;
        }
    };

    return $work + $sleep === 0 ? $handler : static function () use ($handler, $work, $sleep): void {
        if ($sleep > 0) {
            \usleep($sleep);
        }
        for ($until = \hrtime(true) + $work; \hrtime(true) < $until;) {
        }
        $handler();
    };
})();
