<?php
// SPDX-License-Identifier: MIT
// The handler of scripts/demo. Returning means "done", throwing means "again, please".
declare(strict_types=1);

require __DIR__ . '/../../php-client/autoload.php';

$ledger = fopen(getenv('QBUS_DEMO_LEDGER'), 'w'); // a pipe; the demo reads what was really handled at its other end

exit(Qbus\Worker::connect()->on('orders', static function (Qbus\Message $message) use ($ledger): void {
    $order = json_decode($message->body, flags: JSON_THROW_ON_ERROR);
    if ($order->id % 1000 === 7 && $message->attempt === 1) {
        throw new RuntimeException('the payment service does not answer'); // comes again after the backoff
    }
    fwrite($ledger, sprintf("%d %d %d\n", $order->id, $message->attempt, getmypid()));
})->run());
