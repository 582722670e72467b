<?php
// SPDX-License-Identifier: MIT

declare(strict_types=1);

/*
 * The worker of `qbus-bench run`. QBUS_AUTOLOAD: the autoloader of the client.
 */

use Qbus\Worker;

require \getenv('QBUS_AUTOLOAD') ?: __DIR__ . '/../php-client/autoload.php';

exit(Worker::connect()->on('bench', require __DIR__ . '/count.php')->run());
