<?php
// SPDX-License-Identifier: MIT

declare(strict_types=1);

namespace Qbus;

/** The time for this message is over. A handler that lets it pass has the message retried, reason `deadline`. */
final class DeadlineExceeded extends \RuntimeException implements QbusException
{
}
