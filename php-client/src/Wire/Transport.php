<?php
// SPDX-License-Identifier: MIT

declare(strict_types=1);

namespace Qbus\Wire;

use Qbus\ConnectionLost;

/**
 * Bytes to and from the proxy. No call waits longer than PATIENCE, so that whoever waits can look at his flags: a
 * signal may come between that look and the call, where nothing would wake him.
 *
 * @internal
 */
interface Transport
{
    /** Seconds. */
    public const PATIENCE = 1.0;
    public const PATIENCE_NS = 1_000_000_000;

    /**
     * At most $n bytes of what is there, waiting up to $wait seconds for something to come; $whole: for all of it to
     * come. Returns '' when nothing came, fewer bytes when a signal came.
     *
     * @throws ConnectionLost at the end
     */
    public function read(int $n, float $wait, bool $whole = false): string;

    /** As read(), but leaves the bytes where they are; '' may be the end, which read() would tell. */
    public function peek(int $n, float $wait): string;

    /**
     * Takes as much as fits without waiting and says how much that was.
     *
     * @throws ConnectionLost
     */
    public function write(string $bytes): int;

    /** Returns when bytes can be read or written. */
    public function awaitAny(): void;

    public function close(): void;
}
