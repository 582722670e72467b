<?php
// SPDX-License-Identifier: MIT

declare(strict_types=1);

/*
 * A worker that asks a service which may be slow, for half a second at most, and goes on without its answer.
 *
 *     QBUS_SOCKET=/run/qbus/qbus.sock SERVICE=tcp://127.0.0.1:7000 php within.php
 */

use Qbus\DeadlineExceeded;
use Qbus\Message;
use Qbus\Worker;

require \getenv('QBUS_AUTOLOAD') ?: __DIR__ . '/../autoload.php';

$ask = static function (string $question): string {
    $service = \stream_socket_client((string) \getenv('SERVICE'));
    \fwrite($service, "{$question}\n");

    return \trim((string) \fgets($service));
};

exit(Worker::connect()->on(\getenv('QBUS_PIPELINE') ?: 'orders', static function (Message $message) use ($ask): void {
    try {
        $answer = $message->within(0.5, static fn () => $ask(\substr($message->body, 0, 60)));
    } catch (DeadlineExceeded) {
        $answer = 'no answer';
    }
    \file_put_contents('php://stderr', "#{$message->id}: {$answer}\n");
})->run());
