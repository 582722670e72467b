<?php
// SPDX-License-Identifier: MIT

declare(strict_types=1);

namespace Qbus;

use Qbus\Wire\Body;
use Qbus\Wire\Connection;
use Qbus\Wire\Deadlines;
use Qbus\Wire\Deliveries;
use Qbus\Wire\Heard;
use Qbus\Wire\Inbox;
use Qbus\Wire\Limit;
use Qbus\Wire\Line;
use Qbus\Wire\Settler;
use Qbus\Wire\Transport;
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

    /** Seconds in which the proxy has to answer HELLO. */
    private const ANSWER = 10.0;

    /** @internal */
    public readonly Deadlines $deadlines;

    private readonly Deliveries $deliveries;
    private readonly Heard $heard;
    private readonly Inbox $inbox;
    private readonly Line $line;
    private readonly Settler $settler;

    private function __construct(
        string $socket,
        private readonly bool $guarded,
        private readonly bool $batches,
    ) {
        $connection = Connection::open($socket);
        $this->deadlines = new Deadlines($batches);
        $this->inbox = $connection->inbox;
        $this->deliveries = new Deliveries($this->inbox);
        $this->heard = new Heard($this->inbox, $this->deadlines);
        $this->line = new Line($connection, $this->heard, $this->deadlines);
        $this->settler = new Settler($this->line, $this->heard, $this->deadlines, $guarded, $batches);
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
        $guard = $this->guarded ? new Guard($this, $id) : null;
        $message = new Message($this, $deliveries->pipeline, $deliveries->attempt, $guard);
        try {
            $message->fill($id, $deliveries->rows[$deliveries->row++], $now + $deliveries->timeout);
        } catch (ProtocolError $error) {
            throw $this->line->fail($error);
        }
        $this->deadlines->begin($id, $now, $this->guarded);

        return $message;
    }

    /**
     * The next frame of deliveries, for a Worker that serves them in their order; null when no more will come.
     *
     * The Worker writes down in $deadlines which it has begun and when, and asks mayBegin() when something is due. The
     * begin of the next is the ack of one that has no other verdict.
     *
     * @internal
     */
    public function nextFrame(): ?Deliveries
    {
        $this->settler->served($this->deliveries->firstId + $this->deliveries->nRows);
        $now = \hrtime(true);
        if ($now >= $this->deadlines->dueAt) {
            $this->doWhatIsDue($now);
        }
        if (!$this->refill($now, \PHP_INT_MAX)) {
            return null;
        }
        $this->deadlines->begun = \PHP_INT_MAX; // the last one did not run while this waited
        $this->settler->serveFrom($this->deliveries->firstId);

        return $this->deliveries;
    }

    /** @internal does what is due before this delivery; whether it may begin, or no more may */
    public function mayBegin(int $id): bool
    {
        $this->settler->served($id);
        $this->deliveries->row = $id - $this->deliveries->firstId;

        return $this->pause(\hrtime(true), \PHP_INT_MAX);
    }

    /** @internal the handlers of all before this delivery have returned */
    public function served(int $id): void
    {
        $this->settler->served($id);
    }

    /** @internal */
    public function isServed(int $id): bool
    {
        return $this->settler->isServed($id);
    }

    /** @internal */
    public function ack(int $id): void
    {
        $this->settler->ack($id);
    }

    /** @internal */
    public function settle(int $id, Verdict $verdict, int $delayMs, ?string $reason): void
    {
        $this->settler->settle($id, $verdict, $delayMs, $reason);
    }

    /** @internal */
    public function say(int $id, Verdict $verdict, int $delayMs, ?string $reason, int $deadline): void
    {
        if ($verdict === Verdict::Ack && !$this->batches && $this->deadlines->isInTime($id, \hrtime(true), $deadline)) {
            $this->settler->ack($id, true);
        } else {
            $this->settler->say($id, $verdict, $delayMs, $reason, $deadline);
        }
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
        if ($this->deadlines->stopped) {
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
        $this->deadlines->stop();
    }

    /** Whether nothing more will come: stop() was called, or the proxy drains. */
    public function isFinished(): bool
    {
        return !$this->line->isOpen() || $this->deadlines->stopped
            || ($this->heard->draining && $this->deliveries->isEmpty());
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
            // Begun and never judged, as after an exception in a pull loop.
            foreach (\array_keys($this->deadlines->out) as $id) {
                $this->settle($id, Verdict::Retry, -1, 'closed without a verdict');
            }
            $this->release();
            $this->settler->flush(\hrtime(true));
            $this->sayBye();
        } finally {
            $this->line->hangUp();
        }
    }

    /** @internal */
    public function beginPart(int $id, int $until): int
    {
        $this->line->mustBeOpen();
        $until = $this->deadlines->beginPart($until);
        $now = \hrtime(true);
        $this->settler->flush($now);
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
        $isOver = $this->settler->isOver($id, $until);
        if ($isOver) {
            $this->settler->fence();
        }

        return $isOver;
    }

    /** @internal */
    public function extend(int $id, int $ms, int $deadline): int
    {
        $this->line->mustBeOpen();
        $this->settler->flush(\hrtime(true));
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
        $this->settler->flush($now);
        $this->line->receive(\min(Transport::PATIENCE, \max(0, $deadline - $now) / 1e9));
    }

    /** @internal */
    public function isCancelled(int $id): bool
    {
        if ($this->line->isOpen()) {
            $now = \hrtime(true);
            if ($now >= $this->deadlines->dueAt) {
                $this->settler->flush($now);
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
        $this->settler->flush(\hrtime(true));
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
                $this->settler->fence();
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
        return (!$this->deliveries->isEmpty() || $this->refill(\hrtime(true), $until))
            && $this->deliveries->pipeline === $pipeline;
    }

    /** What is not done between any two messages; whether there is a next one before $until. */
    private function pause(int $now, int $until): bool
    {
        $this->doWhatIsDue($now);

        return $this->deliveries->isEmpty() ? $this->refill(\hrtime(true), $until) : !$this->deadlines->stopped;
    }

    /** The session's work that no message has to wait for as long as none is due. */
    private function doWhatIsDue(int $now): void
    {
        $this->line->mustBeOpen();
        if ($this->deadlines->isLong($now)) {
            if ($this->settler->lookBack($now) && $this->batches) {
                // What lies here was held together with what may have been broken: let it begin anew.
                $this->release();
                $this->deadlines->forgetCancelled();
            }
            $this->deadlines->finish();
        }
        if ($now >= $this->deadlines->dueAt) {
            $this->settler->flush($now);
        }
    }

    /** Opens the next frame of deliveries in place of this one, waiting for it until $until; false: there is none. */
    private function refill(?int $now, int $until): bool
    {
        $this->deliveries->clear();
        $left = 1;
        while (!$this->deadlines->stopped) {
            if ($this->inbox->deliveries !== [] && $this->open()) {
                return true;
            }
            $now ??= \hrtime(true);
            $this->settler->flush($now);
            if ($this->heard->draining || $left <= 0) {
                return false;
            }
            $left = $until - $now;
            $this->line->receive($left > Transport::PATIENCE_NS ? Transport::PATIENCE : \max(0.0, $left / 1e9));
            $now = null; // of what has come nobody asks when it came
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
        if ($this->deliveries->timeout !== $this->deadlines->timeout) {
            // Verdicts do not wait behind a handler that has another time: the proxy would take it for theirs.
            $this->settler->flush(\hrtime(true));
            $this->deadlines->setTimeout($this->deliveries->timeout);
        }

        return true;
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
