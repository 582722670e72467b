<?php
// SPDX-License-Identifier: MIT

declare(strict_types=1);

/*
 * A pull loop: the application asks for messages and says itself what became of them.
 *
 *     QBUS_SOCKET=/run/qbus/qbus.sock php pull.php [pipeline]
 */

require \getenv('QBUS_AUTOLOAD') ?: __DIR__ . '/../autoload.php';

$client = Qbus\Client::connect($argv[1] ?? 'orders');
\pcntl_async_signals(true);
\pcntl_signal(\SIGTERM, static fn () => $client->stop(), false);

while (($message = $client->next()) !== null) {
    foreach (\explode("\n", $message->body) as $line) {
        \file_put_contents('php://stderr', "{$line}\n");
        if ($message->remaining() < 5.0) {
            $message->extend(30.0);
        }
    }
    $message->ack();
}
$client->close();
