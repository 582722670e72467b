<?php
// SPDX-License-Identifier: MIT

declare(strict_types=1);

namespace Qbus;

/** Thrown or returned by a handler: try this message again, `after` seconds from now (null: as the pipeline says). */
final class Retry extends \RuntimeException implements QbusException
{
    public function __construct(public readonly ?float $after = null, string $reason = '', ?\Throwable $previous = null)
    {
        parent::__construct($reason, 0, $previous);
    }
}
