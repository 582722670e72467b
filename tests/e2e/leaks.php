<?php
// SPDX-License-Identifier: MIT

declare(strict_types=1);

/*
 * A worker with six leaks and 50,000 objects that do not grow: those of the client's own tests.
 */

use Qbus\Worker;

$client = __DIR__ . '/../../php-client';
require "{$client}/autoload.php";
require "{$client}/tests/fixtures/leaks.php";

App\Shop::fill(50_000);
exit(Worker::connect()->on('orders', new App\Handler())->on('hooks', App\collector())->run());
