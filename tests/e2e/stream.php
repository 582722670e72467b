<?php
// SPDX-License-Identifier: MIT
// A handler that reads each body as a stream and never holds it: writes a line `size md5 peak attempt pid` for each.
//
//   php stream.php FILE [lines=1|body=1]      body=1: it takes the body as a string after all
declare(strict_types=1);

require dirname(__DIR__, 2) . '/php-client/autoload.php';

$file = fopen($argv[1], 'a');
$byLines = ($argv[2] ?? '') === 'lines=1';
$byBody = ($argv[2] ?? '') === 'body=1';

exit(Qbus\Worker::connect()->on('orders', function (Qbus\Message $message) use ($file, $byLines, $byBody): void {
    $hash = hash_init('md5');
    $stream = $byBody ? null : $message->stream();
    if ($byBody) {
        hash_update($hash, $message->body);
    } elseif ($byLines) {
        while (($line = fgets($stream)) !== false) {
            hash_update($hash, $line);
        }
    } else {
        hash_update_stream($hash, $stream);
    }
    fwrite($file, sprintf(
        "%d %s %d %d %d\n",
        $message->size,
        hash_final($hash),
        memory_get_peak_usage(),
        $message->attempt,
        getmypid(),
    ));
})->run());
