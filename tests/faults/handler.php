<?php
// SPDX-License-Identifier: MIT
// The handler of the fault matrix: what it does stands in the message, and all it does stands in the ledger, one write
// a line: KIND id key partition receipt attempt pid monotonic-us
// B begins, E is done, F throws, R rejects, D dies now.
//
//   php handler.php LEDGER [fail_while=FILE] [pipeline=NAME]
//
// A message is {"id": 7, "key": "k3", "us": time to work, "do": what goes wrong}.
declare(strict_types=1);

require dirname(__DIR__, 2) . '/php-client/autoload.php';

parse_str(implode('&', array_slice($argv, 2)), $options);
$ledger = fopen($argv[1], 'a');
$sick = $options['fail_while'] ?? null;

$write = static function (string $kind, Qbus\Message $message, object $order) use ($ledger): void {
    fwrite($ledger, sprintf(
        "%s %d %s %d %d %d %d %d\n",
        $kind,
        $order->id,
        $order->key,
        $message->partition ?? -1,
        $message->offset ?? $message->deliveryTag,
        $message->attempt,
        getmypid(),
        intdiv(hrtime(true), 1000),
    ));
};

$fate = [
    'exit' => static fn () => exit(3),
    'segv' => static fn () => posix_kill(getmypid(), SIGSEGV),
    'memory' => static function (): void {
        ini_set('memory_limit', '24M');
        for ($hoard = [];;) {
            $hoard[] = str_repeat('x', 100_000);
        }
    },
];

exit(Qbus\Worker::connect()->on($options['pipeline'] ?? 'orders', function (Qbus\Message $message) use (
    $write,
    $fate,
    $sick,
): void {
    $order = json_decode($message->body, false, 8, JSON_THROW_ON_ERROR);
    $write('B', $message, $order);
    if ($order->us > 0) {
        usleep($order->us);
    }
    if ($sick !== null) {
        clearstatcache();
        if (file_exists($sick)) {
            $write('F', $message, $order);
            throw new RuntimeException("order {$order->id} meets an outage");
        }
    }
    if (isset($order->do, $fate[$order->do])) {
        $write('D', $message, $order);
        $fate[$order->do]();
    }
    if (($order->do ?? '') === 'reject') {
        $write('R', $message, $order);
        throw new Qbus\Reject("order {$order->id} is not for us");
    }
    $write('E', $message, $order);
})->run());
