<?php
// SPDX-License-Identifier: MIT

declare(strict_types=1);

namespace Qbus\Tests;

use Qbus\Tests\Support\ClientTestCase;

/** @requires extension sockets */
final class SocketClientTest extends ClientTestCase
{
    protected static function transport(): string
    {
        return 'socket';
    }
}
