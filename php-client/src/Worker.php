<?php
// SPDX-License-Identifier: MIT

declare(strict_types=1);

namespace Qbus;

use Qbus\Leak\Check;

/**
 * Serves pipelines with handlers, one message after the other, until the proxy drains or a signal says stop.
 *
 * A handler that returns has its message acked; one that throws has it retried, but for Reject, Retry and DoNotRetry.
 */
final class Worker
{
    /** @var array<string, callable(Message): mixed> */
    private array $handlers = [];

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
        $this->handlers[$pipeline] = $handler;

        return $this;
    }

    /**
     * Returns an exit status: 0 after SIGTERM, SIGINT or a drain, 1 after the proxy went away (it says so on stderr).
     *
     * @throws ProxyError|ProtocolError when this worker or its configuration is at fault
     */
    public function run(): int
    {
        try {
            $client = Client::connect(\array_keys($this->handlers), $this->socket, $this->credit, guarded: false);
            $restore = $this->catchSignals($client);
            try {
                $this->serve($client, Check::fromEnvironment($client, $this->handlers));
                $client->close();
            } finally {
                $restore();
            }
        } catch (ConnectionLost $lost) {
            self::complain($lost->getMessage());

            return 1;
        }

        return 0;
    }

    private function serve(Client $client, ?Check $leaks): void
    {
        while (($message = $client->next()) !== null) {
            try {
                $message->returned(($this->handlers[$message->pipeline])($message));
            } catch (ConnectionLost | ProtocolError | ProxyError $end) {
                throw $end;
            } catch (\Throwable $thrown) {
                self::settleThrown($message, $thrown);
                unset($thrown);
            }
            // Let go of the body before the next one comes.
            $message = null;
            $leaks?->settled();
        }
    }

    private static function settleThrown(Message $message, \Throwable $thrown): void
    {
        if ($message->isSettled()) {
            self::complain("message {$message->id} of {$message->pipeline} had its verdict before this: {$thrown}");
        } else {
            $message->threw($thrown);
        }
    }

    /**
     * The handlers set flags and nothing else: throwing out of one crashes PHP 8.2. That they run at all makes a
     * sleep or a select in the application's handler return early.
     *
     * @return callable(): void puts the former handlers back
     */
    private function catchSignals(Client $client): callable
    {
        if (!\extension_loaded('pcntl')) {
            return static fn () => null;
        }
        $stop = static fn () => $client->stop();
        // "Your time is over" comes as a CANCEL frame as well; Message::isCancelled() looks for it and at the clock.
        $told = static fn () => null;
        $former = [];
        $async = \pcntl_async_signals(true);
        foreach ([\SIGTERM => $stop, \SIGINT => $stop, \SIGUSR1 => $told] as $signal => $handler) {
            $former[$signal] = \pcntl_signal_get_handler($signal);
            \pcntl_signal($signal, $handler, false);
        }

        // A late SIGUSR1 must not end the process.
        $former[\SIGUSR1] = $former[\SIGUSR1] ?: \SIG_IGN;

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
