<?php
// SPDX-License-Identifier: MIT

declare(strict_types=1);

namespace Qbus;

/** Everything that this library throws. */
interface QbusException extends \Throwable
{
}
