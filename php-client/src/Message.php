<?php
// SPDX-License-Identifier: MIT

declare(strict_types=1);

namespace Qbus;

use Qbus\Wire\Body;
use Qbus\Wire\BodyStream;

/**
 * One delivery of one message, and the place to say what became of it.
 *
 * Kafka: `partition`, `offset`, `key` are set. AMQP: `routingKey`, `deliveryTag` are set. The others are null.
 * `timestamp` is Unix time in milliseconds, null when the broker does not tell it. All strings are bytes.
 *
 * What nearly every handler reads is stored; the other properties are looked up when they are asked for.
 *
 * A big body stays in the proxy: stream() reads it from there without ever holding it, `body` holds it whole.
 *
 * @property-read int                   $size        bytes of the body, known without reading it
 * @property-read string                $source      topic or queue
 * @property-read int|null              $partition
 * @property-read int|null              $offset
 * @property-read string|null           $routingKey
 * @property-read int|null              $deliveryTag
 * @property-read int|null              $timestamp
 * @property-read array<string, string> $headers     by name; of repeated names the last one
 */
final class Message
{
    /** Milliseconds, longer than the proxy grants anything. */
    private const MOST_MS = 1e12;

    /** Bytes of a file's name in a reason. */
    private const PLACE = 120;

    private bool $settled = false;

    /** Nanoseconds of hrtime; inside a part: that of the part. */
    private int $deadline = 0;

    /** @var array<int, mixed> as the protocol has it */
    private array $row = [];
    private ?Details $details = null;

    /** @var list<int> the deadlines around the part that runs, the message's own first; none outside of parts */
    private array $around = [];

    /** When the body is streamed; $body is then not set, and left to __get(). */
    private ?Body $streamed = null;

    public readonly int $id;
    public readonly ?string $key;
    public readonly string $body;

    /** @internal messages come from a session: this is a blank, and each message a filled copy of it */
    public function __construct(
        private Session $session,
        public readonly string $pipeline,
        public readonly int $attempt,
        private ?Guard $guard = null,
    ) {
    }

    /**
     * @internal
     *
     * @param mixed $row an array, if the proxy is right
     */
    public function fill(int $id, mixed $row, int $deadline): void
    {
        try {
            if (!isset($row[6])) {
                throw new \TypeError('a row with too few elements');
            }
            $this->id = $id;
            $this->row = $row;
            $this->key = $row[4];
            $this->deadline = $deadline;
            $body = $row[6];
            if (\is_string($body)) {
                $this->body = $body;
            } else {
                unset($this->body);
                $this->streamed = new Body($this->session, $id, $body);
            }
        } catch (\TypeError $error) {
            throw new ProtocolError("delivery {$id} is malformed", 0, $error);
        }
    }

    /** The handler has done its work, however long it took: never deliver this message again. */
    public function ack(): void
    {
        $this->say(Verdict::Ack);
    }

    /** Deliver it again, $after seconds from now; null: after the pipeline's backoff. */
    public function retry(?float $after = null, string $reason = ''): void
    {
        $this->say(Verdict::Retry, self::delayMs($after), $reason);
    }

    /** Do not deliver it again, put it aside as a dead letter. */
    public function reject(string $reason = ''): void
    {
        $this->say(Verdict::Reject, -1, $reason);
    }

    public function isSettled(): bool
    {
        return $this->settled || ($this->guard === null && $this->session->isServed($this->id));
    }

