<?php
// SPDX-License-Identifier: MIT

declare(strict_types=1);

namespace Qbus\Tests;

use PHPUnit\Framework\TestCase;
use Qbus\AlreadySettled;
use Qbus\Client;
use Qbus\DeadlineExceeded;
use Qbus\Message;
use Qbus\Tests\Support\Peer;
use Qbus\Tests\Support\Proxy;
use Qbus\Tests\Support\WorkerProcess;

/** Bodies that stay in the proxy until they are read. */
final class StreamedBodyTest extends TestCase
{
    private const ID = Peer::FIRST_ID;
    private const MIB = 1 << 20;

    private ?Proxy $proxy = null;

    protected function tearDown(): void
    {
        $this->proxy?->end();
        \putenv('QBUS_TRANSPORT');
    }

    public static function transports(): array
    {
        return ['socket' => ['socket'], 'stream' => ['stream']];
    }

    /** @dataProvider transports */
    public function testItIsReadPieceByPieceAndEachPieceOnce(string $transport): void
    {
        $body = self::body(3 * self::MIB + 17);
        $client = $this->connect($transport, [$body]);
        $message = $client->next();
        self::assertSame([\strlen($body), true], [$message->size, $message->isStreamed()]);
        for ($stream = $message->stream(), $read = ''; !\feof($stream); ) {
            $read .= \fread($stream, 5000);
        }
        self::assertTrue($read === $body);
        $message->ack();
        $client->close();
        ['acks' => $acks, 'reads' => $reads] = $this->proxy->result();
        self::assertSame([self::ID], $acks);
        self::assertSame(\range(0, \strlen($body), 128 << 10), \array_column($reads, 1));
        self::assertSame([128 << 10], \array_unique(\array_column($reads, 2)));
    }

    /** @dataProvider transports */
    public function testLinesCrossTheBordersOfPieces(string $transport): void
    {
        $lines = [];
        for ($i = 0; $i < 3000; ++$i) {
            $lines[] = \str_repeat(\chr(97 + $i % 26), $i * 7 % 1013) . "\n";
        }
        $lines[] = \str_repeat('long', 100_000) . "\n";
        $lines[] = 'no newline at the end';
        $client = $this->connect($transport, [\implode('', $lines)]);
        $message = $client->next();
        for ($stream = $message->stream(), $read = []; ($line = \fgets($stream)) !== false; ) {
            $read[] = $line;
        }
        self::assertTrue($read === $lines);
        $message->ack();
        $client->close();
    }

    /** @dataProvider transports */
    public function testWhatIsNotReadIsNotMissed(string $transport): void
    {
        $bodies = [self::body(self::MIB, 'a'), self::body(2 * self::MIB, 'b'), self::body(self::MIB, 'c')];
        $client = $this->connect($transport, $bodies);
        $client->next()->ack();
        $message = $client->next();
        // A little, so that the pieces asked for are under way when the verdict goes out.
        self::assertSame(\substr($bodies[1], 0, 10), \fread($message->stream(), 10));
        $message->reject('read enough');
        $message = $client->next();
        self::assertTrue(\stream_get_contents($message->stream()) === $bodies[2]);
        $message->ack();
        $client->close();
        ['acks' => $acks, 'others' => $others] = $this->proxy->result();
        self::assertSame([self::ID, self::ID + 2], $acks);
        self::assertSame([[self::ID + 1, 2, -1, 'read enough']], $others);
    }

    /** @dataProvider transports */
    public function testManyAreReadInTurn(string $transport): void
    {
        for ($bodies = [], $i = 0; $i < 12; ++$i) {
            $bodies[] = self::body(self::MIB / 2, "body {$i}");
        }
        $client = $this->connect($transport, $bodies);
        for ($messages = $streams = $read = []; \count($messages) < \count($bodies); ) {
            $messages[] = $message = $client->next();
            $streams[] = $message->stream();
            $read[] = '';
        }
        while (!\feof($streams[0])) {
            foreach ($streams as $i => $stream) {
                $read[$i] .= \fread($stream, 32 << 10);
            }
        }
        self::assertTrue($read === $bodies);
        foreach ($messages as $message) {
            $message->ack();
        }
        $client->close();
        self::assertCount(12, $this->proxy->result()['acks']);
    }

