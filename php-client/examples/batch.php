<?php
// SPDX-License-Identifier: MIT

declare(strict_types=1);

/*
 * A worker that handles up to a hundred messages together, or what came within 0.2 s after the first.
 *
 *     QBUS_SOCKET=/run/qbus/qbus.sock php batch.php
 */

use Qbus\Message;
use Qbus\Worker;

require \getenv('QBUS_AUTOLOAD') ?: __DIR__ . '/../autoload.php';

/** @param list<Message> $messages */
$handler = static function (array $messages): void {
    $bytes = 0;
    foreach ($messages as $message) {
        if ($message->body === '') {
            $message->reject('an order without a body');
        }
        $bytes += $message->size;
    }
    \file_put_contents('php://stderr', \sprintf("%d messages, %d bytes\n", \count($messages), $bytes));
};

exit(Worker::connect()->onBatch(\getenv('QBUS_PIPELINE') ?: 'orders', 100, 0.2, $handler)->run());
