<?php
// SPDX-License-Identifier: MIT

declare(strict_types=1);

namespace Qbus\Wire;

use Qbus\ConnectionLost;

/**
 * Frames over a transport. Reading goes on while writing is blocked, or two sides that both write would wait for ever.
 *
 * @internal
 */
final class Connection
{
    /** Bytes asked for at once; a frame that lacks more is read in one piece of its own size. */
    private const CHUNK = 256 << 10;

    /** Seconds after which a proxy that takes nothing is given up. */
    private const STUCK = 15;

    public readonly Inbox $inbox;

    /** Whether the last frame was a big one. If so is the next, it is better read in one piece than put together. */
    private bool $big = false;

    public function __construct(private readonly Transport $transport)
    {
        $this->inbox = new Inbox();
    }

    /** @param string $path of the Unix socket; QBUS_TRANSPORT=stream does without ext-sockets */
    public static function open(string $path): self
    {
        $path = \str_starts_with($path, 'unix://') ? \substr($path, 7) : $path;
        $sockets = \extension_loaded('sockets') && \getenv('QBUS_TRANSPORT') !== 'stream';

        return new self($sockets ? SocketTransport::open($path) : StreamTransport::open($path));
    }

    /**
     * Whether all went out at once; if not, something may have come meanwhile.
     *
     * @throws ConnectionLost
     */
    public function send(string $frame): bool
    {
        $sent = $this->transport->write($frame);
        if ($sent === \strlen($frame)) {
            return true;
        }
        $this->sendRest(\substr($frame, $sent));

        return false;
    }

    /** Reads what is there, waiting up to $wait seconds for it, and leaves it in the inbox; whether anything came. */
    public function receive(float $wait): bool
    {
        $missing = $this->inbox->missing();
        if ($this->big && $this->inbox->isEmpty()) {
            $missing = $this->inbox->lengthOf($this->transport->peek(Inbox::HEADER, $wait));
            $wait = $missing > 0 ? $wait : 0.0;
        }
        $this->big = $missing > self::CHUNK;
        $bytes = $this->transport->read($this->big ? $missing : self::CHUNK, $wait, $this->big);
        if ($bytes !== '') {
            $this->inbox->append($bytes);
        }

        return $bytes !== '';
    }

    public function close(): void
    {
        $this->transport->close();
    }

    private function sendRest(string $rest): void
    {
        $giveUp = \hrtime(true) + self::STUCK * 1_000_000_000;
        while ($rest !== '') {
            if (\hrtime(true) > $giveUp) {
                throw new ConnectionLost('qbus-proxy does not read what this worker says');
            }
            $this->transport->awaitAny();
            $this->receive(0.0);
            $sent = $this->transport->write($rest);
            if ($sent > 0) {
                $giveUp = \hrtime(true) + self::STUCK * 1_000_000_000;
                $rest = \substr($rest, $sent);
            }
        }
    }
}
