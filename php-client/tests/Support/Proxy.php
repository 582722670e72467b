<?php
// SPDX-License-Identifier: MIT

declare(strict_types=1);

namespace Qbus\Tests\Support;

/** A proxy in a process of its own that takes one connection and plays a script on it. */
final class Proxy
{
    /** @param resource $report */
    private function __construct(public readonly string $path, private readonly int $pid, private $report)
    {
    }

    /** @param callable(Peer): mixed $script its result is what result() returns */
    public static function play(callable $script): self
    {
        $path = \sys_get_temp_dir() . '/qbus-test-' . \bin2hex(\random_bytes(6)) . '.sock';
        $listener = \stream_socket_server("unix://{$path}");
        [$parent, $child] = \stream_socket_pair(\STREAM_PF_UNIX, \STREAM_SOCK_STREAM, 0);
        $pid = \pcntl_fork();
        if ($pid === 0) {
            \fclose($parent);
            \fwrite($child, \serialize(self::perform($listener, $script)));
            \fflush($child);
            // Nothing of the test runner that was copied here may run its end.
            \posix_kill(\posix_getpid(), \SIGKILL);
        }
        \fclose($child);

        return new self($path, $pid, $parent);
    }

    public function result(): mixed
    {
        \stream_set_timeout($this->report, 30);
        [$failure, $result] = \unserialize((string) \stream_get_contents($this->report)) ?: ['no report', null];
        $this->end();
        if ($failure !== null) {
            throw new \RuntimeException("the proxy's script failed: {$failure}");
        }

        return $result;
    }

    public function end(): void
    {
        @\posix_kill($this->pid, \SIGKILL);
        \pcntl_waitpid($this->pid, $status);
        @\unlink($this->path);
    }

    /**
     * @param resource $listener
     *
     * @return array{string|null, mixed}
     */
    private static function perform($listener, callable $script): array
    {
        try {
            $stream = \stream_socket_accept($listener, 20);
            $peer = new Peer($stream);
            $result = $script($peer);
            $peer->awaitEnd();

            return [null, $result];
        } catch (\Throwable $failure) {
            return [(string) $failure, null];
        }
    }
}
