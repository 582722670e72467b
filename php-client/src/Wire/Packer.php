<?php
// SPDX-License-Identifier: MIT

declare(strict_types=1);

namespace Qbus\Wire;

/**
 * Makes frames.
 *
 * @internal
 */
final class Packer
{
    private readonly \MessagePack $values;

    public function __construct()
    {
        $this->values = new \MessagePack(false);
    }

    public function frame(int $word, mixed $value): string
    {
        $payload = $this->values->pack($value);

        return \pack('NCCn', \strlen($payload), $word, 0, 0) . $payload;
    }
}
