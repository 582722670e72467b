<?php
// SPDX-License-Identifier: MIT

declare(strict_types=1);

namespace Qbus\Wire;

/**
 * The two small frames around a part of a handler. Each call of a slow service costs both, so they are made without a
 * packer.
 *
 * @internal
 */
final class Limit
{
    /** How deep parts may nest. */
    public const LEVELS = 32;

    private const MAX_MS = 0xffffffff;

    /** LIMIT [id, level, ms]: 1 byte of array, 9 of id, 1 of level, 5 of milliseconds. */
    public static function begin(int $id, int $level, int $ms): string
    {
        $ms = \max(1, \min($ms, self::MAX_MS));

        return \pack('NCCnCCJCCN', 16, Word::LIMIT, 0, 0, 0x93, 0xcf, $id, $level, 0xce, $ms);
    }

    /** UNLIMIT [id, level]. */
    public static function end(int $id, int $level): string
    {
        return \pack('NCCnCCJC', 11, Word::UNLIMIT, 0, 0, 0x92, 0xcf, $id, $level);
    }
}
