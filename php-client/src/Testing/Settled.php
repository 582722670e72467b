<?php
// SPDX-License-Identifier: MIT

declare(strict_types=1);

namespace Qbus\Testing;

use Qbus\Verdict;

/** What a handler said of one message. `after` is in seconds, null when the pipeline decides. */
final class Settled
{
    public function __construct(
        public readonly int $id,
        public readonly Verdict $verdict,
        public readonly ?float $after = null,
        public readonly string $reason = '',
    ) {
    }
}
