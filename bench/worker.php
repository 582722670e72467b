<?php
// SPDX-License-Identifier: MIT

declare(strict_types=1);

/*
 * The worker of `qbus-bench run`: a handler that does nothing but count, and tells the bench.
 *
 * QBUS_BENCH_SOCKET  the bench's datagram socket; a datagram is "PID COUNT MOMENT", the moment in nanoseconds
 * QBUS_BENCH_EVERY   how many messages make a datagram; the first message makes one, too
 * QBUS_AUTOLOAD      the autoloader of the client
 */

use Qbus\Message;
use Qbus\Worker;

require \getenv('QBUS_AUTOLOAD') ?: __DIR__ . '/../php-client/autoload.php';

$bench = \stream_socket_client('udg://' . \getenv('QBUS_BENCH_SOCKET'));
$every = (int) \getenv('QBUS_BENCH_EVERY') ?: 1000;
$pid = \getmypid();
$count = 0;
$next = 1;

$handler = static function (Message $message) use (&$count, &$next, $every, $pid, $bench): void {
    if (++$count === $next) {
        \fwrite($bench, "{$pid} {$count} " . \hrtime(true));
        $next = $count - $count % $every + $every;
    }
};

exit(Worker::connect()->on('bench', $handler)->run());
