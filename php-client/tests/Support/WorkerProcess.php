<?php
// SPDX-License-Identifier: MIT

declare(strict_types=1);

namespace Qbus\Tests\Support;

/** A worker in a PHP process of its own. */
final class WorkerProcess
{
    public readonly int $pid;

    /** @var resource */
    private $process;

    /** @var array<int, resource> */
    private array $pipes = [];

    /**
     * @param list<string>          $before      words in front of the command, such as those of strace
     * @param array<string, string> $environment
     * @param list<string>          $options     of PHP
     * @param string                $fixture     the worker's program
     */
    public function __construct(
        string $socket,
        array $before = [],
        array $environment = [],
        array $options = [],
        string $fixture = 'worker.php',
    ) {
        $command = [...$before, \PHP_BINARY, ...$options, __DIR__ . "/../fixtures/{$fixture}"];
        $pipes = [['pipe', 'r'], ['pipe', 'w'], ['pipe', 'w']];
        $environment += ['QBUS_SOCKET' => $socket] + \getenv();
        $this->process = \proc_open($command, $pipes, $this->pipes, null, $environment);
        $this->pid = \proc_get_status($this->process)['pid'];
        \stream_set_timeout($this->pipes[1], 20);
    }

    /** A line of its stdout. */
    public function line(): string
    {
        return (string) \fgets($this->pipes[1]);
    }

    public function tell(string $line): void
    {
        \fwrite($this->pipes[0], "{$line}\n");
    }

    public function signal(int $signal): void
    {
        \posix_kill($this->pid, $signal);
    }

    public function isRunning(): bool
    {
        return \proc_get_status($this->process)['running'];
    }

    /** @return array{int, string, string} exit status, the rest of its stdout, its stderr */
    public function end(): array
    {
        $output = \stream_get_contents($this->pipes[1]);
        $errors = \stream_get_contents($this->pipes[2]);

        return [\proc_close($this->process), $output, $errors];
    }
}
