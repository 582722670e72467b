<?php
// SPDX-License-Identifier: MIT
// Workers of the outage: `sick` asks Redis, the other pipelines do not; one line each message that is handled.
//
//   php outage.php LEDGER REDIS-PORT
declare(strict_types=1);

require dirname(__DIR__, 2) . '/php-client/autoload.php';

$ledger = fopen($argv[1], 'a');
$redis = new Redis();
$done = static function (Qbus\Message $message) use ($ledger): void {
    $us = intdiv(hrtime(true), 1000);
    fwrite($ledger, sprintf("%s %d %d %d\n", $message->pipeline, $message->offset, getmypid(), $us));
};
$calm = static function (Qbus\Message $message) use ($done): void {
    usleep(4000);
    $done($message);
};

exit(Qbus\Worker::connect()
    ->on('sick', static function (Qbus\Message $message) use ($redis, $argv, $done): void {
        if (!$redis->isConnected()) {
            $redis->connect('127.0.0.1', (int) $argv[2]);
        }
        usleep(4000);
        $redis->get('none');
        $done($message);
    })
    ->on('steady', $calm)
    ->on('full', $calm)
    ->run());
