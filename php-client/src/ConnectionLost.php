<?php
// SPDX-License-Identifier: MIT

declare(strict_types=1);

namespace Qbus;

/** The proxy cannot be reached any more. What the session held is delivered again, perhaps to another worker. */
final class ConnectionLost extends \RuntimeException implements QbusException
{
}
