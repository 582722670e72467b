<?php
// SPDX-License-Identifier: MIT

declare(strict_types=1);

namespace Qbus\Wire;

use Qbus\Verdict;

/**
 * Verdicts that wait to be sent together.
 *
 * @internal
 */
final class Verdicts
{
    private const MAX_REASON = 1024;

    /** An ack that is not one of a run: the handler meant it, whatever happened to its calls. */
    private const MEANT = 4;

    /** Stay well below the 65,536 bytes and 16,384 elements that a frame may have. */
    private const MAX_BYTES = 48 << 10;

    /**
     * How the SETTLE frame of one short run begins: a header, and what stands before the first id. The id has 8 bytes,
     * the count 1, nil 1, and the memory 5.
     */
    private const SHORT_RUN = "\0\0\0\x12\x02\0\0\0" . "\x93\x92\xcf";

    /** @var array<int, int> first id => count */
    private array $runs = [];

    /** @var list<array{int, int, int, string|null}> */
    private array $others = [];
    private int $size = 0;

    // The run of consecutive acks that grows: [ackFirst, ackNext[. Whoever has the next one just counts it.
    private int $ackFirst = 0;
    public int $ackNext = 0;

    private readonly Packer $packer;

    public function __construct()
    {
        $this->packer = new Packer();
    }

    /** Acks; where they do not go on with the run that grows they begin another, and that one waits. */
    public function addRun(int $first, int $count): void
    {
        if ($first !== $this->ackNext) {
            if ($this->ackNext > $this->ackFirst) {
                $this->endRun();
            }
            $this->ackFirst = $first;
        }
        $this->ackNext = $first + $count;
    }

    public function add(int $id, Verdict $verdict, int $delayMs, ?string $reason): void
    {
        if ($reason !== null && \strlen($reason) > self::MAX_REASON) {
            $reason = \substr($reason, 0, self::MAX_REASON);
        }
        $this->others[] = [$id, $verdict === Verdict::Ack ? self::MEANT : $verdict->value, $delayMs, $reason];
        $this->size += 24 + \strlen($reason ?? '');
    }

    /** The lowest id in a run of acks, 0: there is none. */
    public function firstAck(): int
    {
        $this->endRun();

        return $this->runs === [] ? 0 : \min(\array_keys($this->runs));
    }

    /** Whether the ack of this id was in a run; now it is not. */
    public function takeAck(int $id): bool
    {
        $this->endRun();
        foreach ($this->runs as $first => $count) {
            if ($id < $first || $id >= $first + $count) {
                continue;
            }
            unset($this->runs[$first]);
            if ($id > $first) {
                $this->runs[$first] = $id - $first;
            }
            if ($id + 1 < $first + $count) {
                $this->runs[$id + 1] = $first + $count - $id - 1;
            }

            return true;
        }

        return false;
    }

    public function isFull(): bool
    {
        return $this->size >= self::MAX_BYTES;
    }

    /** A SETTLE frame of all that waits, '' when nothing does; nothing waits afterwards. */
    public function take(int $memory): string
    {
        $count = $this->ackNext - $this->ackFirst;
        if ($this->size === 0) {
            if ($count === 0) {
                return '';
            }
            if ($count < 0x80 && $memory <= 0xffffffff) {
                return $this->takeShortRun($count, $memory);
            }
        }
        $this->endRun();
        $value = [$this->joinRuns(), $this->others === [] ? null : $this->others, $memory];
        $this->runs = $this->others = [];
        $this->size = 0;

        return $this->packer->frame(Word::SETTLE, $value);
    }

    /** Where messages come one by one each costs such a frame, so it is made without a packer. */
    private function takeShortRun(int $count, int $memory): string
    {
        $frame = self::SHORT_RUN . \pack('JCnN', $this->ackFirst, $count, 0xc0ce, $memory);
        $this->ackFirst = $this->ackNext = 0;

        return $frame;
    }

    private function endRun(): void
    {
        if ($this->ackNext > $this->ackFirst) {
            $this->runs[$this->ackFirst] = $this->ackNext - $this->ackFirst;
            $this->size += 18;
        }
        $this->ackFirst = $this->ackNext = 0;
    }

    /** @return list<int> first, count, first, count, ... */
    private function joinRuns(): array
    {
        \ksort($this->runs);
        $flat = [];
        $last = -1;
        $next = 0;
        foreach ($this->runs as $first => $count) {
            if ($last > 0 && $first === $next) {
                $flat[$last] += $count;
            } else {
                $flat[] = $first;
                $flat[] = $count;
                $last = \count($flat) - 1;
            }
            $next = $first + $count;
        }

        return $flat;
    }
}
