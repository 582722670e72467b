<?php
// SPDX-License-Identifier: MIT

declare(strict_types=1);

namespace Qbus\Testing;

use Qbus\Batch;
use Qbus\Message;
use Qbus\Session;
use Qbus\Verdict;
use Qbus\Wire\Body;

/**
 * A proxy without a socket, for the tests of an application's handlers: messages in, verdicts out.
 *
 *     $proxy = new FakeProxy();
 *     $settled = $proxy->handle($handler, $proxy->message('{"id": 7}', headers: ['type' => 'order']));
 *     assert($settled->verdict === Verdict::Ack);
 */
final class FakeProxy implements Session
{
    private int $lastId = 0;

    /** @var array<int, Settled> */
    private array $settled = [];

    /** @var array<int, true> */
    private array $cancelled = [];

    /** @var array<int, string> those that are streamed, by id */
    private array $bodies = [];
    private float $maxExtension = 600.0;

    /**
     * A message to hand to a handler. With $routingKey it looks like one of AMQP, else like one of Kafka.
     *
     * @param array<string, string|list<string>> $headers
     * @param float                              $timeout seconds until its deadline
     * @param bool                               $streamed whether the body stays here until it is read, as a big one does
     */
    public function message(
        string $body = '',
        ?string $key = null,
        array $headers = [],
        ?string $routingKey = null,
        string $pipeline = 'test',
        string $source = 'test',
        int $attempt = 1,
        ?int $timestamp = null,
        float $timeout = 30.0,
        bool $streamed = false,
    ): Message {
        $id = ++$this->lastId;
        $list = [];
        foreach ($headers as $name => $values) {
            foreach ((array) $values as $value) {
                \array_push($list, (string) $name, $value);
            }
        }
        if ($streamed) {
            $this->bodies[$id] = $body;
            $body = \strlen($body);
        }
        $row = [$source, $routingKey ?? 0, $id, $timestamp ?? -1, $key, $list, $body];
        $deadline = \hrtime(true) + (int) ($timeout * 1e9);

        $message = new Message($this, $pipeline, $attempt);
        $message->fill($id, $row, $deadline);

        return $message;
    }

    /**
     * Does with the handler what a worker does, and says what came of it.
     *
     * @param callable(Message): mixed $handler
     */
    public function handle(callable $handler, Message $message): Settled
    {
        try {
            $message->returned($handler($message));
        } catch (\Throwable $thrown) {
            if ($message->isSettled()) {
                throw $thrown;
            }
            $message->threw($thrown);
        }

        return $this->settled[$message->id];
    }

    /**
     * Does with the handler what a worker does that was given it by onBatch(); what came of each message, in order.
     *
     * @param callable(list<Message>): mixed $handler
     * @param list<Message>                  $batch
     *
     * @return list<Settled>
     */
    public function handleBatch(callable $handler, array $batch): array
    {
        try {
            Batch::returned($batch, $handler($batch));
        } catch (\Throwable $thrown) {
            if (!Batch::threw($batch, $thrown)) {
                throw $thrown;
            }
        }

        return \array_map(fn (Message $message) => $this->settled[$message->id], $batch);
    }

    /** From now on the message is past its deadline, and so are the parts of its handler. */
    public function cancel(Message $message): void
    {
        $this->cancelled[$message->id] = true;
    }

    /** The most that extend() grants at once, in seconds; 0.0: nothing. */
    public function limitExtension(float $seconds): void
    {
        $this->maxExtension = $seconds;
    }

    /** What was said of this message, null when nothing was. */
    public function verdictOf(Message $message): ?Settled
    {
        return $this->settled[$message->id] ?? null;
    }

    /** @internal */
    public function ack(int $id): void
    {
        $this->settled[$id] = new Settled($id, Verdict::Ack);
    }

    /** @internal */
    public function isServed(int $id): bool
    {
        return false;
    }

    /** @internal */
    public function settle(int $id, Verdict $verdict, int $delayMs, ?string $reason): void
    {
        $this->settled[$id] = new Settled($id, $verdict, $delayMs < 0 ? null : $delayMs / 1000, $reason ?? '');
    }

    /** @internal */
    public function say(int $id, Verdict $verdict, int $delayMs, ?string $reason, int $deadline): void
    {
        $this->settle($id, $verdict, $delayMs, $reason);
    }

    /** @internal */
    public function beginPart(int $id, int $until): int
    {
        return $until;
    }

    /** @internal */
    public function endPart(int $id, int $until): bool
    {
        return \hrtime(true) >= $until || $this->isCancelled($id);
    }

    /** @internal */
    public function extend(int $id, int $ms, int $deadline): int
    {
        return \min($ms, (int) ($this->maxExtension * 1000));
    }

    /** @internal */
    public function isCancelled(int $id): bool
    {
        return isset($this->cancelled[$id]);
    }

    /** @internal */
    public function ask(Body $body, int $offset, int $n): bool
    {
        $body->hear($offset, \substr($this->bodies[$body->id], $offset, $n));

        return true;
    }

    /** @internal */
    public function await(int $deadline): void
    {
    }

    /** @internal */
    public function dropped(int $id): void
    {
    }
}
