<?php
// SPDX-License-Identifier: MIT

declare(strict_types=1);

namespace Qbus;

/** The other side does not speak the worker protocol: the session cannot go on. */
final class ProtocolError extends \RuntimeException implements QbusException
{
}
