<?php
// SPDX-License-Identifier: MIT

declare(strict_types=1);

/*
 * A PHP process that owns its connection, with php-rdkafka: php php-rdkafka.php BOOTSTRAP TOPIC GROUP [NAME=VALUE...]
 * Offsets are committed by the library; NAME is a property of librdkafka.
 */

[, $bootstrap, $topic, $group] = $argv;
$count = require __DIR__ . '/../count.php';

$conf = new RdKafka\Conf();
$conf->set('bootstrap.servers', $bootstrap);
$conf->set('group.id', $group);
$conf->set('auto.offset.reset', 'earliest');
foreach (\array_slice($argv, 4) as $property) {
    $conf->set(...\explode('=', $property, 2));
}
$consumer = new RdKafka\KafkaConsumer($conf);
$consumer->subscribe([$topic]);
for (;;) {
    $message = $consumer->consume(1000);
    if ($message->err === RD_KAFKA_RESP_ERR_NO_ERROR) {
        $count($message->payload);
    }
}
