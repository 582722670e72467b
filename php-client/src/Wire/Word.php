<?php
// SPDX-License-Identifier: MIT

declare(strict_types=1);

namespace Qbus\Wire;

/**
 * The words of the worker protocol, version 1.
 *
 * @internal
 */
final class Word
{
    public const HELLO = 1;
    public const SETTLE = 2;
    public const EXTEND = 3;
    public const BYE = 4;
    public const LIMIT = 7;
    public const UNLIMIT = 8;
    public const LEAK = 9;
    public const READ = 10;
    public const SYNC = 11;

    public const WELCOME = 65;
    public const DELIVER = 66;
    public const CANCEL = 67;
    public const EXTENDED = 68;
    public const LATE = 69;
    public const DRAIN = 70;
    public const ERROR = 71;
    public const CHUNK = 72;
    public const SYNCED = 73;
}
