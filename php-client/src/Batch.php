<?php
// SPDX-License-Identifier: MIT

declare(strict_types=1);

namespace Qbus;

/**
 * How a worker makes batches of a pipeline's messages, and what becomes of those to which the handler gave no verdict.
 *
 * @internal
 */
final class Batch
{
    /** @param callable(list<Message>): mixed $handler */
    public function __construct(
        public readonly int $size,
        public readonly float $wait,
        public readonly mixed $handler,
    ) {
        if ($size < 1 || !($wait >= 0.0)) {
            throw new \LogicException('a batch has at least one message and does not wait for less than nothing');
        }
    }

    /** @param list<Message> $messages */
    public static function returned(array $messages, mixed $result): void
    {
        foreach ($messages as $message) {
            if (!$message->isSettled()) {
                $message->returned($result);
            }
        }
    }

    /**
     * Whether there was one to settle.
     *
     * @param list<Message> $messages
     */
    public static function threw(array $messages, \Throwable $thrown): bool
    {
        $open = \array_filter($messages, static fn (Message $message) => !$message->isSettled());
        foreach ($open as $message) {
            $message->threw($thrown);
        }

        return $open !== [];
    }
}
