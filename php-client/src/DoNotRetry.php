<?php
// SPDX-License-Identifier: MIT

declare(strict_types=1);

namespace Qbus;

/** Mark an exception of your own with it: a handler that throws such a one has its message rejected, not retried. */
interface DoNotRetry
{
}