    /**
     * Runs a part of the handler, which shall end within $seconds; returns what it returns.
     *
     * Inside of it remaining(), isCancelled(), checkpoint() and the body's stream know this limit. A call that hangs
     * in it fails soon after the limit, as the network fails. What it returned too late does not count.
     *
     * @template T
     *
     * @param callable(): T $part
     *
     * @return T
     *
     * @throws DeadlineExceeded when the part took longer; what it threw itself is the previous exception
     */
    public function within(float $seconds, callable $part): mixed
    {
        if ($this->isSettled()) {
            throw new AlreadySettled($this->name() . ' has its verdict, no part of its handler has a limit any more');
        }
        $now = \hrtime(true);
        $left = \min($seconds * 1e9, $this->deadline - $now);
        if (!($left > 0)) {
            throw new DeadlineExceeded($this->name() . ' has no time left for a part of its handler');
        }
        $until = $this->session->beginPart($this->id, $now + (int) $left);
        $this->around[] = $this->deadline;
        $this->deadline = $until;
        $thrown = $result = null;
        try {
            $result = $part();
        } catch (\Throwable $thrown) {
        }
        $this->deadline = \array_pop($this->around);
        if ($this->session->endPart($this->id, $until)) {
            throw new DeadlineExceeded("a part of {$this->name()} took longer than {$seconds} s", 0, $thrown);
        }

        return $thrown === null ? $result : throw $thrown;
    }

    /**
     * Asks for at least $seconds from now; returns the seconds granted, which may be fewer.
     *
     * @throws DeadlineExceeded when the time is over or no more can be had
     */
    public function extend(float $seconds): float
    {
        if ($this->isSettled()) {
            throw new AlreadySettled($this->name() . ' has its verdict, there is nothing to extend');
        }
        $this->checkpoint();
        $granted = $this->session->extend($this->id, self::milliseconds($seconds), $this->deadline);
        if ($granted <= 0) {
            throw new DeadlineExceeded($this->name() . ' gets no more time');
        }
        $deadline = \hrtime(true) + $granted * 1_000_000;
        if ($this->around === []) {
            $this->deadline = $deadline;
        } else {
            $this->around[0] = $deadline;
        }

        return $granted / 1000;
    }

    /** Seconds until the deadline; 0.0 when it has passed. Good as the timeout of a call to somewhere else. */
    public function remaining(): float
    {
        return $this->session->isCancelled($this->id) ? 0.0 : \max(0.0, ($this->deadline - \hrtime(true)) / 1e9);
    }

    /** Whether the handler should end. */
    public function isCancelled(): bool
    {
        return \hrtime(true) >= $this->deadline || $this->session->isCancelled($this->id);
    }

    /** @throws DeadlineExceeded when the handler should end */
    public function checkpoint(): void
    {
        if ($this->isCancelled()) {
            throw new DeadlineExceeded($this->name() . ' is past its deadline');
        }
    }

    /**
     * The body as a stream of PHP, from its beginning, for fread(), fgets(), stream_copy_to_stream() and their like. Each
     * call opens another. Reading throws DeadlineExceeded when the time is over, AlreadySettled after the verdict.
     *
     * @return resource
     */
    public function stream()
    {
        return BodyStream::open($this);
    }

    /** Whether the body is one that stays in the proxy until it is read. */
    public function isStreamed(): bool
    {
        return $this->streamed !== null;
    }

    /**
     * All values of one header, in the order of the message.
     *
     * @return list<string>
     */
    public function headerValues(string $name): array
    {
        $values = [];
        $list = $this->row[5] ?? [];
        for ($i = 0, $n = \count($list); $i + 1 < $n; $i += 2) {
            if ((string) $list[$i] === $name) {
                $values[] = (string) $list[$i + 1];
            }
        }

        return $values;
    }

    /**
     * At most $n bytes of the body; '' only at its end.
     *
     * @internal
     */
    public function read(int $offset, int $n): string
    {
        if ($this->isSettled()) {
            throw new AlreadySettled($this->name() . ' has its verdict, its body cannot be read any more');
        }
        if (\hrtime(true) >= $this->deadline) {
            $this->checkpoint();
        }

        return $this->streamed?->read($offset, $n, $this) ?? \substr($this->body, $offset, $n);
    }

    /** @internal */
    public function deadline(): int
    {
        return $this->deadline;
    }

