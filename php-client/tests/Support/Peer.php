<?php
// SPDX-License-Identifier: MIT

declare(strict_types=1);

namespace Qbus\Tests\Support;

/** The proxy's end of one connection: blocking, simple, and not made of the code under test. */
final class Peer
{
    public const FIRST_ID = (1 << 40) + 1;

    private readonly \MessagePack $packer;

    /** How often the client asked to be told that its words have taken effect. */
    public int $nSyncs = 0;

    /** @param resource $stream */
    public function __construct(private $stream)
    {
        $this->packer = new \MessagePack(false);
        \stream_set_timeout($stream, 20);
    }

    public static function frame(int $word, mixed $value): string
    {
        $payload = (new \MessagePack(false))->pack($value);

        return \pack('NCCn', \strlen($payload), $word, 0, 0) . $payload;
    }

    /** @return list<mixed> a row as Kafka's plugin makes it; a body that is streamed is its size */
    public static function row(string|int $body, ?string $key = 'k', ?array $headers = null): array
    {
        return ['orders', 3, 1041, 1700000000000, $key, $headers, $body];
    }

    /** @param list<array<int, mixed>> $rows */
    public static function deliver(
        array $rows,
        int $firstId = self::FIRST_ID,
        int $remainingMs = 30000,
        int $pipeline = 0,
    ): string {
        return self::frame(66, [$pipeline, $firstId, 1, $remainingMs, $rows]);
    }

    /** Of the pipelines `orders` (number 0) and `mails` (number 1). */
    public static function welcomeFrame(): string
    {
        $pipelines = [];
        foreach (['orders', 'mails'] as $name) {
            $pipelines[] = ['name' => $name, 'kind' => 'kafka', 'timeout_ms' => 30000, 'max_attempts' => 5];
        }

        return self::frame(65, ['protocol' => 1, 'server' => 'test', 'session' => 1, 'max_frame' => 262144,
            'max_message' => 64 << 20, 'pipelines' => $pipelines]);
    }

    /** Reads HELLO, answers it, and returns what HELLO said. */
    public function welcome(): array
    {
        [$word, $hello] = $this->read();
        if ($word !== 1) {
            throw new \RuntimeException("word {$word} instead of HELLO");
        }
        $this->write(self::welcomeFrame());

        return $hello;
    }

    public function send(int $word, mixed $value): void
    {
        $this->write(self::frame($word, $value));
    }

    public function write(string $bytes): void
    {
        for ($at = 0; $at < \strlen($bytes); $at += $sent) {
            $sent = \fwrite($this->stream, \substr($bytes, $at, 1 << 20));
            if ($sent === false || $sent === 0) {
                throw new \RuntimeException('the client does not read');
            }
        }
    }

    /** @return array{int, mixed}|null word and value, null at the end */
    public function read(): ?array
    {
        $header = $this->exactly(8);
        if ($header === null) {
            return null;
        }
        ['length' => $length, 'word' => $word] = \unpack('Nlength/Cword', $header);
        if ($length > 65536) {
            throw new \RuntimeException("a frame of {$length} bytes");
        }

        return [$word, $this->packer->unpack((string) $this->exactly($length))];
    }

    /** As read(), but SYNC is answered and counted. */
    public function hear(): ?array
    {
        while (($frame = $this->read()) !== null && $frame[0] === 11) {
            ++$this->nSyncs;
            $this->send(73, $frame[1]);
        }

        return $frame;
    }

    /** @return list<array{int, mixed}> every frame until the client hangs up; SYNC is answered */
    public function readAll(): array
    {
        for ($frames = []; ($frame = $this->read()) !== null; ) {
            $frames[] = $frame;
            if ($frame[0] === 11) {
                $this->send(73, $frame[1]);
            }
        }

        return $frames;
    }

    /**
     * Reads SETTLE frames until so many ids have a verdict.
     *
     * @return array{acks: list<int>, others: list<array>, frames: int}
     */
    public function settled(int $n): array
    {
        $acks = $others = [];
        for ($nFrames = 0; \count($acks) + \count($others) < $n; ++$nFrames) {
            [$word, $value] = $this->hear() ?? throw new \RuntimeException('the client is gone');
            if ($word !== 2) {
                throw new \RuntimeException("word {$word} instead of SETTLE");
            }
            \array_push($acks, ...self::ids($value[0]));
            \array_push($others, ...($value[1] ?? []));
        }

        return ['acks' => $acks, 'others' => $others, 'frames' => $nFrames];
    }

    /**
     * Answers every READ out of these bodies, by id, until so many ids have a verdict.
     *
     * @param array<int, string> $bodies
     *
     * @return array{acks: list<int>, others: list<array>, reads: list<array{int, int, int}>}
     */
    public function stream(array $bodies, int $n): array
    {
        $acks = $others = $reads = [];
        while (\count($acks) + \count($others) < $n) {
            [$word, $value] = $this->hear() ?? throw new \RuntimeException('the client is gone');
            if ($word === 10) {
                [$id, $offset, $length] = $reads[] = $value;
                $this->send(72, [$id, $offset, \substr($bodies[$id], $offset, $length)]);
            } elseif ($word === 2) {
                \array_push($acks, ...self::ids($value[0]));
                \array_push($others, ...($value[1] ?? []));
            } else {
                throw new \RuntimeException("word {$word} instead of READ or SETTLE");
            }
        }

        return ['acks' => $acks, 'others' => $others, 'reads' => $reads];
    }

    /**
     * @param list<int> $runs
     *
     * @return list<int>
     */
    public static function ids(array $runs): array
    {
        $ids = [];
        for ($i = 0; $i < \count($runs); $i += 2) {
            \array_push($ids, ...\range($runs[$i], $runs[$i] + $runs[$i + 1] - 1));
        }

        return $ids;
    }

    /** Hangs up first. */
    public function close(): void
    {
        \fclose($this->stream);
    }

    /** Lets the client hang up first. */
    public function awaitEnd(): void
    {
        while (\is_resource($this->stream) && !\feof($this->stream)) {
            \fread($this->stream, 65536);
        }
    }

    private function exactly(int $n): ?string
    {
        for ($bytes = ''; \strlen($bytes) < $n; $bytes .= $part) {
            $part = (string) \fread($this->stream, $n - \strlen($bytes));
            if ($part === '' && \feof($this->stream)) {
                return null;
            }
            if ($part === '' && \stream_get_meta_data($this->stream)['timed_out']) {
                throw new \RuntimeException('the client says nothing');
            }
        }

        return $bytes;
    }
}
