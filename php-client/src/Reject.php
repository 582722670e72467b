<?php
// SPDX-License-Identifier: MIT

declare(strict_types=1);

namespace Qbus;

/** Thrown or returned by a handler: do not try this message again, put it aside as a dead letter. */
final class Reject extends \RuntimeException implements QbusException
{
}
