<?php
// SPDX-License-Identifier: MIT

declare(strict_types=1);

namespace Qbus;

use Qbus\Wire\Body;

/**
 * What a message needs of whoever handed it out: the real session, or the fake one of the tests.
 *
 * @internal
 */
interface Session
{
    public function ack(int $id): void;

    /** $delayMs: -1 lets the pipeline's backoff decide. */
    public function settle(int $id, Verdict $verdict, int $delayMs, ?string $reason): void;

    /** The milliseconds granted from now on, 0: none. Gives up at $deadline (nanoseconds of hrtime). */
    public function extend(int $id, int $ms, int $deadline): int;

    /** Whether the other side has cancelled this delivery; never waits. */
    public function isCancelled(int $id): bool;

    /**
     * Asks for $n bytes of a body, which hears them later; false: too much is asked for already, await() first.
     */
    public function ask(Body $body, int $offset, int $n): bool;

    /** Waits until something came, or for a while, or until $deadline (nanoseconds of hrtime). */
    public function await(int $deadline): void;

    /** The message went away without a verdict. */
    public function dropped(int $id): void;
}
