<?php
// SPDX-License-Identifier: MIT

declare(strict_types=1);

/*
 * A PHP process that owns its connection, with php-amqplib: php php-amqplib.php URL QUEUE PREFETCH EVERY
 * PREFETCH 0: no limit, as the library leaves it. EVERY: so many messages are acked together. QBUS_BENCH_AMQPLIB: the
 * library's autoloader.
 */

use PhpAmqpLib\Connection\AMQPStreamConnection;
use PhpAmqpLib\Message\AMQPMessage;

require \getenv('QBUS_BENCH_AMQPLIB') ?: '/usr/share/php/PhpAmqpLib/autoload.php';

[, $url, $queue, $prefetch, $every] = $argv;
$parts = \parse_url($url);
$count = require __DIR__ . '/../count.php';

$connection = new AMQPStreamConnection(
    $parts['host'],
    $parts['port'] ?? 5672,
    \urldecode($parts['user'] ?? 'guest'),
    \urldecode($parts['pass'] ?? 'guest'),
    \urldecode(\substr($parts['path'] ?? '', 1)) ?: '/',
);
$channel = $connection->channel();
if ((int) $prefetch > 0) {
    $channel->basic_qos(0, (int) $prefetch, false);
}
$channel->basic_consume($queue, callback: static function (AMQPMessage $message) use ($count, $every): void {
    $count($message->body);
    if ($message->getDeliveryTag() % (int) $every === 0) {
        $message->ack(true);
    }
});
while ($channel->is_consuming()) {
    $channel->wait();
}
