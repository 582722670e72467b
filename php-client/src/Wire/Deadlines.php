<?php
// SPDX-License-Identifier: MIT

declare(strict_types=1);

namespace Qbus\Wire;

/**
 * Which delivery runs, since when, and whether its time is over: by the clock, or because the proxy has said so.
 *
 * Knows no socket, and the time is an argument: nanoseconds of hrtime.
 *
 * @internal
 */
final class Deadlines
{
    /** Nanoseconds for which verdicts may wait for company. */
    private const GATHER = 200_000;

    /** Nanoseconds after which a handler's end is looked at: it may have been told to end, and a call of its broken. */
    private const LONG = 50_000_000;

    /** Cancellations remembered; those of messages with a verdict are of no use. */
    private const MAX_CANCELLED = 64;

    // Whoever begins a message writes the first two and reads the third, without a call where messages are many: the
    // delivery begun last, when it was (never: it is done with), and from when on the session is to be asked first.
    public int $id = 0;
    public int $begun = \PHP_INT_MAX;
    public int|float $dueAt = 0;

    /** @var array<int, int> id => when it has taken long; what a guarded client has given out and nobody has judged */
    public array $out = [];

    /** Nothing more shall begin. */
    public bool $stopped = false;

    /** Nanoseconds that it has; see setTimeout(). */
    public int $timeout = 0;

    // After how much its end is looked at, and when its time is over where that is another time.
    private int $long = \PHP_INT_MAX;
    private int $until = 0;

    /** @var array<int, true> */
    private array $cancelled = [];

    /** @var array<int, int> id => an earlier one whose ack was kept while that one's handler ran, and ran long */
    private array $mistaken = [];

    /** @var list<int> when the parts end that run, one inside the other */
    private array $parts = [];

    /** @param bool $together whether what is broken for one delivery spoils all */
    public function __construct(private readonly bool $together)
    {
    }

    /** For signal handlers: at any time, between any two steps of the others here. */
    public function stop(): void
    {
        $this->stopped = true;
        $this->dueAt = 0;
    }

    public function setTimeout(int $timeout): void
    {
        $this->timeout = $timeout;
        // 0 was asked for: see lookAt() and cancel().
        $this->long = $this->long === 0 ? 0 : \min(self::LONG, $timeout >> 1);
    }

    /** This one has been begun; $givenOut: to be judged at any time, whatever is begun behind it. */
    public function begin(int $id, int $now, bool $givenOut): void
    {
        $this->id = $id;
        $this->begun = $now;
        if ($givenOut) {
            $this->out[$id] = $now + $this->long;
        }
    }

    /** Verdicts have been sent: from when on they have to be again, or the one that runs has taken long. */
    public function setDue(int $now): void
    {
        // What took long is looked at when it ends, also when this is called at its very end.
        $gathered = $now + self::GATHER;
        $long = $this->begun + $this->long;
        $this->dueAt = $this->long === 0 ? 0 : ($long < $gathered ? $long : $gathered);
        if ($this->stopped) { // a signal may have said so in the midst of the line above
            $this->dueAt = 0;
        }
    }

    /** The one that runs is looked at when it ends, however short it was; it has time until then. */
    public function lookAt(int $until): void
    {
        $this->long = $this->dueAt = 0;
        $this->until = $until;
    }

    /** The one that ran was looked at. */
    public function finish(): void
    {
        $this->begun = \PHP_INT_MAX;
        $this->long = \min(self::LONG, $this->timeout >> 1);
        $this->until = 0;
    }

    /** Whether the end of the one that ran has to be looked at. */
    public function isLong(int $now): bool
    {
        return $now - $this->begun >= $this->long;
    }

    /** Whether half of its time is over, or it is looked at when it ends, however short it was: of one that isLong(). */
    public function isToBeLookedAt(int $now): bool
    {
        return $this->long === 0 || $this->isHalfOver($now);
    }

    public function isHalfOver(int $now): bool
    {
        return $now - $this->begun >= $this->timeout >> 1;
    }

    public function isOver(int $now): bool
    {
        return $now >= ($this->until ?: $this->begun + $this->timeout);
    }

    /** Whether it has time until $deadline, and is neither cancelled nor so long that it may be, unheard of. */
    public function isInTime(int $id, int $now, int $deadline): bool
    {
        return $now < $deadline && $now < ($this->out[$id] ?? $this->begun + $this->long)
            && !isset($this->cancelled[$id]) && !($this->together && $this->cancelled !== []);
    }

    /** Whether one that was given out has taken long. */
    public function wasOutLong(int $id, int $now): bool
    {
        return $now >= ($this->out[$id] ?? \PHP_INT_MAX);
    }

    public function cancel(int $id): void
    {
        $this->cancelled[$id] = true;
        $this->long = $this->dueAt = 0;
        if (\count($this->cancelled) > self::MAX_CANCELLED) {
            unset($this->cancelled[\array_key_first($this->cancelled)]);
        }
    }

    public function restore(int $id): void
    {
        unset($this->cancelled[$id]);
    }

    public function forgetCancelled(): void
    {
        $this->cancelled = [];
    }

    /** Whether a CANCEL has come for it, or for one that is handled together with it. */
    public function isCancelled(int $id): bool
    {
        return isset($this->cancelled[$id]) || ($this->together && $this->cancelled !== []);
    }

    /** As isCancelled(), also where the proxy took the earlier one for this one. */
    public function wasMeant(int $id, int $earlier): bool
    {
        return $this->isCancelled($id) || isset($this->cancelled[$this->mistaken[$id] ?? $earlier]);
    }

    /** The proxy takes $first, whose ack was kept, for the one that runs. */
    public function mistake(int $first): void
    {
        $this->mistaken = [$this->id => $first];
    }

    public function isMistaken(): bool
    {
        return isset($this->mistaken[$this->id]);
    }

    /** Whether there may be an ack that the proxy mistakes for the one that runs. */
    public function mayMistake(int $first): bool
    {
        return $first !== 0 && $first !== $this->id && !$this->together && !$this->isMistaken();
    }

    /** A part begins that shall end then; when it has to, for the sake of the one around it. */
    public function beginPart(int $until): int
    {
        $level = \count($this->parts);
        if ($level === Limit::LEVELS) {
            throw new \LogicException('parts of a handler nest ' . Limit::LEVELS . ' deep at most');
        }

        return $this->parts[] = \min($until, $this->parts[$level - 1] ?? $until);
    }

    public function endPart(): void
    {
        \array_pop($this->parts);
    }

    /** How many parts run, one inside the other. */
    public function level(): int
    {
        return \count($this->parts);
    }
}
