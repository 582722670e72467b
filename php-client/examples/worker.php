<?php
// SPDX-License-Identifier: MIT

declare(strict_types=1);

/*
 * A worker that prints what it gets. It serves Kafka and RabbitMQ alike; qbus-proxy starts it or it is started by hand:
 *
 *     QBUS_SOCKET=/run/qbus/qbus.sock php worker.php
 *
 * QBUS_PIPELINE  the pipeline to serve (orders)
 * WORK_MS        milliseconds that the handler takes (0)
 * QUIET          1: print nothing
 */

use Qbus\Message;
use Qbus\Reject;
use Qbus\Worker;

require \getenv('QBUS_AUTOLOAD') ?: __DIR__ . '/../autoload.php';

$workMs = (int) \getenv('WORK_MS');
$quiet = \getenv('QUIET') === '1';

$handler = static function (Message $message) use ($workMs, $quiet): void {
    if ($message->body === '') {
        throw new Reject('an order without a body');
    }
    $workMs > 0 && \usleep($workMs * 1000);
    $quiet || \file_put_contents('php://stderr', \sprintf(
        "%s #%d, attempt %d: %s\n",
        $message->source,
        $message->offset ?? $message->deliveryTag,
        $message->attempt,
        \substr($message->body, 0, 60),
    ));
};

exit(Worker::connect()->on(\getenv('QBUS_PIPELINE') ?: 'orders', $handler)->run());
