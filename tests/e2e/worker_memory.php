<?php
// SPDX-License-Identifier: MIT
// Takes more and more memory: php -d memory_limit=-1 worker_memory.php LEDGER [leak_kb=N] [hog=PARTITION:RECEIPT]
// A ledger line is "done|begin BODY attempt pid".
declare(strict_types=1);

require dirname(__DIR__, 2) . '/php-client/autoload.php';

parse_str(implode('&', array_slice($argv, 2)), $options);
$leak = 1024 * (int) ($options['leak_kb'] ?? 0);
$hog = $options['hog'] ?? null;
$ledger = fopen($argv[1], 'a');
$kept = [];

exit(Qbus\Worker::connect()->on('orders', function (Qbus\Message $message) use ($ledger, $leak, $hog, &$kept): void {
    $id = rtrim($message->body, '.');
    if ($id === $hog) {
        fwrite($ledger, sprintf("begin %s %d %d\n", $id, $message->attempt, getmypid()));
        for ($all = []; count($all) < 64; usleep(100_000)) { // 1 GiB, as a run-away handler would
            $all[] = str_repeat('x', 16 << 20);
        }
    }
    if ($leak > 0) {
        $kept[] = str_repeat('x', $leak);
    }
    fwrite($ledger, sprintf("done %s %d %d\n", $id, $message->attempt, getmypid()));
})->run());
