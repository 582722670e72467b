<?php
// SPDX-License-Identifier: MIT

declare(strict_types=1);

namespace Qbus;

/** A pulled message went out of sight without a verdict: a mistake in the loop. The message is retried. */
final class MessageDropped extends \LogicException implements QbusException
{
}