    /**
     * It is handled together with $first, and has the same time.
     *
     * @internal
     */
    public function join(self $first): void
    {
        $this->deadline = $first->deadline;
    }

    /**
     * Nobody has begun it.
     *
     * @internal
     */
    public function handBack(): void
    {
        $this->close();
        $this->session->settle($this->id, Verdict::Release, -1, null);
    }

    /**
     * What a handler's return means: a Reject or a Retry is that verdict, anything else an ack.
     *
     * @internal
     */
    public function returned(mixed $result): void
    {
        if ($result !== null && ($result instanceof Reject || $result instanceof Retry)) {
            $this->threw($result);
        } elseif (!$this->settled) {
            $this->settled = true;
            $this->session->ack($this->id);
        }
    }

    /**
     * What a handler's exception means.
     *
     * @internal
     */
    public function threw(\Throwable $thrown): void
    {
        $text = $thrown->getMessage();
        [$verdict, $delayMs, $reason] = match (true) {
            $thrown instanceof Reject => [Verdict::Reject, -1, $text],
            $thrown instanceof Retry => [Verdict::Retry, self::delayMs($thrown->after), $text],
            $thrown instanceof DeadlineExceeded => [Verdict::Retry, -1, "deadline: {$text}"],
            $thrown instanceof DoNotRetry => [Verdict::Reject, -1, self::whatAndWhere($thrown)],
            default => [Verdict::Retry, -1, self::whatAndWhere($thrown)],
        };
        $this->close();
        $this->session->settle($this->id, $verdict, $delayMs, $reason === '' ? null : $reason);
    }

    /** The place before the text, which may be long and cut: in the log after 200 bytes, in a dead letter after 1024. */
    private static function whatAndWhere(\Throwable $thrown): string
    {
        $class = \explode("\0", $thrown::class, 2)[0];
        $file = $thrown->getFile();
        if (\strlen($file) > self::PLACE) {
            $file = '...' . \substr($file, 3 - self::PLACE);
        }

        return "{$class} at {$file}:{$thrown->getLine()}: {$thrown->getMessage()}";
    }

    public function __get(string $name): mixed
    {
        if ($name === 'size') {
            return $this->streamed?->size ?? \strlen($this->body);
        }
        if ($name === 'body' && $this->streamed !== null) {
            return $this->streamed->whole ??= (string) \stream_get_contents($this->stream());
        }
        if (!\property_exists(Details::class, $name)) {
            throw new \LogicException("a message has no property {$name}");
        }

        return ($this->details ??= Details::ofRow($this->row))->$name;
    }

    public function __isset(string $name): bool
    {
        return $name === 'size' || $name === 'body'
            || (\property_exists(Details::class, $name) && $this->__get($name) !== null);
    }

    public function __set(string $name, mixed $value): void
    {
        throw new \LogicException("a message cannot be changed, nor its property {$name}");
    }

    private function say(Verdict $verdict, int $delayMs = -1, string $reason = ''): void
    {
        $this->close();
        $deadline = $this->around[0] ?? $this->deadline;
        $this->session->say($this->id, $verdict, $delayMs, $reason === '' ? null : $reason, $deadline);
    }

    private static function delayMs(?float $after): int
    {
        return $after === null ? -1 : self::milliseconds($after);
    }

    /** What the proxy takes: it ends a session that asks for less than nothing, and INF is no integer. */
    private static function milliseconds(float $seconds): int
    {
        return (int) \round(\min(\max(0.0, $seconds) * 1000, self::MOST_MS));
    }

    private function close(): void
    {
        // As isSettled(), without the call: every verdict that is said comes through here.
        if ($this->settled || ($this->guard === null && $this->session->isServed($this->id))) {
            throw new AlreadySettled($this->name() . ' has its verdict already');
        }
        $this->settled = true;
        if ($this->guard !== null) {
            $this->guard->armed = false;
        }
    }

    private function name(): string
    {
        return "message {$this->id} of {$this->pipeline}";
    }
}
