<?php
// SPDX-License-Identifier: MIT
// The handler of the tests, the same for every broker: writes each handled order into a ledger that the tests read.
//
//   php handler.php LEDGER [delay_us=N] [fail_every=N] [reject_every=N] [last=N] [pipeline=NAME]
//
// Orders after the last one wait until there is a file LEDGER.gate; from then on none is delayed.
declare(strict_types=1);

require dirname(__DIR__, 2) . '/php-client/autoload.php';

parse_str(implode('&', array_slice($argv, 2)), $options);
$delay = (int) ($options['delay_us'] ?? 0);
$failEvery = (int) ($options['fail_every'] ?? 0);
$rejectEvery = (int) ($options['reject_every'] ?? 0);
$last = (int) ($options['last'] ?? PHP_INT_MAX);
$gate = $argv[1] . '.gate';
$ledger = fopen($argv[1], 'a');
$begun = fopen($argv[1] . '.begun', 'a');

exit(Qbus\Worker::connect()->on($options['pipeline'] ?? 'orders', function (Qbus\Message $message) use (
    $ledger,
    $begun,
    $delay,
    $failEvery,
    $rejectEvery,
    $last,
    $gate,
): void {
    $id = json_decode($message->body, false, 8, JSON_THROW_ON_ERROR)->id;
    if ($delay >= 10000) { // slow handlers also say when they begin
        fwrite($begun, "$id\n");
    }
    while ($id > $last && !file_exists($gate)) {
        usleep(10000);
    }
    if ($delay > 0 && !file_exists($gate)) {
        usleep($delay);
    }
    if ($failEvery > 0 && $id % $failEvery === 0 && $message->attempt === 1) {
        throw new RuntimeException("order $id fails at first");
    }
    fwrite($ledger, sprintf(
        "%d %d %d %d %d %d\n",
        $id,
        $message->partition ?? -1,
        $message->offset ?? $message->deliveryTag,
        $message->attempt,
        getmypid(),
        intdiv(hrtime(true), 1000),
    ));
    if ($rejectEvery > 0 && $id % $rejectEvery === 0) {
        throw new Qbus\Reject("order $id is not for us");
    }
})->run());
