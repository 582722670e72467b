<?php
// SPDX-License-Identifier: MIT

declare(strict_types=1);

namespace Qbus;

use Qbus\Leak\Check;
use Qbus\Wire\Deliveries;

/**
 * Serves pipelines with handlers, one message after the other or a batch after the other, until the proxy drains or a
 * signal says stop.
 *
 * A handler that returns has its message acked; one that throws has it retried, but for Reject, Retry and DoNotRetry.
 */
final class Worker
{
    /** @var array<string, callable(Message): mixed> */
    private array $handlers = [];

    /** @var array<string, Batch> */
    private array $batches = [];

    /** How many messages the last handler had. */
    private int $nTogether = 1;

    private function __construct(private readonly string $socket, private readonly int $credit)
    {
    }

    /**
     * The connection itself is made by run().
     *
     * @param string|null $socket path of the proxy's socket; null: the environment's QBUS_SOCKET
     * @param int         $credit the most messages to hold at once; 0: the proxy decides
     */
    public static function connect(?string $socket = null, int $credit = 0): self
    {
        return new self($socket ?? Client::socketFromEnvironment(), $credit);
    }

    /** @param callable(Message): mixed $handler */
    public function on(string $pipeline, callable $handler): self
    {
        unset($this->batches[$pipeline]);
        $this->handlers[$pipeline] = $handler;

        return $this;
    }

    /**
     * Gathers messages of this pipeline, up to $size or until $wait seconds after the first, and hands them over
     * together.
     *
     * The handler may give each its own verdict; what has none when it returns is acked, when it throws it is judged by
     * the exception. All have the time of the first, and the waiting is part of it. A message of another pipeline ends
     * the gathering, so that all are handled in the order in which they came.
     *
     * @param callable(list<Message>): mixed $handler
     */
    public function onBatch(string $pipeline, int $size, float $wait, callable $handler): self
    {
        unset($this->handlers[$pipeline]);
        $this->batches[$pipeline] = new Batch($size, $wait, $handler);

        return $this;
    }

    /**
     * Returns an exit status: 0 after SIGTERM, SIGINT or a drain, 1 after the proxy went away (it says so on stderr).
     *
     * @throws \LogicException          when no handler was given
     * @throws ProxyError|ProtocolError when this worker or its configuration is at fault
     */
    public function run(): int
    {
        if ($this->handlers === [] && $this->batches === []) {
            throw new \LogicException('this worker has no handler: call on() or onBatch() before run()');
        }
        $restore = [];
        try {
            // Before HELLO, which says whether there is a handler: the proxy's CANCEL frame tells of the deadline, and
            // Message::isCancelled() looks for it and at the clock. The signal has nothing to do but to come.
            $restore[] = self::catchSignals(['SIGUSR1'], static fn () => null);
            $client = $this->attach();
            $restore[] = self::catchSignals(['SIGTERM', 'SIGINT'], static fn () => $client->stop());
            $leaks = Check::fromEnvironment($client, $this->callables());
            if ($this->batches === []) {
                self::serve($client, $this->handlers, $leaks);
            } else {
                $this->serveBatches($client, $this->handlersWithBatches($client), $leaks);
            }
            $client->close();
        } catch (ConnectionLost $lost) {
            self::complain($lost->getMessage());

            return 1;
        } finally {
            foreach (\array_reverse($restore) as $putBack) {
                $putBack();
            }
        }

        return 0;
    }

    /** @return array<string, callable> as the application gave them */
    private function callables(): array
    {
        return $this->handlers + \array_map(static fn (Batch $batch): callable => $batch->handler, $this->batches);
    }

    private function attach(): Client
    {
        $sizes = \array_map(static fn (Batch $batch) => $batch->size, $this->batches);
        $client = Client::connect(
            \array_keys($this->handlers + $this->batches),
            $this->socket,
            $sizes === [] ? $this->credit : \max($this->credit, ...\array_values($sizes)),
            guarded: false,
            batches: $sizes !== [],
        );
        foreach ($this->batches as $pipeline => $batch) {
            $timeout = $client->timeoutOf($pipeline);
            if ($batch->wait >= $timeout) {
                $client->close();
                throw new \LogicException("a batch of {$pipeline} would wait {$batch->wait} s, and its handler_timeout"
                    . " is {$timeout} s, waiting included");
            }
        }

        return $client;
    }

    /** @param array<string, callable(Message): mixed> $handlers */
    private static function serve(Client $client, array $handlers, ?Check $leaks): void
    {
        $blank = null; // one for all frames of the same pipeline and attempt
        do {
            $frame = $client->nextFrame();
            if ($frame === null) {
                return;
            }
            if ($blank === null || $blank->attempt !== $frame->attempt || $blank->pipeline !== $frame->pipeline) {
                $blank = new Message($client, $frame->pipeline, $frame->attempt);
            }
        } while (self::serveFrame($client, $frame, $blank, $handlers[$frame->pipeline], $leaks));
    }

