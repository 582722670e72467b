<?php
// SPDX-License-Identifier: MIT

declare(strict_types=1);

namespace Qbus;

use Qbus\Wire\Body;
use Qbus\Wire\Connection;
use Qbus\Wire\Deadlines;
use Qbus\Wire\Deliveries;
use Qbus\Wire\Heard;
use Qbus\Wire\Limit;
use Qbus\Wire\Line;
use Qbus\Wire\Transport;
use Qbus\Wire\Verdicts;
use Qbus\Wire\Word;

/**
 * One session with qbus-proxy: messages in, verdicts out.
 *
 * Verdicts are gathered and sent together, but never kept while next() waits, nor for more than a moment while handlers
 * run. All waiting ends at a signal's flag (see stop()), at the proxy's DRAIN, or with an exception.
 */
final class Client implements Session
{
    public const VERSION = '0.1.0';

    /** Nanoseconds between two collections of garbage. */
    private const COLLECT = 1_000_000_000;

    /** Seconds in which the proxy has to answer HELLO, and SYNC. */
    private const ANSWER = 10.0;

    /** What $servedFrom is when no Worker serves. */
    private const NEVER = \PHP_INT_MAX;

    private readonly Deadlines $deadlines;
    private readonly Deliveries $deliveries;
    private readonly Heard $heard;
    private readonly Line $line;
    private readonly Verdicts $verdicts;
    private bool $stopping = false;

    /** A Worker has served all before this id that have no verdict of their own; they are acked, but not counted yet. */
    private int $servedFrom = self::NEVER;

    /** The last id that was acked by word. */
    private int $saidAck = 0;
    private int $nAskedSync = 0;
    private int $collectAt = 0;

    private function __construct(
        string $socket,
        private readonly bool $guarded,
        private readonly bool $batches,
    ) {
        $connection = Connection::open($socket);
        $this->deadlines = new Deadlines($batches);
        $this->deliveries = new Deliveries($connection->inbox);
        $this->heard = new Heard($connection->inbox, $this->deadlines);
        $this->line = new Line($connection, $this->heard, $this->deadlines);
        $this->verdicts = new Verdicts();
    }

    /**
     * Attaches to the proxy as a worker of these pipelines.
     *
     * @param string|list<string> $pipelines
     * @param string|null         $socket  path of the proxy's socket; null: the environment's QBUS_SOCKET
     * @param int                 $credit  the most messages to hold at once; 0: the proxy decides
     * @param bool                $guarded whether a message dropped without a verdict raises MessageDropped
     * @param bool                $batches whether messages that are held together are handled together, so that what
     *                                     breaks a call for one of them spoils all
     *
     * @throws ConnectionLost|ProtocolError|ProxyError
     */
    public static function connect(
        string|array $pipelines,
        ?string $socket = null,
        int $credit = 0,
        bool $guarded = true,
        bool $batches = false,
    ): self {
        $client = new self($socket ?? self::socketFromEnvironment(), $guarded, $batches);
        $client->greet((array) $pipelines, $credit);

        return $client;
    }

    public static function socketFromEnvironment(): string
    {
        $socket = (string) \getenv('QBUS_SOCKET');
        if ($socket === '') {
            throw new ConnectionLost('QBUS_SOCKET is not set: no proxy to connect to');
        }

        return $socket;
    }

    /**
     * The next message; null when $timeout seconds have passed, or when no more will come (isFinished()).
     *
     * @throws ConnectionLost|ProtocolError|ProxyError
     */
    public function next(?float $timeout = null): ?Message
    {
        $now = \hrtime(true);
        $deliveries = $this->deliveries;
        if ($deliveries->row === $deliveries->nRows || $now >= $this->deadlines->dueAt) {
            if (!$this->pause($now, $timeout === null ? \PHP_INT_MAX : $now + (int) ($timeout * 1e9))) {
                return null;
            }
            $now = \hrtime(true);
        }
        $id = $deliveries->firstId + $deliveries->row;
        $message = new Message($this, $deliveries->pipeline, $deliveries->attempt);
        try {
            $message->fill($id, $deliveries->rows[$deliveries->row++], $now + $deliveries->timeout);
        } catch (ProtocolError $error) {
            throw $this->line->fail($error);
        }
        $this->deadlines->id = $id;
        $this->deadlines->begun = $now;
        if ($this->guarded) {
            $message->watch(new Guard($this, $id));
            $this->deadlines->giveOut($id, $now);
        }

        return $message;
    }

