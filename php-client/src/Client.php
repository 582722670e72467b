<?php
// SPDX-License-Identifier: MIT

declare(strict_types=1);

namespace Qbus;

use Qbus\Wire\Body;
use Qbus\Wire\Connection;
use Qbus\Wire\Limit;
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

    /** Nanoseconds after which a handler's end is looked at: it may have been told to end, and a call of its broken. */
    private const LONG = 50_000_000;

    /** Nanoseconds between two collections of garbage. */
    private const COLLECT = 1_000_000_000;

    /** Seconds in which the proxy has to answer HELLO, and SYNC. */
    private const ANSWER = 10.0;

    /** Pieces of bodies asked for and not come yet; the proxy allows a megabyte. */
    private const MAX_ASKED = 6;

    /** Cancellations remembered; those of messages with a verdict are of no use. */
    private const MAX_CANCELLED = 64;

    private readonly Connection $connection;
    private readonly Verdicts $verdicts;

    /** @var list<string> names by the proxy's numbers */
    private array $pipelines = [];

    /** @var array<string, int> milliseconds that a handler may take, by the pipeline's name */
    private array $timeouts = [];
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

    /** @var array<int, int> id => when it has taken long; what a guarded client has given out and nobody has judged */
    private array $out = [];

    // The delivery given out last: when it was (never: it is done with), after how long its end is looked at, and when
    // its time is over where that is not $timeout later; the last id that was acked by word.
    private int $begun = \PHP_INT_MAX;
    private int $long = \PHP_INT_MAX;
    private int $until = 0;
    private int $saidAck = 0;

    /** @var array<int, int> id => an earlier one whose ack was kept while that one's handler ran, and ran long */
    private array $mistaken = [];

    /** @var list<int> when the parts end that run, one inside the other */
    private array $parts = [];
    private int $nAskedSync = 0;
    private int $nSynced = 0;

    // The run of consecutive acks that grows, [ackFirst, ackNext[, and the time at which verdicts are due.
    private int $ackFirst = 0;
    private int $ackNext = 0;
    private int|float $flushAt = 0;
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

    private function __construct(
        string $socket,
        private readonly bool $guarded,
        private readonly bool $batches,
    ) {
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
        if ($this->row === $this->nRows || $now >= $this->flushAt) {
            if (!$this->pause($now, $timeout)) {
                return null;
            }
            $now = \hrtime(true);
        } elseif ($this->stopping) {
            return null;
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
        $this->begun = $now;
        if ($this->guarded) {
            $message->watch(new Guard($this, $id));
            $this->out[$id] = $now + $this->long;
        }

        return $message;
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
        $begun = $this->begun;
        $until = \hrtime(true) + (int) ($wait * 1e9);
        do {
            $this->begun = \PHP_INT_MAX;
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
        $this->begun = $begun;
        $this->lookBackAt($first->deadline());

        return $batch;
    }

    /** Seconds that a handler of this pipeline may take. */
    public function timeoutOf(string $pipeline): float
    {
        return ($this->timeouts[$pipeline] ?? 0) / 1000;
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
        $this->makeRoom();
    }

    /** @internal */
    public function settle(int $id, Verdict $verdict, int $delayMs, ?string $reason): void
    {
        $this->mustBeOpen();
        unset($this->out[$id]);
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
        $this->mustBeOpen();
        $level = \count($this->parts) + 1;
        if ($level > Limit::LEVELS) {
            throw new \LogicException('parts of a handler nest ' . Limit::LEVELS . ' deep at most');
        }
        $until = \min($until, $this->parts[$level - 2] ?? $until);
        $now = \hrtime(true);
        $this->flush($now);
        $this->sendFrame(Limit::begin($id, $level, \intdiv($until - $now + 999_999, 1_000_000)));
        $this->parts[] = $until;

        return $until;
    }

    /** @internal */
    public function endPart(int $id, int $until): bool
    {
        $this->mustBeOpen();
        $this->sendFrame(Limit::end($id, \count($this->parts)));
        \array_pop($this->parts);
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
        $this->mustBeOpen();
        $this->flush(\hrtime(true));
        $this->send(Word::EXTEND, [$id, $ms]);
        unset($this->extended[$id]);
        while (!isset($this->extended[$id]) && ($left = $deadline - \hrtime(true)) > 0) {
            $this->receive(\min(Transport::PATIENCE, $left / 1e9));
        }
        $granted = $this->extended[$id] ?? 0;
        $this->extended = [];
        if ($granted > 0 && ($id === $this->lastId() || $this->batches)) {
            $this->lookBackAt(\hrtime(true) + $granted * 1_000_000);
        }

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

        return $this->isTold($id);
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
            $isOver = \hrtime(true) >= ($this->out[$id] ?? \PHP_INT_MAX);
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
        $this->send(Word::HELLO, [
            'protocol' => 1,
            'client' => 'qbus-php/' . self::VERSION . ' php/' . \PHP_VERSION,
            'pipelines' => \array_values($pipelines),
            'credit' => $credit,
            'streams' => 1,
            'signals' => (int) self::handlesTheSignal(),
            'batches' => (int) $this->batches,
        ]);
        $until = \hrtime(true) + (int) (self::ANSWER * 1e9);
        while (!$this->welcomed) {
            if (\hrtime(true) >= $until || $this->draining) {
                $this->hangUp();
                throw new ConnectionLost('qbus-proxy does not take this worker');
            }
            $this->receive(Transport::PATIENCE);
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
        return ($this->row < $this->nRows || $this->refill($until)) && $this->pipeline === $pipeline;
    }

    /** What is not done between any two messages; whether there is a next one. */
    private function pause(int $now, ?float $timeout): bool
    {
        $until = $timeout === null ? \PHP_INT_MAX : $now + (int) ($timeout * 1e9);
        if ($now - $this->begun >= $this->long) {
            $this->lookBack($now);
        }
        if ($now >= $this->flushAt) {
            $this->flush($now);
        }

        return $this->row === $this->nRows ? $this->refill($until) : !$this->stopping;
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
                $this->setTimeout($remainingMs * 1_000_000);
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

    /** Verdicts do not wait behind a handler that has another time than theirs: the proxy would take it for theirs. */
    private function setTimeout(int $timeout): void
    {
        if ($timeout !== $this->timeout) {
            $this->flush(\hrtime(true));
            $this->timeout = $timeout;
            // 0 was asked for: see lookBackAt() and hearCancel().
            $this->long = $this->long === 0 ? 0 : \min(self::LONG, $timeout >> 1);
        }
    }

    /** Whether anything came. */
    private function receive(float $wait): bool
    {
        try {
            $came = $this->connection->receive($wait);
            $this->listen();

            return $came;
        } catch (QbusException $failure) {
            throw $this->fail($failure);
        }
    }

    private function send(int $word, mixed $value): void
    {
        try {
            $this->connection->send($word, $value);
        } catch (QbusException $failure) {
            throw $this->failSending($failure);
        }
        $this->listen();
    }

    private function sendFrame(string $frame): void
    {
        try {
            $this->connection->sendFrame($frame);
        } catch (QbusException $failure) {
            throw $this->failSending($failure);
        }
    }

    private function failSending(QbusException $failure): QbusException
    {
        $this->fail($failure);
        $this->hearLastWords();

        return $this->failure;
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
                    Word::SYNCED => $this->nSynced = $value[0],
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
        $this->timeouts = \array_column($welcome['pipelines'] ?? [], 'timeout_ms', 'name');
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
        $this->long = $this->flushAt = 0;
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

    /**
     * The last message took long. Was that too long, by this clock or by the proxy's? Then its verdict goes out and has
     * its effect before anything else begins, or the next call could be broken for its sake.
     */
    private function lookBack(int $now): void
    {
        if ($now >= ($this->until ?: $this->begun + $this->timeout) || $this->wasToldOf($this->lastId(), $now)) {
            $this->fence();
            if ($this->batches) {
                // What lies here was held together with what may have been broken: let it begin anew.
                $this->release();
                $this->cancelled = [];
            }
        }
        $this->begun = \PHP_INT_MAX;
        $this->long = \min(self::LONG, $this->timeout >> 1);
        $this->until = 0;
    }

    /** What runs is looked at when it ends, however short it was; it has time until then. */
    private function lookBackAt(int $until): void
    {
        $this->long = $this->flushAt = 0;
        $this->until = $until;
    }

    private function lastId(): int
    {
        return $this->firstId + $this->row - 1;
    }

    /** Whether the time of a delivery is over, by this clock, or because the proxy says so of what took long. */
    private function isOver(int $id, int $deadline): bool
    {
        $now = \hrtime(true);

        return $now >= $deadline || $this->isTold($id)
            || ($now >= ($this->out[$id] ?? $this->begun + $this->long) && $this->wasToldOf($id, $now));
    }

    /**
     * As isTold(), after a look at what has come; also where the proxy took an earlier delivery for this one. When half
     * of the time is over all is looked at, before that no more than the handler may have ahead.
     */
    private function wasToldOf(int $id, int $now): bool
    {
        $isHalf = $this->isHalfOver($now);
        while ($this->open && ($isHalf || !$this->connection->inbox->isFull()) && $this->receive(0.0)) {
        }
        $earlier = $this->mistaken[$id] ?? ($this->verdicts->firstAck() ?: $this->ackFirst);

        return $this->isTold($id) || isset($this->cancelled[$earlier]);
    }

    private function isHalfOver(int $now): bool
    {
        return $now - $this->begun >= $this->timeout >> 1;
    }

    /** Whether a CANCEL has come for it, or for one that is handled together with it. */
    private function isTold(int $id): bool
    {
        return isset($this->cancelled[$id]) || ($this->batches && $this->cancelled !== []);
    }

    /** Sends the verdicts and waits until they have taken effect. */
    private function fence(): void
    {
        $this->mustBeOpen();
        $this->endRun();
        $this->excuseFirst();
        $last = $this->lastId();
        $wasSaid = $this->saidAck === $last;
        $isMistaken = !$this->guarded && isset($this->mistaken[$last]);
        if (($wasSaid || $isMistaken) && $this->verdicts->takeAck($last)) {
            $reason = $wasSaid ? null : 'deadline: it returned after its time';
            $this->verdicts->add($last, $wasSaid ? Verdict::Ack : Verdict::Retry, -1, $reason);
        }
        $this->flush(\hrtime(true));
        $this->send(Word::SYNC, [++$this->nAskedSync]);
        $giveUp = \hrtime(true) + (int) (self::ANSWER * 1e9);
        while ($this->nSynced < $this->nAskedSync) {
            if (\hrtime(true) >= $giveUp) {
                throw $this->fail(new ConnectionLost('qbus-proxy does not answer'));
            }
            $this->receive(Transport::PATIENCE);
        }
    }

    /**
     * The proxy's clock is that of the first delivery without a verdict. Where that one's ack was kept while another
     * handler began and ran long, what was broken was not its call: its handler had ended. The other's may be.
     */
    private function excuseFirst(): void
    {
        $first = $this->verdicts->firstAck();
        $last = $this->lastId();
        if ($first === 0 || $first === $last || $this->batches || isset($this->mistaken[$last])) {
            return;
        }
        $this->verdicts->takeAck($first);
        $this->verdicts->add($first, Verdict::Ack, -1, null);
        $this->mistaken = [$last => $first];
    }

    private function flush(int $now): void
    {
        // What took long is looked at when it ends, also when this is called at its very end.
        $this->flushAt = $this->long === 0 ? 0 : \min($now + self::GATHER, $this->begun + $this->long);
        $this->endRun();
        if ($this->long === 0 || $this->isHalfOver($now)) {
            $this->excuseFirst();
        }
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

    private function makeRoom(): void
    {
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
