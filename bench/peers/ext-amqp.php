<?php
// SPDX-License-Identifier: MIT

declare(strict_types=1);

/*
 * A PHP process that owns its connection, with ext-amqp: php ext-amqp.php URL QUEUE PREFETCH EVERY
 * PREFETCH 0: the extension's default. EVERY: so many messages are acked together.
 */

[, $url, $queueName, $prefetch, $every] = $argv;
$parts = \parse_url($url);
$count = require __DIR__ . '/../count.php';

$connection = new AMQPConnection([
    'host' => $parts['host'],
    'port' => $parts['port'] ?? 5672,
    'vhost' => \urldecode(\substr($parts['path'] ?? '', 1)) ?: '/',
    'login' => \urldecode($parts['user'] ?? 'guest'),
    'password' => \urldecode($parts['pass'] ?? 'guest'),
]);
$connection->connect();
$channel = new AMQPChannel($connection);
if ((int) $prefetch > 0) {
    $channel->setPrefetchCount((int) $prefetch);
}
$queue = new AMQPQueue($channel);
$queue->setName($queueName);
$queue->consume(static function (AMQPEnvelope $message, AMQPQueue $queue) use ($count, $every): void {
    $count($message->getBody());
    $tag = $message->getDeliveryTag();
    if ($tag % (int) $every === 0) {
        $queue->ack($tag, AMQP_MULTIPLE);
    }
});