    /**
     * The next frame of deliveries, for a Worker that serves them in their order: it writes down in deadlines() which it
     * has begun and when, and asks mayBegin() when something is due. All have been acked that have no other verdict when
     * the next begins. Null when no more will come.
     *
     * @internal
     */
    public function nextFrame(): ?Deliveries
    {
        $this->served($this->deliveries->firstId + $this->deliveries->nRows);
        $this->deliveries->clear();
        if (!$this->pause(\hrtime(true), \PHP_INT_MAX)) {
            return null;
        }
        $this->deadlines->begun = \PHP_INT_MAX; // the last one did not run while this waited
        $this->servedFrom = $this->deliveries->firstId;

        return $this->deliveries;
    }

    /** @internal does what is due before this delivery; whether it may begin, or no more may */
    public function mayBegin(int $id): bool
    {
        $this->served($id);
        $this->deliveries->row = $id - $this->deliveries->firstId;

        return $this->pause(\hrtime(true), \PHP_INT_MAX);
    }

    /** @internal the handlers of all before this delivery have returned */
    public function served(int $id): void
    {
        if ($id > $this->servedFrom) {
            $this->verdicts->addRun($this->servedFrom, $id - $this->servedFrom);
            $this->servedFrom = $id;
        }
    }

    /** @internal */
    public function deadlines(): Deadlines
    {
        return $this->deadlines;
    }

    /** @internal */
    public function isServed(int $id): bool
    {
        return $this->servedFrom !== self::NEVER && ($id !== $this->deadlines->id || $id < $this->servedFrom);
    }

    /**
     * What comes within $wait seconds behind $first, up to $size messages with it, all of its pipeline: one of another
     * is left for the next call. Empty when stop() was called; all are handed back then.
     *
     * @internal
     *
     * @return list<Message>
     */
    public function gather(Message $first, int $size, float $wait): array
    {
        $batch = [$first];
        $begun = $this->deadlines->begun;
        $until = \hrtime(true) + (int) ($wait * 1e9);
        do {
            $this->deadlines->begun = \PHP_INT_MAX;
            $message = \count($batch) < $size && $this->isNext($first->pipeline, $until) ? $this->next(0.0) : null;
            if ($message !== null) {
                $message->join($first);
                $batch[] = $message;
            }
        } while ($message !== null);
        if ($this->stopping) {
            foreach ($batch as $message) {
                $message->handBack();
            }

            return [];
        }
        $this->sendVerdicts();
        $this->deadlines->begun = $begun;
        $this->deadlines->lookAt($first->deadline());

        return $batch;
    }

    /** Seconds that a handler of this pipeline may take. */
    public function timeoutOf(string $pipeline): float
    {
        return ($this->heard->timeouts[$pipeline] ?? 0) / 1000;
    }

    /** Asks next() to return null, now and from now on. Does nothing else, so a signal handler may call it. */
    public function stop(): void
    {
        $this->stopping = true;
        $this->deadlines->dueAt = 0;
    }

    /** Whether nothing more will come: stop() was called, or the proxy drains. */
    public function isFinished(): bool
    {
        return !$this->line->isOpen() || $this->stopping || ($this->heard->draining && $this->deliveries->isEmpty());
    }

    /** How many verdicts came too late and changed nothing. */
    public function lateVerdicts(): int
    {
        return $this->heard->nLate;
    }

    /** Sends the verdicts, hands back what was not begun, and leaves. */
    public function close(): void
    {
        if (!$this->line->isOpen()) {
            return;
        }
        try {
            foreach ($this->deadlines->givenOut() as $id) { // begun and never judged, as after an exception in a pull loop
                $this->settle($id, Verdict::Retry, -1, 'closed without a verdict');
            }
            $this->release();
            $this->flush(\hrtime(true));
            $this->sayBye();
        } finally {
            $this->line->hangUp();
        }
    }

    /** @internal */
    public function ack(int $id): void
    {
        if ($this->guarded) {
            $this->deadlines->takeBack($id);
        }
        if ($this->servedFrom <= $id) {
            $this->served($id + 1);
        } elseif (!$this->verdicts->ack($id)) {
            $this->line->mustBeOpen();
            $this->makeRoom();
        }
    }

    /** @internal */
    public function settle(int $id, Verdict $verdict, int $delayMs, ?string $reason): void
    {
        $this->line->mustBeOpen();
        if ($this->servedFrom <= $id && $id === $this->deadlines->id) {
            $this->served($id);
            $this->servedFrom = $id + 1;
        }
        $this->deadlines->takeBack($id);
        $this->verdicts->add($id, $verdict, $delayMs, $reason);
        $this->makeRoom();
    }

