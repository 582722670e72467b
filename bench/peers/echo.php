<?php
// SPDX-License-Identifier: MIT

declare(strict_types=1);

/*
 * The least that a PHP process can do for one message at a time: reads so many bytes from a Unix socket, counts, answers
 * with as many bytes as a worker of qbus-proxy: php echo.php SOCKET BYTES
 */

const ANSWER = 26;

[, $path, $size] = $argv;
$size = (int) $size;
$count = require __DIR__ . '/../count.php';
$answer = \str_repeat('.', ANSWER);

$socket = \socket_create(\AF_UNIX, \SOCK_STREAM, 0);
\socket_connect($socket, $path);
$frame = '';
while (\socket_recv($socket, $frame, $size, \MSG_WAITALL) === $size) {
    $count($frame);
    \socket_send($socket, $answer, ANSWER, 0);
}
