<?php
// SPDX-License-Identifier: MIT

declare(strict_types=1);

/*
 * The worker of `qbus-bench run`. QBUS_AUTOLOAD: the autoloader of the client. QBUS_BENCH_BATCH: messages that a handler
 * takes together; 0: one at a time.
 */

use Qbus\Worker;

require \getenv('QBUS_AUTOLOAD') ?: __DIR__ . '/../php-client/autoload.php';

$worker = Worker::connect();
$handler = require __DIR__ . '/count.php';
$batch = (int) \getenv('QBUS_BENCH_BATCH');

$together = static function (array $messages) use ($handler): void {
    foreach ($messages as $message) {
        $handler($message);
    }
};
exit(($batch === 0 ? $worker->on('bench', $handler) : $worker->onBatch('bench', $batch, 0.02, $together))->run());