    /**
     * Whether there may be more. Here is what a message costs: the session is called when something is due, and not
     * between any two of them.
     */
    private static function serveFrame(
        Client $client,
        Deliveries $frame,
        Message $blank,
        callable $handler,
        ?Check $leaks,
    ): bool {
        $deadlines = $client->deadlines;
        $timeout = $frame->timeout;
        $id = $frame->firstId;
        foreach ($frame->rows as $row) {
            $now = \hrtime(true);
            if ($now >= $deadlines->dueAt) {
                if (!$client->mayBegin($id)) {
                    return false;
                }
                $now = \hrtime(true);
            }
            $message = clone $blank;
            $message->fill($id, $row, $now + $timeout);
            $deadlines->id = $id++;
            $deadlines->begun = $now;
            try {
                $result = $handler($message);
                if ($result instanceof \Throwable) {
                    $message->returned($result);
                }
            } catch (ConnectionLost | ProtocolError | ProxyError $end) {
                throw $end;
            } catch (\Throwable $thrown) {
                self::settleThrown([$message], $thrown);
                unset($thrown);
            }
            // Let go of the body before the next one comes.
            $message = $result = null;
            if ($leaks !== null) {
                $client->served($id);
                $leaks->settled();
            }
        }

        return true;
    }

    /**
     * One call of next() for each batch.
     *
     * @param array<string, callable(Message): mixed> $handlers those of handlersWithBatches()
     */
    private function serveBatches(Client $client, array $handlers, ?Check $leaks): void
    {
        while (($message = $client->next()) !== null) {
            try {
                $message->returned(($handlers[$message->pipeline])($message));
            } catch (ConnectionLost | ProtocolError | ProxyError $end) {
                throw $end;
            } catch (\Throwable $thrown) {
                self::settleThrown([$message], $thrown);
                unset($thrown);
            }
            $message = null;
            $leaks?->settled($this->nTogether);
        }
    }

    /**
     * The handlers of single messages, as they are called in a session that has batches, and what makes batches out of
     * their first messages. No verdict is kept while any of them runs: what breaks there spoils all that is held.
     *
     * @return array<string, callable(Message): mixed>
     */
    private function handlersWithBatches(Client $client): array
    {
        $single = function (callable $handler) use ($client): callable {
            return function (Message $message) use ($client, $handler): mixed {
                $this->nTogether = 1;
                $client->sendVerdicts();

                return $handler($message);
            };
        };
        $batch = fn (Batch $batch): callable => function (Message $first) use ($client, $batch): void {
            $messages = $client->gather($first, $batch->size, $batch->wait);
            $this->nTogether = \count($messages);
            self::handleBatch($messages, $batch->handler);
        };

        return \array_map($single, $this->handlers) + \array_map($batch, $this->batches);
    }

    /** @param list<Message> $messages none: there was a signal while they were gathered */
    private static function handleBatch(array $messages, callable $handler): void
    {
        if ($messages === []) {
            return;
        }
        try {
            Batch::returned($messages, $handler($messages));
        } catch (ConnectionLost | ProtocolError | ProxyError $end) {
            throw $end;
        } catch (\Throwable $thrown) {
            self::settleThrown($messages, $thrown);
        }
    }

    /** @param list<Message> $messages */
    private static function settleThrown(array $messages, \Throwable $thrown): void
    {
        if (!Batch::threw($messages, $thrown)) {
            $message = $messages[0];
            self::complain("message {$message->id} of {$message->pipeline} had its verdict before this: {$thrown}");
        }
    }

    /**
     * The handlers set flags and nothing else: throwing out of one crashes PHP 8.2. That they run at all makes a
     * sleep or a select in the application's handler return early.
     *
     * @param list<string> $names
     *
     * @return callable(): void puts the former handlers back
     */
    private static function catchSignals(array $names, callable $handler): callable
    {
        if (!\extension_loaded('pcntl')) {
            return static fn () => null;
        }
        $former = [];
        $async = \pcntl_async_signals(true);
        foreach (\array_map('constant', $names) as $signal) {
            $former[$signal] = \pcntl_signal_get_handler($signal);
            \pcntl_signal($signal, $handler, false);
        }
        if (isset($former[\SIGUSR1])) {
            // A late SIGUSR1 must not end the process.
            $former[\SIGUSR1] = $former[\SIGUSR1] ?: \SIG_IGN;
        }

        return static function () use ($async, $former): void {
            \pcntl_async_signals($async);
            foreach ($former as $signal => $handler) {
                \pcntl_signal($signal, $handler);
            }
        };
    }

    private static function complain(string $sentence): void
    {
        \file_put_contents('php://stderr', "qbus worker: {$sentence}\n");
    }
}
