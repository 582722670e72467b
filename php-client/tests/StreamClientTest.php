<?php
// SPDX-License-Identifier: MIT

declare(strict_types=1);

namespace Qbus\Tests;

use Qbus\Tests\Support\ClientTestCase;

final class StreamClientTest extends ClientTestCase
{
    protected static function transport(): string
    {
        return 'stream';
    }
}
