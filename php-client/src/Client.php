<?php
// SPDX-License-Identifier: MIT

declare(strict_types=1);

namespace Qbus;

use Qbus\Wire\Body;
use Qbus\Wire\Connection;
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

    /** Nanoseconds for which verdicts may wait for company. */
    private const GATHER = 200_000;

    /** Nanoseconds between two collections of garbage. */
    private const COLLECT = 1_000_000_000;

    /** Seconds in which the proxy has to answer HELLO. */
    private const GREETING = 10.0;

    /** Pieces of bodies asked for and not come yet; the proxy allows a megabyte. */
    private const MAX_ASKED = 6;

    /** Cancellations remembered; those of messages with a verdict are of no use. */
    private const MAX_CANCELLED = 64;

    private readonly Connection $connection;
    private readonly Verdicts $verdicts;

    /** @var list<string> names by the proxy's numbers */
    private array $pipelines = [];
    private bool $open = true;
    private bool $welcomed = false;
    private bool $stopping = false;
    private bool $draining = false;

    // The deliveries of the current frame, and what they have in common.
    /** @var list<array<int, mixed>> */
    private array $rows = [];
    private int $row = 0;
    private int $nRows = 0;
    private int $firstId = 0;
    private string $pipeline = '';
    private int $attempt = 1;
    private int $timeout = 0;

    /** @var array<int, true> given out by a guarded client and not judged yet */
    private array $out = [];

    // The run of consecutive acks that grows, [ackFirst, ackNext[, and the time at which verdicts are due.
    private int $ackFirst = 0;
    private int $ackNext = 0;
    private int $flushAt = 0;
    private int $collectAt = 0;

    /** @var array<int, true> */
    private array $cancelled = [];

    /** @var array<int, int> id => milliseconds */
    private array $extended = [];

    /** @var array<int, \WeakReference<Body>> those that wait for pieces, by id; one that nobody reads any more is dead */
    private array $bodies = [];
    private int $nAsked = 0;
    private int $nLate = 0;
    private ?QbusException $failure = null;

    private function __construct(string $socket, private readonly bool $guarded)
    {
        $this->connection = Connection::open($socket);
        $this->verdicts = new Verdicts();
    }

    /**
     * Attaches to the proxy as a worker of these pipelines.
     *
     * @param string|list<string> $pipelines
     * @param string|null         $socket  path of the proxy's socket; null: the environment's QBUS_SOCKET
     * @param int                 $credit  the most messages to hold at once; 0: the proxy decides
     * @param bool                $guarded whether a message dropped without a verdict raises MessageDropped
     *
     * @throws ConnectionLost|ProtocolError|ProxyError
     */
    public static function connect(
        string|array $pipelines,
        ?string $socket = null,
        int $credit = 0,
        bool $guarded = true,
    ): self {
        $client = new self($socket ?? self::socketFromEnvironment(), $guarded);
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
        if ($this->row === $this->nRows) {
            if (!$this->refill($timeout === null ? \PHP_INT_MAX : $now + (int) ($timeout * 1e9))) {
                return null;
            }
            $now = \hrtime(true);
        } elseif ($this->stopping) {
            return null;
        } elseif ($now >= $this->flushAt) {
            $this->flush($now);
        }

        $id = $this->firstId + $this->row;
        try {
            $row = $this->rows[$this->row++];
            if (\count($row) < 7) {
                throw new \TypeError('a row with too few elements');
            }
            $message = new Message(
                $this,
                $id,
                $this->pipeline,
                $this->attempt,
                $row[4],
                $row[6],
                $row,
                $now + $this->timeout,
            );
        } catch (\TypeError $error) {
            throw $this->fail(new ProtocolError("delivery {$id} is malformed", 0, $error));
        }
        if ($this->guarded) {
            $message->watch(new Guard($this, $id));
            $this->out[$id] = true;
        }

        return $message;
    }

    /** Asks next() to return null, now and from now on. Does nothing else, so a signal handler may call it. */
    public function stop(): void
    {
        $this->stopping = true;
    }

    /** Whether nothing more will come: stop() was called, or the proxy drains. */
    public function isFinished(): bool
    {
        return !$this->open || $this->stopping || ($this->draining && $this->row === $this->nRows);
    }

    /** How many verdicts came too late and changed nothing. */
    public function lateVerdicts(): int
    {
        return $this->nLate;
    }

    /** Sends the verdicts, hands back what was not begun, and leaves. */
    public function close(): void
    {
        if (!$this->open) {
            return;
        }
        try {
            foreach (\array_keys($this->out) as $id) { // begun and never judged, as after an exception in a pull loop
                $this->settle($id, Verdict::Retry, -1, 'closed without a verdict');
            }
            $this->release();
            $this->flush(\hrtime(true));
            $this->sayBye();
        } finally {
            $this->hangUp();
        }
    }

    /** @internal */
    public function ack(int $id): void
    {
        if ($this->guarded) {
            unset($this->out[$id]);
        }
        if ($id === $this->ackNext) {
            ++$this->ackNext;

            return;
        }
        $this->mustBeOpen();
        $this->endRun();
        $this->ackFirst = $id;
        $this->ackNext = $id + 1;
        $this->forget($id);
    }

    /** @internal */
    public function settle(int $id, Verdict $verdict, int $delayMs, ?string $reason): void
    {
        $this->mustBeOpen();
        unset($this->out[$id]);
        $this->verdicts->add($id, $verdict, $delayMs, $reason);
        $this->forget($id);
    }

    /** @internal */
    public function extend(int $id, int $ms, int $deadline): int
    {
        $this->mustBeOpen();
        $this->flush(\hrtime(true));
        $this->send(Word::EXTEND, [$id, $ms]);
        unset($this->extended[$id]);
        while (!isset($this->extended[$id]) && ($left = $deadline - \hrtime(true)) > 0) {
            $this->receive(\min(Transport::PATIENCE, $left / 1e9));
        }
        $granted = $this->extended[$id] ?? 0;
        $this->extended = [];

        return $granted;
    }

    /** @internal */
    public function ask(Body $body, int $offset, int $n): bool
    {
        $this->mustBeOpen();
        if ($this->nAsked >= self::MAX_ASKED) {
            return false;
        }
        $this->bodies[$body->id] = \WeakReference::create($body);
        ++$this->nAsked;
        $this->send(Word::READ, [$body->id, $offset, $n]);

        return true;
    }

    /** @internal */
    public function await(int $deadline): void
    {
        $this->mustBeOpen();
        $now = \hrtime(true);
        $this->flush($now);
        $this->receive(\min(Transport::PATIENCE, \max(0, $deadline - $now) / 1e9));
    }

    /** @internal */
    public function isCancelled(int $id): bool
    {
        if ($this->open) {
            $now = \hrtime(true);
            if ($now >= $this->flushAt) {
                $this->flush($now);
            }
            if (!$this->connection->inbox->isFull()) {
                $this->receive(0.0);
            }
        }

        return isset($this->cancelled[$id]);
    }

    /** @internal sends the verdicts that wait for company */
    public function sendVerdicts(): void
    {
        $this->mustBeOpen();
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
        $this->mustBeOpen();
        $this->send(Word::LEAK, [$looks, $rows]);
    }

    /** @internal */
    public function dropped(int $id): void
    {
        if ($this->open) {
            $this->settle($id, Verdict::Retry, -1, 'dropped without a verdict');
            throw new MessageDropped("message {$id} was dropped without a verdict");
        }
    }

    /** @param list<string> $pipelines */
    private function greet(array $pipelines, int $credit): void
    {
        $this->send(Word::HELLO, [
            'protocol' => 1,
            'client' => 'qbus-php/' . self::VERSION . ' php/' . \PHP_VERSION,
            'pipelines' => \array_values($pipelines),
            'credit' => $credit,
            'streams' => 1,
        ]);
        $until = \hrtime(true) + (int) (self::GREETING * 1e9);
        while (!$this->welcomed) {
            if (\hrtime(true) >= $until || $this->draining) {
                $this->hangUp();
                throw new ConnectionLost('qbus-proxy does not take this worker');
            }
            $this->receive(Transport::PATIENCE);
        }
    }

    /** Opens the next frame of deliveries, waiting for it until $until; false: there is none. */
    private function refill(int $until): bool
    {
        $this->mustBeOpen();
        $this->rows = [];
        $this->row = $this->nRows = 0;
        for ($left = 1; !$this->stopping; ) {
            if ($this->openDelivery()) {
                return true;
            }
            $now = \hrtime(true);
            $this->flush($now);
            if ($this->draining || $left <= 0) {
                return false;
            }
            $left = \max(0, $until - $now);
            $this->receive(\min(Transport::PATIENCE, $left / 1e9));
        }

        return false;
    }

    /** Takes the next frame of deliveries out of the inbox, if there is one. */
    private function openDelivery(): bool
    {
        while (($value = $this->connection->inbox->nextDelivery()) !== null) {
            try {
                [$pipeline, $this->firstId, $this->attempt, $remainingMs, $rows] = $value;
                $this->pipeline = $this->pipelines[$pipeline] ?? null;
                $this->timeout = $remainingMs * 1_000_000;
                $this->nRows = \count($rows);
                $this->rows = $rows;
            } catch (\TypeError $error) {
                throw $this->fail(new ProtocolError('a DELIVER frame is malformed', 0, $error));
            }
            if ($this->nRows > 0) {
                return true;
            }
        }

        return false;
    }

    private function receive(float $wait): void
    {
        try {
            $this->connection->receive($wait);
            $this->listen();
        } catch (QbusException $failure) {
            throw $this->fail($failure);
        }
    }

    private function send(int $word, mixed $value): void
    {
        try {
            $this->connection->send($word, $value);
        } catch (QbusException $failure) {
            $this->fail($failure);
            $this->hearLastWords();
            throw $this->failure;
        }
        $this->listen();
    }

    /** From now on every call that needs the session throws this. */
    private function fail(QbusException $failure): QbusException
    {
        $this->open = false;
        $this->row = $this->nRows = 0;

        return $this->failure = $failure;
    }

    /** Handles every frame that is here, but for deliveries. */
    private function listen(): void
    {
        while (($frame = $this->connection->inbox->nextControl()) !== null) {
            [$word, $value] = $frame;
            try {
                match ($word) {
                    Word::WELCOME => $this->hearWelcome($value),
                    Word::CANCEL => $this->hearCancel($value[0]),
                    Word::EXTENDED => $this->extended[$value[0]] = $value[1],
                    Word::LATE => $this->nLate += \count($value),
                    Word::DRAIN => $this->draining = true,
                    Word::CHUNK => $this->hearChunk($value),
                    Word::ERROR => throw new ProxyError($value['code'] ?? '', $value['message'] ?? ''),
                };
            } catch (\TypeError $error) {
                throw new ProtocolError("a frame of word {$word} is malformed", 0, $error);
            }
        }
    }

    /** @param array<string, mixed> $welcome */
    private function hearWelcome(array $welcome): void
    {
        if (($welcome['protocol'] ?? 0) !== 1) {
            throw new ProtocolError('this proxy does not speak version 1');
        }
        $this->connection->inbox->setLimits($welcome['max_frame'] ?? 65536, $welcome['max_message'] ?? 0);
        $this->pipelines = \array_column($welcome['pipelines'] ?? [], 'name');
        $this->welcomed = true;
    }

    /** @param array<int, mixed> $chunk */
    private function hearChunk(array $chunk): void
    {
        [$id, $offset, $bytes] = $chunk;
        $this->nAsked = \max(0, $this->nAsked - 1);
        ($this->bodies[$id] ?? null)?->get()?->hear($offset, $bytes);
        if ($this->nAsked === 0) {
            $this->bodies = [];
        }
    }

    private function hearCancel(int $id): void
    {
        $this->cancelled[$id] = true;
        if (\count($this->cancelled) > self::MAX_CANCELLED) {
            unset($this->cancelled[\array_key_first($this->cancelled)]);
        }
    }

    /** The proxy may have said why before it hung up. */
    private function hearLastWords(): void
    {
        try {
            while ($this->connection->receive(0.0)) {
                $this->listen();
            }
        } catch (ProxyError $error) {
            $this->fail($error);
        } catch (QbusException) {
        }
    }

    private function flush(int $now): void
    {
        $this->flushAt = $now + self::GATHER;
        $this->endRun();
        if ($this->verdicts->isEmpty()) {
            return;
        }
        $this->send(Word::SETTLE, $this->verdicts->take(\memory_get_usage()));
        if ($now >= $this->collectAt) {
            \gc_collect_cycles();
            $this->collectAt = $now + self::COLLECT;
        }
    }

    private function endRun(): void
    {
        if ($this->ackNext > $this->ackFirst) {
            $this->verdicts->addRun($this->ackFirst, $this->ackNext - $this->ackFirst);
        }
        $this->ackFirst = $this->ackNext = 0;
    }

    private function forget(int $id): void
    {
        unset($this->cancelled[$id]);
        if ($this->verdicts->isFull()) {
            $this->send(Word::SETTLE, $this->verdicts->take(\memory_get_usage()));
        }
    }

    /** Hands back every delivery that next() has not given out. */
    private function release(): void
    {
        do {
            for (; $this->row < $this->nRows; ++$this->row) {
                $this->settle($this->firstId + $this->row, Verdict::Release, -1, null);
            }
            $this->row = $this->nRows = 0;
        } while ($this->openDelivery());
        $this->rows = [];
    }

    private function sayBye(): void
    {
        try {
            $this->send(Word::BYE, ['reason' => $this->draining ? 'drained' : 'stopped']);
        } catch (ConnectionLost) {
            // The verdicts are out; a proxy that drains too may be gone before it hears the rest.
        }
    }

    private function mustBeOpen(): void
    {
        if (!$this->open) {
            throw $this->failure ?? new ConnectionLost('the session is closed');
        }
    }

    private function hangUp(): void
    {
        $this->open = false;
        $this->connection->close();
    }
}