    /** @dataProvider transports */
    public function testNothingIsWaitedForThatHasCome(string $transport): void
    {
        $client = $this->connect($transport, \array_fill(0, 12, self::body(150_000)));
        $begin = \hrtime(true);
        for ($i = 0; $i < 12; ++$i) {
            $message = $client->next();
            $this->readAll($message);
            $message->ack();
        }
        // A second for each, as long as one wait, if it were so.
        self::assertLessThan(6.0, (\hrtime(true) - $begin) / 1e9);
        $client->close();
    }

    /** @dataProvider transports */
    public function testItCanBeReadAgainAndElsewhere(string $transport): void
    {
        $body = self::body(self::MIB);
        $client = $this->connect($transport, [$body]);
        $message = $client->next();
        [$one, $other] = [$message->stream(), $message->stream()];
        foreach ([700_000, 5, 300_000, 0, 1_048_570, 131_072] as $at) {
            self::assertSame(0, \fseek($one, $at));
            self::assertSame(\substr($body, $at, 6), \fread($one, 6));
        }
        self::assertTrue(\stream_get_contents($other) === $body);
        self::assertTrue(\rewind($one));
        self::assertTrue(\stream_get_contents($one) === $body);
        $message->ack();
        $client->close();
    }

    /** @dataProvider transports */
    public function testThePropertyHasItWholeAndKeepsIt(string $transport): void
    {
        $body = self::body(5 * self::MIB);
        $client = $this->connect($transport, [$body]);
        $message = $client->next();
        self::assertSame(\substr($body, 0, 10), \fread($message->stream(), 10));
        \memory_reset_peak_usage();
        $before = \memory_get_usage();
        self::assertTrue($message->body === $body);
        self::assertTrue($message->body === $body);
        self::assertLessThan(\strlen($body) + 2 * self::MIB, \memory_get_peak_usage() - $before);
        $message->ack();
        self::assertTrue($message->body === $body);
        $client->close();
        self::assertLessThan(50, \count($this->proxy->result()['reads']));
    }

    /** @dataProvider transports */
    public function testDeliveriesThatWaitMeanwhileCostNoMemory(string $transport): void
    {
        $body = self::body(20 * self::MIB);
        $client = $this->connect($transport, [$body, 'small', 'smaller']);
        $message = $client->next();
        \fread($message->stream(), 1);
        \memory_reset_peak_usage();
        $before = \memory_get_usage();
        $hash = \hash_init('md5');
        self::assertSame(\strlen($body), \hash_update_stream($hash, $message->stream()));
        self::assertSame(\md5($body), \hash_final($hash));
        self::assertLessThan(3 * self::MIB, \memory_get_peak_usage() - $before);
        $message->ack();
        foreach (['small', 'smaller'] as $small) {
            $message = $client->next();
            self::assertSame($small, $message->body);
            $message->ack();
        }
        $client->close();
        self::assertSame([self::ID, self::ID + 1, self::ID + 2], $this->proxy->result()['acks']);
    }

    /** @dataProvider transports */
    public function testReadingEndsWithTheDeadline(string $transport): void
    {
        $this->proxy = Proxy::play(static function (Peer $peer): void {
            $peer->welcome();
            $peer->write(Peer::deliver([Peer::row(self::MIB)], self::ID, 100));
            $peer->readAll();
        });
        $this->expectException(DeadlineExceeded::class);
        $this->readAll($this->attach($transport)->next());
    }

    /** @dataProvider transports */
    public function testReadingEndsWhenTheProxyCancels(string $transport): void
    {
        $this->proxy = Proxy::play(static function (Peer $peer): void {
            $peer->welcome();
            $peer->write(Peer::deliver([Peer::row(self::MIB)]));
            $peer->read();
            $peer->send(67, [self::ID, 5000]);
            $peer->readAll();
        });
        $this->expectException(DeadlineExceeded::class);
        $this->readAll($this->attach($transport)->next());
    }