    /** @internal */
    public function say(int $id, Verdict $verdict, int $delayMs, ?string $reason, int $deadline): void
    {
        $isOver = $this->isOver($id, $deadline);
        if ($verdict !== Verdict::Ack || $isOver || $this->batches) {
            $this->settle($id, $verdict, $delayMs, $reason);
        } else {
            $this->saidAck = $id;
            $this->ack($id);
        }
        if ($isOver) {
            $this->fence();
        }
    }

    /** @internal */
    public function beginPart(int $id, int $until): int
    {
        $this->line->mustBeOpen();
        $until = $this->deadlines->beginPart($until);
        $now = \hrtime(true);
        $this->flush($now);
        $ms = \intdiv($until - $now + 999_999, 1_000_000);
        $this->line->sendFrame(Limit::begin($id, $this->deadlines->level(), $ms));

        return $until;
    }

    /** @internal */
    public function endPart(int $id, int $until): bool
    {
        $this->line->mustBeOpen();
        $this->line->sendFrame(Limit::end($id, $this->deadlines->level()));
        $this->deadlines->endPart();
        // The clock is read behind the frame: what the proxy sees in time was sent in time.
        $isOver = $this->isOver($id, $until);
        if ($isOver) {
            $this->fence();
        }

        return $isOver;
    }

    /** @internal */
    public function extend(int $id, int $ms, int $deadline): int
    {
        $this->line->mustBeOpen();
        $this->flush(\hrtime(true));
        $this->line->send(Word::EXTEND, [$id, $ms]);
        $this->heard->extended = [];
        while (!isset($this->heard->extended[$id]) && ($left = $deadline - \hrtime(true)) > 0) {
            $this->line->receive(\min(Transport::PATIENCE, $left / 1e9));
        }
        $granted = $this->heard->extended[$id] ?? 0;
        if ($granted > 0 && ($id === $this->deadlines->id || $this->batches)) {
            $this->deadlines->lookAt(\hrtime(true) + $granted * 1_000_000);
        }

        return $granted;
    }

    /** @internal */
    public function ask(Body $body, int $offset, int $n): bool
    {
        $this->line->mustBeOpen();
        if (!$this->heard->expect($body)) {
            return false;
        }
        $this->line->send(Word::READ, [$body->id, $offset, $n]);

        return true;
    }

    /** @internal */
    public function await(int $deadline): void
    {
        $this->line->mustBeOpen();
        $now = \hrtime(true);
        $this->flush($now);
        $this->line->receive(\min(Transport::PATIENCE, \max(0, $deadline - $now) / 1e9));
    }

    /** @internal */
    public function isCancelled(int $id): bool
    {
        if ($this->line->isOpen()) {
            $now = \hrtime(true);
            if ($now >= $this->deadlines->dueAt) {
                $this->flush($now);
            }
            if (!$this->line->isFull()) {
                $this->line->receive(0.0);
            }
        }

        return $this->deadlines->isCancelled($id);
    }

    /** @internal sends the verdicts that wait for company */
    public function sendVerdicts(): void
    {
        $this->line->mustBeOpen();
        $this->flush(\hrtime(true));
    }

    /**
     * What keeps growing in this process, found by looking $looks times; replaces what was said before.
     *
     * @internal
     *
     * @param list<array{string, int, int, int}> $rows path, looks, in how many of them it grew, bytes
     */
    public function sendLeaks(int $looks, array $rows): void
    {
        $this->line->mustBeOpen();
        $this->line->send(Word::LEAK, [$looks, $rows]);
    }

    /** @internal */
    public function dropped(int $id): void
    {
        if ($this->line->isOpen()) {
            $isOver = $this->deadlines->wasOutLong($id, \hrtime(true));
            $this->settle($id, Verdict::Retry, -1, 'dropped without a verdict');
            if ($isOver) {
                $this->fence();
            }
            throw new MessageDropped("message {$id} was dropped without a verdict");
        }
    }

    /** @param list<string> $pipelines */
    private function greet(array $pipelines, int $credit): void
    {
        $this->line->send(Word::HELLO, [
            'protocol' => 1,
            'client' => 'qbus-php/' . self::VERSION . ' php/' . \PHP_VERSION,
            'pipelines' => \array_values($pipelines),
            'credit' => $credit,
            'streams' => 1,
            'signals' => (int) self::handlesTheSignal(),
            'batches' => (int) $this->batches,
        ]);
        $until = \hrtime(true) + (int) (self::ANSWER * 1e9);
        while (!$this->heard->welcomed) {
            if (\hrtime(true) >= $until || $this->heard->draining) {
                $this->line->hangUp();
                throw new ConnectionLost('qbus-proxy does not take this worker');
            }
            $this->line->receive(Transport::PATIENCE);
        }
    }

