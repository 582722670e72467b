<?php
// SPDX-License-Identifier: MIT

declare(strict_types=1);

namespace Qbus\Wire;

use Qbus\ConnectionLost;

/**
 * A Unix socket by way of ext-sockets: one system call a read, big bodies in one piece.
 *
 * @internal
 */
final class SocketTransport implements Transport
{
    public function __construct(private readonly \Socket $socket)
    {
        \socket_set_option($socket, \SOL_SOCKET, \SO_RCVTIMEO, ['sec' => (int) self::PATIENCE, 'usec' => 0]);
    }

    public static function open(string $path): self
    {
        $socket = \socket_create(\AF_UNIX, \SOCK_STREAM, 0);
        try {
            $connected = $socket !== false && @\socket_connect($socket, $path);
        } catch (\ValueError $error) {
            throw new ConnectionLost("cannot connect to {$path}: {$error->getMessage()}");
        }
        if (!$connected) {
            throw new ConnectionLost("cannot connect to {$path}: " . \socket_strerror(\socket_last_error()));
        }

        return new self($socket);
    }

    /** $flags: of recv(), beside those that follow from the others. */
    public function read(int $n, float $wait, bool $whole = false, int $flags = 0): string
    {
        if ($wait >= self::PATIENCE) {
            $flags |= $whole ? \MSG_WAITALL : 0;
        } elseif ($wait > 0.0 && !$this->select($wait, false)) {
            return '';
        } else {
            $flags |= \MSG_DONTWAIT;
        }
        $bytes = '';
        $got = @\socket_recv($this->socket, $bytes, $n, $flags);
        if ($got > 0) {
            return $bytes;
        }
        if ($got === 0) {
            throw new ConnectionLost('qbus-proxy has closed the connection');
        }
        $this->pardon('read');

        return '';
    }

    public function peek(int $n, float $wait): string
    {
        return $this->read($n, $wait, false, \MSG_PEEK);
    }

    public function write(string $bytes): int
    {
        $sent = @\socket_send($this->socket, $bytes, \strlen($bytes), \MSG_DONTWAIT);
        if ($sent === false) {
            $this->pardon('write');
        }

        return (int) $sent;
    }

    public function awaitAny(): void
    {
        $this->select(self::PATIENCE, true);
    }

    public function close(): void
    {
        \socket_close($this->socket);
    }

    private function select(float $wait, bool $alsoWrite): bool
    {
        $read = [$this->socket];
        $write = $alsoWrite ? [$this->socket] : null;
        $except = null;
        $seconds = (int) $wait;

        return @\socket_select($read, $write, $except, $seconds, (int) (($wait - $seconds) * 1e6)) > 0;
    }

    /** Nothing there yet and a signal in between are no errors. */
    private function pardon(string $doing): void
    {
        $errno = \socket_last_error($this->socket);
        \socket_clear_error($this->socket);
        if ($errno !== \SOCKET_EAGAIN && $errno !== \SOCKET_EINTR) {
            throw new ConnectionLost("cannot {$doing}: " . \socket_strerror($errno));
        }
    }
}
