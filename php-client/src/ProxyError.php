<?php
// SPDX-License-Identifier: MIT

declare(strict_types=1);

namespace Qbus;

/** The proxy ended the session and said why; `reason` is its code, such as `unknown_pipeline`. */
final class ProxyError extends \RuntimeException implements QbusException
{
    public function __construct(public readonly string $reason, string $message)
    {
        parent::__construct("qbus-proxy says {$reason}: {$message}");
    }
}
