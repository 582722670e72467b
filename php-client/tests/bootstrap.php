<?php
// SPDX-License-Identifier: MIT

declare(strict_types=1);

require __DIR__ . '/../autoload.php';
require __DIR__ . '/Support/Peer.php';
require __DIR__ . '/Support/Proxy.php';
require __DIR__ . '/Support/ClientTestCase.php';
require __DIR__ . '/Support/WorkerProcess.php';
