<?php
// SPDX-License-Identifier: MIT

declare(strict_types=1);

namespace Qbus\Wire;

use Qbus\ConnectionLost;

/**
 * A Unix socket by way of PHP's streams, for a PHP without ext-sockets.
 *
 * @internal
 */
final class StreamTransport implements Transport
{
    private const PIECE = 1 << 20;

    /** @param resource $stream */
    public function __construct(private $stream)
    {
        \stream_set_blocking($stream, false);
        \stream_set_read_buffer($stream, 0);
        \stream_set_write_buffer($stream, 0);
        \stream_set_chunk_size($stream, self::PIECE);
    }

    public static function open(string $path): self
    {
        $stream = @\stream_socket_client("unix://{$path}", $errno, $error);
        if ($stream === false) {
            throw new ConnectionLost("cannot connect to {$path}: {$error}");
        }

        return new self($stream);
    }

    public function read(int $n, float $wait, bool $whole = false): string
    {
        if (!$whole) {
            return $wait <= 0.0 || $this->select($wait, false) ? $this->take($n) : '';
        }

        $parts = [];
        while ($n > 0 && $this->select($wait, false)) {
            $part = $this->take(\min($n, self::PIECE));
            if ($part === '') {
                break;
            }
            $n -= \strlen($part);
            $parts[] = $part;
        }

        return \implode('', $parts);
    }

    public function peek(int $n, float $wait): string
    {
        return $this->select($wait, false) ? (string) @\stream_socket_recvfrom($this->stream, $n, \STREAM_PEEK) : '';
    }

    public function write(string $bytes): int
    {
        // PHP reports a full socket and a closed one alike, as a notice; what is written next tells them apart.
        \error_clear_last();
        $sent = @\fwrite($this->stream, $bytes);
        $error = \error_get_last()['message'] ?? '';
        if ($error !== '' && !\str_contains($error, 'errno=11') && !\str_contains($error, 'errno=4 ')) {
            throw new ConnectionLost($error);
        }

        return (int) $sent;
    }

    public function awaitAny(): void
    {
        $this->select(self::PATIENCE, true);
    }

    public function close(): void
    {
        \fclose($this->stream);
    }

    private function take(int $n): string
    {
        $bytes = @\fread($this->stream, $n);
        if (($bytes === '' || $bytes === false) && \feof($this->stream)) {
            throw new ConnectionLost('qbus-proxy has closed the connection');
        }

        return (string) $bytes;
    }

    private function select(float $wait, bool $alsoWrite): bool
    {
        $wait = \min($wait, self::PATIENCE);
        $read = [$this->stream];
        $write = $alsoWrite ? [$this->stream] : null;
        $except = null;
        $seconds = (int) $wait;

        return @\stream_select($read, $write, $except, $seconds, (int) (($wait - $seconds) * 1e6)) > 0;
    }
}