    /** Whether SIGUSR1, with which the proxy wakes a sleeper, does not end this process. */
    private static function handlesTheSignal(): bool
    {
        return \extension_loaded('pcntl') && \is_callable(\pcntl_signal_get_handler(\SIGUSR1));
    }

    /** Waits until $until for a delivery; whether there is one and it is of this pipeline. */
    private function isNext(string $pipeline, int $until): bool
    {
        return (!$this->deliveries->isEmpty() || $this->refill($until)) && $this->deliveries->pipeline === $pipeline;
    }

    /** What is not done between any two messages; whether there is a next one before $until. */
    private function pause(int $now, int $until): bool
    {
        $this->line->mustBeOpen();
        if ($this->deadlines->isLong($now)) {
            $this->lookBack($now);
        }
        if ($now >= $this->deadlines->dueAt) {
            $this->flush($now);
        }

        return $this->deliveries->isEmpty() ? $this->refill($until) : !$this->stopping;
    }

    /** Opens the next frame of deliveries, waiting for it until $until; false: there is none. */
    private function refill(int $until): bool
    {
        $this->line->mustBeOpen();
        $this->deliveries->clear();
        for ($left = 1; !$this->stopping; ) {
            if ($this->open()) {
                return true;
            }
            $now = \hrtime(true);
            $this->flush($now);
            if ($this->heard->draining || $left <= 0) {
                return false;
            }
            $left = \max(0, $until - $now);
            $this->line->receive(\min(Transport::PATIENCE, $left / 1e9));
        }

        return false;
    }

    /** Opens the next frame of deliveries, if there is one here. */
    private function open(): bool
    {
        try {
            if (!$this->deliveries->open($this->heard->pipelines)) {
                return false;
            }
        } catch (ProtocolError $error) {
            throw $this->line->fail($error);
        }
        if ($this->deliveries->timeout !== $this->deadlines->timeout()) {
            // Verdicts do not wait behind a handler that has another time: the proxy would take it for theirs.
            $this->flush(\hrtime(true));
            $this->deadlines->setTimeout($this->deliveries->timeout);
        }

        return true;
    }

    /**
     * The last message took long. Was that too long, by this clock or by the proxy's? Then its verdict goes out and has
     * its effect before anything else begins, or the next call could be broken for its sake.
     */
    private function lookBack(int $now): void
    {
        if ($this->deadlines->isOver($now) || $this->wasToldOf($this->deadlines->id, $now)) {
            $this->fence();
            if ($this->batches) {
                // What lies here was held together with what may have been broken: let it begin anew.
                $this->release();
                $this->deadlines->forgetCancelled();
            }
        }
        $this->deadlines->finish();
    }

    /** Whether the time of a delivery is over, by this clock, or because the proxy says so of what took long. */
    private function isOver(int $id, int $deadline): bool
    {
        $now = \hrtime(true);

        return $now >= $deadline || $this->deadlines->isCancelled($id)
            || ($this->deadlines->hasTakenLong($id, $now) && $this->wasToldOf($id, $now));
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

    /** Sends the verdicts and waits until they have taken effect. */
    private function fence(): void
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

    private function flush(int $now): void
    {
        $this->deadlines->setDue($now);
        if ($this->stopping) {
            $this->deadlines->dueAt = 0; // behind setDue(): the signal may have come in its midst
        }
        $this->served($this->deadlines->id);
        if ($this->deadlines->isLookedAt() || $this->deadlines->isHalfOver($now)) {
            $this->excuseFirst();
        }
        if ($this->verdicts->isEmpty()) {
            return;
        }
        $this->line->send(Word::SETTLE, $this->verdicts->take(\memory_get_usage()));
        if ($now >= $this->collectAt) {
            \gc_collect_cycles();
            $this->collectAt = $now + self::COLLECT;
        }
    }

    private function makeRoom(): void
    {
        if ($this->verdicts->isFull()) {
            $this->line->send(Word::SETTLE, $this->verdicts->take(\memory_get_usage()));
        }
    }

    /** Hands back every delivery that nobody has begun. */
    private function release(): void
    {
        $deliveries = $this->deliveries;
        do {
            while (!$deliveries->isEmpty()) {
                $this->settle($deliveries->firstId + $deliveries->row++, Verdict::Release, -1, null);
            }
        } while ($this->open());
        $deliveries->clear();
    }

    private function sayBye(): void
    {
        try {
            $this->line->send(Word::BYE, ['reason' => $this->heard->draining ? 'drained' : 'stopped']);
        } catch (ConnectionLost) {
            // The verdicts are out; a proxy that drains too may be gone before it hears the rest.
        }
    }
}
