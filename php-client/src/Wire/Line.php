<?php
// SPDX-License-Identifier: MIT

declare(strict_types=1);

namespace Qbus\Wire;

use Qbus\ConnectionLost;
use Qbus\ProxyError;
use Qbus\QbusException;

/**
 * The line to the proxy while it holds: what comes is heard at once, and a failure is remembered and ends it for good.
 *
 * @internal
 */
final class Line
{
    private readonly Packer $packer;
    private bool $open = true;
    private ?QbusException $failure = null;

    public function __construct(
        private readonly Connection $connection,
        private readonly Heard $heard,
        private readonly Deadlines $deadlines,
    ) {
        $this->packer = new Packer();
    }

    public function isOpen(): bool
    {
        return $this->open;
    }

    public function mustBeOpen(): void
    {
        if (!$this->open) {
            throw $this->failure ?? new ConnectionLost('the session is closed');
        }
    }

    /** Whether no more should be read ahead of the handler than is here already. */
    public function isFull(): bool
    {
        return $this->connection->inbox->isFull();
    }

    /** Waits up to $wait seconds; whether anything came. */
    public function receive(float $wait): bool
    {
        try {
            $came = $this->connection->receive($wait);
            $this->heard->listen();

            return $came;
        } catch (QbusException $failure) {
            throw $this->fail($failure);
        }
    }

    public function send(int $word, mixed $value): void
    {
        $this->sendFrame($this->packer->frame($word, $value));
    }

    public function sendFrame(string $frame): void
    {
        try {
            if ($this->connection->send($frame)) {
                return;
            }
        } catch (QbusException $failure) {
            throw $this->failSending($failure);
        }
        $this->heard->listen();
    }

    /** From now on every call that needs the session throws this. */
    public function fail(QbusException $failure): QbusException
    {
        $this->open = false;
        $this->deadlines->dueAt = 0;

        return $this->failure = $failure;
    }

    public function hangUp(): void
    {
        $this->open = false;
        $this->deadlines->dueAt = 0;
        $this->connection->close();
    }

    private function failSending(QbusException $failure): QbusException
    {
        $this->fail($failure);
        $this->hearLastWords();

        return $this->failure;
    }

    /** The proxy may have said why before it hung up. */
    private function hearLastWords(): void
    {
        try {
            while ($this->connection->receive(0.0)) {
                $this->heard->listen();
            }
        } catch (ProxyError $error) {
            $this->fail($error);
        } catch (QbusException) {
        }
    }
}
