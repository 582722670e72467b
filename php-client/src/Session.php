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
    /** The handler has returned. */
    public function ack(int $id): void;

    /** Whether its handler has returned, and that was its verdict. */
    public function isServed(int $id): bool;

    /** What the handler's end means. $delayMs: -1 lets the pipeline's backoff decide. */
    public function settle(int $id, Verdict $verdict, int $delayMs, ?string $reason): void;

    /** What the handler says itself, of a message that it may have until $deadline (nanoseconds of hrtime). */
    public function say(int $id, Verdict $verdict, int $delayMs, ?string $reason, int $deadline): void;

    /**
     * A part of the handler begins that shall end at $until (nanoseconds of hrtime), or earlier: at what is returned.
     *
     * Parts end in the reverse order, each with endPart().
     */
    public function beginPart(int $id, int $until): int;

    /** Whether the part took too long. If so, nothing that the worker does next is broken for its sake. */
    public function endPart(int $id, int $until): bool;

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
