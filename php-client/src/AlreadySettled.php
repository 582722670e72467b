<?php
// SPDX-License-Identifier: MIT

declare(strict_types=1);

namespace Qbus;

/** A message was given a second verdict: a mistake in the handler. */
final class AlreadySettled extends \LogicException implements QbusException
{
}
