<?php
// SPDX-License-Identifier: MIT

declare(strict_types=1);

/*
 * How many messages a second the client handles: a fake proxy floods a worker whose handler does nothing.
 *
 *     php tests/flood.php [messages] [rows per frame] [bytes per body] [window]
 */

require __DIR__ . '/../autoload.php';

[$nMessages, $nRows, $nBytes, $window] = \array_map('intval', \array_slice($argv, 1)) + [2_000_000, 500, 200, 8000];
$path = \sys_get_temp_dir() . '/qbus-flood-' . \getmypid() . '.sock';
$listener = \stream_socket_server("unix://{$path}");
$pid = \pcntl_fork();
if ($pid === 0) {
    $n = 0;
    $status = Qbus\Worker::connect($path)->on('orders', static function (Qbus\Message $message) use (&$n): void {
        ++$n;
    })->run();
    $peak = \memory_get_peak_usage(true) >> 10;
    $used = \getrusage();
    $cpu = $used['ru_utime.tv_sec'] + $used['ru_stime.tv_sec']
        + ($used['ru_utime.tv_usec'] + $used['ru_stime.tv_usec']) / 1e6;
    \printf("worker: %d messages, %.3f us of CPU each, peak %d KiB\n", $n, $cpu * 1e6 / \max(1, $n), $peak);
    exit($status);
}

$socket = \stream_socket_accept($listener);
\unlink($path);
$packer = new MessagePack(false);
$frame = static fn (int $word, string $payload): string => \pack('NCCn', \strlen($payload), $word, 0, 0) . $payload;
$exactly = static function (int $n) use ($socket): string {
    for ($bytes = ''; \strlen($bytes) < $n; ) {
        $bytes .= \fread($socket, $n - \strlen($bytes)) ?: exit("the worker is gone\n");
    }

    return $bytes;
};
$read = static function () use ($exactly): array {
    ['length' => $length, 'word' => $word] = \unpack('Nlength/Cword', $exactly(8));

    return [$word, (new MessagePack(false))->unpack($exactly($length))];
};

$read();
\fwrite($socket, $frame(65, $packer->pack(['protocol' => 1, 'server' => 'flood', 'session' => 1, 'max_frame' => 262144,
    'max_message' => 64 << 20,
    'pipelines' => [['name' => 'orders', 'kind' => 'kafka', 'timeout_ms' => 30000, 'max_attempts' => 5]]])));

$firstId = 1 << 40;
$rows = [];
for ($i = 0; $i < $nRows; ++$i) {
    $rows[] = ['orders', 3, 1041 + $i, 1700000000000, "k{$i}", null, \str_repeat('x', $nBytes)];
}
$deliver = $frame(66, $packer->pack([0, $firstId, 1, 30000, $rows]));
$idAt = \strpos($deliver, \pack('J', $firstId));

$nSent = $nSettled = $nSettles = 0;
$begin = \hrtime(true);
while ($nSettled < $nMessages) {
    while ($nSent < $nMessages && $nSent - $nSettled + $nRows <= $window) {
        \fwrite($socket, \substr_replace($deliver, \pack('J', $firstId + $nSent), $idAt, 8));
        $nSent += $nRows;
    }
    [$word, $value] = $read();
    for ($i = 1; $i < \count($value[0]); $i += 2) {
        $nSettled += $value[0][$i];
    }
    ++$nSettles;
}
$seconds = (\hrtime(true) - $begin) / 1e9;
\fwrite($socket, $frame(70, $packer->pack(['reason' => 'enough'])));
\pcntl_waitpid($pid, $status);
\printf("%d messages of %d bytes in %.2f s: %.0f messages/s, %.3f us each, %.1f acks a SETTLE; exit %d\n",
    $nSettled, $nBytes, $seconds, $nSettled / $seconds, $seconds * 1e6 / $nSettled, $nSettled / $nSettles,
    \pcntl_wexitstatus($status));