    /** @dataProvider transports */
    public function testReadingEndsWhenTheDeliveryWasTakenBack(string $transport): void
    {
        $this->proxy = Proxy::play(static function (Peer $peer): void {
            $peer->welcome();
            $peer->write(Peer::deliver([Peer::row(self::MIB)]));
            $peer->send(72, [self::ID, 0, null]);
            $peer->read();
            $peer->send(72, [self::ID, 0, null]);
            $peer->readAll();
        });
        $this->expectException(DeadlineExceeded::class);
        $this->expectExceptionMessage('taken back');
        $this->readAll($this->attach($transport)->next());
    }

    public function testTheVerdictEndsIt(): void
    {
        $client = $this->connect('socket', [self::body(self::MIB)]);
        $message = $client->next();
        $stream = $message->stream();
        $message->ack();
        $client->close();
        $this->expectException(AlreadySettled::class);
        \fread($stream, 1);
    }

    /** @dataProvider transports */
    public function testThirtyMegabytesPassAWorkerThatMayHaveThirtyTwo(string $transport): void
    {
        $body = self::body(30 * self::MIB);
        $this->proxy = Proxy::play(self::script([$body, $body, $body], true));
        $worker = new WorkerProcess(
            $this->proxy->path,
            [],
            ['QBUS_TRANSPORT' => $transport],
            ['-d', 'memory_limit=32M'],
            'stream.php',
        );
        for ($i = 0; $i < 3; ++$i) {
            [$size, $hash, $memory] = \explode(' ', $worker->line());
            self::assertSame([\strlen($body), \hash('crc32b', $body)], [(int) $size, $hash]);
            self::assertLessThan(6 * self::MIB, (int) $memory);
        }
        self::assertSame([0, '', ''], $worker->end());
        self::assertCount(3, $this->proxy->result()['acks']);
    }

    public function testNoFileIsMadeOfIt(): void
    {
        if (!\is_executable('/usr/bin/strace')) {
            self::markTestSkipped('strace is not here');
        }
        $this->proxy = Proxy::play(self::script([self::body(5 * self::MIB)], true));
        $calls = 'trace=open,openat,creat,memfd_create,mkdir,mknod,shmget';
        $before = ['strace', '-f', '-qq', '-e', $calls];
        [$status, , $trace] = (new WorkerProcess($this->proxy->path, $before, [], [], 'stream.php'))->end();
        if (\str_contains($trace, 'Operation not permitted')) {
            self::markTestSkipped('strace is not allowed here');
        }
        self::assertSame(0, $status, $trace);
        self::assertStringContainsString('openat(', $trace);
        self::assertDoesNotMatchRegularExpression('/O_CREAT|O_TMPFILE|creat\(|memfd_create\(|mknod\(|shmget\(/', $trace);
    }

    /** Bytes of which no two pieces are alike. */
    private static function body(int $size, string $seed = 'seed'): string
    {
        for ($parts = [], $i = 0; $i * 4096 < $size; ++$i) {
            $parts[] = \str_repeat(\hash('sha512', "{$seed} {$i}", true), 64);
        }

        return \substr(\implode('', $parts), 0, $size);
    }

    /**
     * Delivers these bodies, those above 1000 bytes streamed, and answers what is asked.
     *
     * @param list<string> $bodies
     */
    private static function script(array $bodies, bool $drain = false): callable
    {
        return static function (Peer $peer) use ($bodies, $drain): array {
            $peer->welcome();
            foreach ($bodies as $i => $body) {
                $row = Peer::row(\strlen($body) > 1000 ? \strlen($body) : $body);
                $peer->write(Peer::deliver([$row], self::ID + $i));
            }
            $ids = \range(self::ID, self::ID + \count($bodies) - 1);
            $result = $peer->stream(\array_combine($ids, $bodies), \count($bodies));
            if ($drain) {
                $peer->send(70, []);
            }

            return $result;
        };
    }

    /** @param list<string> $bodies */
    private function connect(string $transport, array $bodies): Client
    {
        $this->proxy = Proxy::play(self::script($bodies));

        return $this->attach($transport);
    }

    private function attach(string $transport): Client
    {
        \putenv("QBUS_TRANSPORT={$transport}");

        return Client::connect('orders', $this->proxy->path, guarded: false);
    }

    private function readAll(Message $message): void
    {
        \stream_get_contents($message->stream());
    }
}
