<?php
// SPDX-License-Identifier: MIT

declare(strict_types=1);

namespace Qbus;

/**
 * Lives as long as its message has no verdict; tells the session when the message dies before that.
 *
 * @internal
 */
final class Guard
{
    public bool $armed = true;

    public function __construct(private readonly Session $session, private readonly int $id)
    {
    }

    public function __destruct()
    {
        if ($this->armed) {
            $this->session->dropped($this->id);
        }
    }
}
