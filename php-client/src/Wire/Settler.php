<?php
// SPDX-License-Identifier: MIT

declare(strict_types=1);

namespace Qbus\Wire;

use Qbus\ConnectionLost;
use Qbus\Verdict;

/**
 * Gathers verdicts and sends them in time; looks behind a handler that took long, and fences off what it may break.
 *
 * A Worker's handlers that return have no call here: that they were served in their order is all there is to know, and
 * their acks are counted when something is due.
 *
 * @internal
 */
final class Settler
{
    /** Nanoseconds between two collections of garbage. */
    private const COLLECT = 1_000_000_000;

    /** Seconds in which the proxy has to answer SYNC. */
    private const ANSWER = 10.0;

    /** What $servedFrom is when no Worker serves. */
    private const NEVER = \PHP_INT_MAX;

    private readonly Verdicts $verdicts;

    /** All from here on that a Worker has served, up to the one that runs, are acked and not counted yet. */
    private int $servedFrom = self::NEVER;

    /** The last id that was acked by word. */
    private int $saidAck = 0;
    private int $nAskedSync = 0;
    private int $collectAt = 0;

    /**
     * @param bool $guarded whether what is given out may be judged at any time, in any order
     * @param bool $batches whether what is held is handled together
     */
    public function __construct(
        private readonly Line $line,
        private readonly Heard $heard,
        private readonly Deadlines $deadlines,
        private readonly bool $guarded,
        private readonly bool $batches,
    ) {
        $this->verdicts = new Verdicts();
    }

    /** A Worker serves a frame that begins with this delivery. */
    public function serveFrom(int $id): void
    {
        $this->servedFrom = $id;
    }

    /** The handlers of all before this delivery have returned; those without another verdict are acked. */
    public function served(int $id): void
    {
        if ($id > $this->servedFrom) {
            $this->verdicts->addRun($this->servedFrom, $id - $this->servedFrom);
            $this->servedFrom = $id;
        }
    }

    /** Whether a Worker has served it. */
    public function isServed(int $id): bool
    {
        return $this->servedFrom !== self::NEVER && ($id !== $this->deadlines->id || $id < $this->servedFrom);
    }

    /** $byWord: the handler itself said so. */
    public function ack(int $id, bool $byWord = false): void
    {
        if ($byWord) {
            $this->saidAck = $id;
        }
        if ($this->guarded) {
            unset($this->deadlines->out[$id]);
        }
        if ($this->servedFrom <= $id) {
            $this->served($id + 1);
        } elseif ($id === $this->verdicts->ackNext) {
            ++$this->verdicts->ackNext;
        } else {
            $this->line->mustBeOpen();
            $this->verdicts->addRun($id, 1);
            $this->makeRoom();
        }
    }

    public function settle(int $id, Verdict $verdict, int $delayMs, ?string $reason): void
    {
        $this->line->mustBeOpen();
        if ($this->servedFrom <= $id && $id === $this->deadlines->id) {
            $this->served($id);
            $this->servedFrom = $id + 1;
        }
        unset($this->deadlines->out[$id]);
        $this->verdicts->add($id, $verdict, $delayMs, $reason);
        $this->makeRoom();
    }

    /** What the handler says itself, of a message that it may have until $deadline. */
    public function say(int $id, Verdict $verdict, int $delayMs, ?string $reason, int $deadline): void
    {
        $isOver = $this->isOver($id, $deadline);
        if ($verdict !== Verdict::Ack || $isOver || $this->batches) {
            $this->settle($id, $verdict, $delayMs, $reason);
        } else {
            $this->ack($id, true);
        }
        if ($isOver) {
            $this->fence();
        }
    }

    /**
     * The last message took long. Was that too long, by this clock or by the proxy's? Then its verdict goes out and has
     * its effect before anything else begins, or the next call could be broken for its sake.
     */
    public function lookBack(int $now): bool
    {
        $wasTooLong = $this->deadlines->isOver($now) || $this->wasToldOf($this->deadlines->id, $now);
        if ($wasTooLong) {
            $this->fence();
        }

        return $wasTooLong;
    }

    /** Whether the time of a delivery is over, by this clock, or because the proxy says so of what took long. */
    public function isOver(int $id, int $deadline): bool
    {
        $now = \hrtime(true);

        return $now >= $deadline || $this->deadlines->isCancelled($id)
            || (!$this->deadlines->isInTime($id, $now, $deadline) && $this->wasToldOf($id, $now));
    }

    /** Sends the verdicts that wait for company. */
    public function flush(int $now): void
    {
        $this->deadlines->setDue($now);
        if ($this->deadlines->id > $this->servedFrom) {
            $this->served($this->deadlines->id);
        }
        if ($this->deadlines->isLong($now) && $this->deadlines->isToBeLookedAt($now)) {
            $this->excuseFirst();
        }
        $frame = $this->verdicts->take(\memory_get_usage());
        if ($frame === '') {
            return;
        }
        $this->line->sendFrame($frame);
        if ($now >= $this->collectAt) {
            \gc_collect_cycles();
            $this->collectAt = $now + self::COLLECT;
        }
    }

    /** Sends the verdicts and waits until they have taken effect. */
    public function fence(): void
    {
        $this->line->mustBeOpen();
        $this->served($this->deadlines->id);
        $this->excuseFirst();
        $last = $this->deadlines->id;
        $wasSaid = $this->saidAck === $last;
        $isMistaken = !$this->guarded && $this->deadlines->isMistaken();
        if (($wasSaid || $isMistaken) && $this->verdicts->takeAck($last)) {
            $reason = $wasSaid ? null : 'deadline: it returned after its time';
            $this->verdicts->add($last, $wasSaid ? Verdict::Ack : Verdict::Retry, -1, $reason);
        }
        $this->flush(\hrtime(true));
        $this->line->send(Word::SYNC, [++$this->nAskedSync]);
        $giveUp = \hrtime(true) + (int) (self::ANSWER * 1e9);
        while ($this->heard->nSynced < $this->nAskedSync) {
            if (\hrtime(true) >= $giveUp) {
                throw $this->line->fail(new ConnectionLost('qbus-proxy does not answer'));
            }
            $this->line->receive(Transport::PATIENCE);
        }
    }

    /**
     * Whether a CANCEL has come, after a look at what lies here; also where the proxy took an earlier delivery for this
     * one. When half of the time is over all is looked at, before that no more than the handler may have ahead.
     */
    private function wasToldOf(int $id, int $now): bool
    {
        $isHalf = $this->deadlines->isHalfOver($now);
        while ($this->line->isOpen() && ($isHalf || !$this->line->isFull()) && $this->line->receive(0.0)) {
        }
        $this->served($this->deadlines->id);

        return $this->deadlines->wasMeant($id, $this->verdicts->firstAck());
    }

    /**
     * The proxy's clock is that of the first delivery without a verdict. Where that one's ack was kept while another
     * handler began and ran long, what was broken was not its call: its handler had ended. The other's may be.
     */
    private function excuseFirst(): void
    {
        $first = $this->verdicts->firstAck();
        if ($this->deadlines->mayMistake($first)) {
            $this->verdicts->takeAck($first);
            $this->verdicts->add($first, Verdict::Ack, -1, null);
            $this->deadlines->mistake($first);
        }
    }

    private function makeRoom(): void
    {
        if ($this->verdicts->isFull()) {
            $this->line->sendFrame($this->verdicts->take(\memory_get_usage()));
        }
    }
}
