<?php
// SPDX-License-Identifier: MIT

declare(strict_types=1);

namespace Qbus\Tests\Support;

use PHPUnit\Framework\TestCase;
use Qbus\Client;
use Qbus\ConnectionLost;
use Qbus\DeadlineExceeded;
use Qbus\MessageDropped;
use Qbus\ProtocolError;
use Qbus\ProxyError;

/** A session over a real Unix socket; SocketClientTest and StreamClientTest say by what means. */
abstract class ClientTestCase extends TestCase
{
    private const ID = Peer::FIRST_ID;

    private ?Proxy $proxy = null;

    abstract protected static function transport(): string;

    protected function setUp(): void
    {
        \putenv('QBUS_TRANSPORT=' . static::transport());
    }

    protected function tearDown(): void
    {
        $this->proxy?->end();
        \putenv('QBUS_TRANSPORT');
    }

    public function testHelloSaysWhoComesAndWhatItWants(): void
    {
        $client = $this->connect(static fn (Peer $peer) => [$peer->welcome(), $peer->readAll()], 7);
        $client->close();
        [$hello, $frames] = $this->result();
        self::assertSame([1, ['orders'], 7], [$hello['protocol'], $hello['pipelines'], $hello['credit']]);
        self::assertStringStartsWith('qbus-php/', $hello['client']);
        self::assertSame([[4, ['reason' => 'stopped']]], $frames);
    }

    public function testAMessageHasEverythingOfItsRow(): void
    {
        $client = $this->connect(static function (Peer $peer): void {
            $peer->welcome();
            $amqp = ['mails', 'mail.send', 9, -1, null, null, "\x00\xff"];
            $peer->write(Peer::deliver([Peer::row('b', null, ['n', 'v']), $amqp]));
            $peer->settled(2);
        });
        $first = $client->next();
        self::assertSame([self::ID, 'orders', 1], [$first->id, $first->pipeline, $first->attempt]);
        self::assertSame(['b', null], [$first->body, $first->key]);
        self::assertSame(['orders', 3, 1041], [$first->source, $first->partition, $first->offset]);
        self::assertSame(['n' => 'v'], $first->headers);
        $second = $client->next();
        self::assertSame([self::ID + 1, "\x00\xff", []], [$second->id, $second->body, $second->headers]);
        self::assertSame(['mails', 'mail.send', 9], [$second->source, $second->routingKey, $second->deliveryTag]);
        self::assertNull($second->offset);
        $first->ack();
        $second->ack();
        $client->close();
        $this->result();
    }

    public function testFramesThatComeByteByByteAreUnderstood(): void
    {
        $client = $this->connect(static function (Peer $peer): array {
            $peer->read();
            $bytes = Peer::welcomeFrame() . Peer::deliver([Peer::row('a')]) . Peer::frame(69, [1])
                . Peer::deliver([Peer::row('b')], self::ID + 1);
            foreach (\str_split($bytes) as $byte) {
                $peer->write($byte);
            }

            return $peer->settled(2)['acks'];
        });
        foreach (['a', 'b'] as $body) {
            $message = $client->next();
            self::assertSame($body, $message->body);
            $message->ack();
        }
        $client->close();
        self::assertSame([self::ID, self::ID + 1], $this->result());
    }

    public function testVerdictsTravelTogetherAndNotLaterThanTheWaiting(): void
    {
        $client = $this->connect(static function (Peer $peer): array {
            $peer->welcome();
            $peer->write(Peer::deliver(\array_fill(0, 500, Peer::row('b'))));
            $settled = $peer->settled(500);
            $peer->write(Peer::deliver([Peer::row('last')], self::ID + 500));

            return [$settled, $peer->settled(1)['acks']];
        });
        // The next delivery comes only after all verdicts: a client that kept one would wait for ever.
        for ($i = 0; $i < 501; ++$i) {
            $client->next(20.0)->ack();
        }
        $client->close();
        [$settled, $last] = $this->result();
        self::assertSame(\range(self::ID, self::ID + 499), $settled['acks']);
        self::assertLessThan(250, $settled['frames']);
        self::assertSame([self::ID + 500], $last);
    }

    public function testAVerdictDoesNotWaitForSlowHandlers(): void
    {
        $client = $this->connect(static function (Peer $peer): int {
            $peer->welcome();
            $peer->write(Peer::deliver(\array_fill(0, 4, Peer::row('b'))));

            return $peer->settled(4)['frames'];
        });
        for ($i = 0; $i < 4; ++$i) {
            $message = $client->next();
            for ($until = \hrtime(true) + 1_000_000; \hrtime(true) < $until; ) {
            }
            $message->ack();
        }
        $client->close();
        self::assertSame(4, $this->result());
    }

    public function testAcksInAnyOrderBecomeOneRun(): void
    {
        $client = $this->connect(static function (Peer $peer): array {
            $peer->welcome();
            $peer->write(Peer::deliver(\array_fill(0, 4, Peer::row('b'))));

            return $peer->read();
        });
        $messages = [$client->next(), $client->next(), $client->next(), $client->next()];
        foreach ([2, 0, 3, 1] as $i) {
            $messages[$i]->ack();
        }
        self::assertNull($client->next(0.0));
        $client->close();
        [$word, [$acks, $others, $memory]] = $this->result();
        self::assertSame([2, [self::ID, 4], null], [$word, $acks, $others]);
        self::assertGreaterThan(100_000, $memory);
    }

    public function testEveryVerdictHasItsWords(): void
    {
        $client = $this->connect(static function (Peer $peer): array {
            $peer->welcome();
            $peer->write(Peer::deliver(\array_fill(0, 3, Peer::row('b'))));

            return [$peer->settled(3)['others'], $peer->read()];
        });
        $client->next()->retry(0.25, 'busy');
        $client->next()->reject(\str_repeat('r', 3000));
        $client->next()->retry();
        $client->close();
        [$others, $bye] = $this->result();
        self::assertSame([
            [self::ID, 1, 250, 'busy'],
            [self::ID + 1, 2, -1, \str_repeat('r', 1024)],
            [self::ID + 2, 1, -1, null],
        ], $others);
        self::assertSame(4, $bye[0]);
    }

    public function testManyVerdictsKeepEveryFrameWithinItsLimit(): void
    {
        $client = $this->connect(static function (Peer $peer): array {
            $peer->welcome();
            $peer->write(Peer::deliver(\array_fill(0, 300, Peer::row('b'))));

            return $peer->settled(300);
        });
        for ($messages = []; \count($messages) < 300; ) {
            $messages[] = $client->next();
        }
        foreach ($messages as $message) {
            $message->reject(\str_repeat('r', 1024));
        }
        $client->close();
        self::assertGreaterThan(4, $this->result()['frames']);
    }

    public function testBigBodiesArriveWhole(): void
    {
        $client = $this->connect(static function (Peer $peer): array {
            $peer->welcome();
            foreach (['a', 'b', 'c'] as $i => $letter) {
                $peer->write(Peer::deliver([Peer::row(\str_repeat($letter, 30 << 20))], self::ID + $i));
            }

            return $peer->settled(3)['acks'];
        });
        foreach (['a', 'b', 'c'] as $letter) {
            $message = $client->next();
            self::assertTrue($message->body === \str_repeat($letter, 30 << 20));
            $message->ack();
            $message = null;
        }
        $client->close();
        self::assertCount(3, $this->result());
    }

    public function testBothSidesMayWriteAtOnce(): void
    {
        $nRows = 1500;
        $client = $this->connect(static function (Peer $peer) use ($nRows): array {
            $peer->welcome();
            $peer->write(Peer::deliver(\array_fill(0, $nRows, Peer::row('small'))));
            // 8 MiB that the client must read before this side reads anything of it.
            for ($i = 0; $i < 8; ++$i) {
                $peer->write(Peer::deliver([Peer::row(\str_repeat('x', 1 << 20))], self::ID + $nRows + $i));
            }

            return $peer->settled($nRows + 8);
        });
        for ($i = 0; $i < $nRows + 8; ++$i) {
            $client->next()->reject(\str_repeat('r', 1024));
        }
        $client->close();
        self::assertSame(\range(self::ID, self::ID + $nRows + 7), \array_column($this->result()['others'], 0));
    }

    public function testExtendAsksAndTheAnswerMovesTheDeadline(): void
    {
        $client = $this->connect(static function (Peer $peer): array {
            $peer->welcome();
            $peer->write(Peer::deliver([Peer::row('a'), Peer::row('b')], self::ID, 5000));
            $asked = [$peer->read(), $peer->read()];
            $peer->write(Peer::deliver([Peer::row('c')], self::ID + 2));
            $peer->send(68, [self::ID + 1, 40000]);
            $peer->settled(2);

            return $asked;
        });
        $client->next()->ack();
        $message = $client->next();
        self::assertLessThanOrEqual(5.0, $message->remaining());
        self::assertSame(40.0, $message->extend(60.0));
        self::assertGreaterThan(30.0, $message->remaining());
        $message->ack();
        self::assertSame('c', ($third = $client->next())->body);
        $third->ack();
        $client->close();
        [$settle, $extend] = $this->result();
        self::assertSame([2, [self::ID, 1]], [$settle[0], $settle[1][0]], 'verdicts go before the question');
        self::assertSame([3, [self::ID + 1, 60000]], $extend);
    }

    public function testExtendThrowsWhenTheProxyGrantsNothing(): void
    {
        $client = $this->connect(static function (Peer $peer): void {
            $peer->welcome();
            $peer->write(Peer::deliver([Peer::row('a')]));
            $peer->read();
            $peer->send(68, [self::ID, 0]);
            $peer->settled(1);
        });
        $message = $client->next();
        try {
            $message->extend(60.0);
            self::fail('nothing was granted');
        } catch (DeadlineExceeded $exceeded) {
            self::assertStringContainsString((string) self::ID, $exceeded->getMessage());
            $message->retry();
        }
        $client->close();
        $this->result();
    }

    public function testExtendGivesUpAtTheDeadline(): void
    {
        $client = $this->connect(static function (Peer $peer): void {
            $peer->welcome();
            $peer->write(Peer::deliver([Peer::row('a')], self::ID, 50));
            $peer->readAll();
        });
        $message = $client->next();
        $this->expectException(DeadlineExceeded::class);
        try {
            $message->extend(60.0);
        } finally {
            $message->retry();
            $client->close();
        }
    }

    public function testACancellationIsSeenInMidMessageAndMarksNoOther(): void
    {
        $client = $this->connect(static function (Peer $peer): void {
            $peer->welcome();
            $peer->write(Peer::deliver([Peer::row('a'), Peer::row('b')]));
            $peer->settled(1);
            $peer->send(67, [self::ID, 5000]);
            $peer->send(67, [self::ID + 1, 5000]);
            $peer->write(Peer::deliver([Peer::row('c')], self::ID + 2));
            $peer->settled(2);
        });
        $first = $client->next();
        self::assertFalse($first->isCancelled());
        $first->ack();
        $second = $client->next();
        for ($giveUp = \hrtime(true) + 20_000_000_000; !$second->isCancelled() && \hrtime(true) < $giveUp; ) {
        }
        self::assertTrue($second->isCancelled());
        self::assertSame(0.0, $second->remaining());
        $second->retry();
        $third = $client->next();
        self::assertFalse($third->isCancelled());
        $third->ack();
        $client->close();
        $this->result();
    }

    public function testADeadlineCountsFromTheMomentAtWhichTheMessageIsTaken(): void
    {
        $client = $this->connect(static function (Peer $peer): void {
            $peer->welcome();
            $peer->write(Peer::deliver([Peer::row('a'), Peer::row('b')], self::ID, 300));
            $peer->settled(2);
        });
        $first = $client->next();
        for ($giveUp = \hrtime(true) + 20_000_000_000; !$first->isCancelled() && \hrtime(true) < $giveUp; ) {
        }
        $first->retry();
        $second = $client->next();
        self::assertFalse($second->isCancelled());
        $second->ack();
        $client->close();
        $this->result();
    }

    public function testLateVerdictsAreCountedAndUnknownWordsSkipped(): void
    {
        $client = $this->connect(static function (Peer $peer): void {
            $peer->welcome();
            $peer->send(69, [1, 2]);
            $peer->send(120, 'something new');
            $peer->send(69, [3]);
            $peer->write(Peer::deliver([Peer::row('a')]));
            $peer->settled(1);
        });
        $client->next()->ack();
        $client->close();
        self::assertSame(3, $client->lateVerdicts());
        $this->result();
    }

    public function testADrainLetsWhatIsHereBeDone(): void
    {
        $client = $this->connect(static function (Peer $peer): array {
            $peer->welcome();
            $peer->write(Peer::deliver([Peer::row('a'), Peer::row('b')]) . Peer::frame(70, ['reason' => 'x']));

            return [$peer->settled(2)['acks'], $peer->read()];
        });
        for ($n = 0; ($message = $client->next()) !== null; ++$n) {
            $message->ack();
        }
        self::assertSame(2, $n);
        self::assertTrue($client->isFinished());
        $client->close();
        [$acks, $bye] = $this->result();
        self::assertSame([self::ID, self::ID + 1], $acks);
        self::assertSame([4, ['reason' => 'drained']], $bye);
    }

    public function testCloseHandsBackWhatWasNotBegun(): void
    {
        $client = $this->connect(static function (Peer $peer): array {
            $peer->welcome();
            $peer->write(Peer::deliver([Peer::row('a'), Peer::row('b')])
                . Peer::deliver([Peer::row('c')], self::ID + 2));

            return [$peer->settled(3), $peer->read()];
        });
        $client->next()->ack();
        $client->close();
        $client->close();
        [$settled, $bye] = $this->result();
        self::assertSame([self::ID], $settled['acks']);
        self::assertSame([[self::ID + 1, 3, -1, null], [self::ID + 2, 3, -1, null]], $settled['others']);
        self::assertSame(4, $bye[0]);
    }

    public function testCloseCountsWhatWasBegunAndNotJudgedAsFailed(): void
    {
        $client = $this->connect(static function (Peer $peer): array {
            $peer->welcome();
            $peer->write(Peer::deliver([Peer::row('a'), Peer::row('b'), Peer::row('c')]));

            return $peer->settled(3);
        });
        $client->next()->ack();
        $begun = $client->next(); // an exception is thrown here, and a finally closes the client
        $client->close();
        $settled = $this->result();
        self::assertSame([self::ID], $settled['acks']);
        self::assertSame(
            [[self::ID + 1, 1, -1, 'closed without a verdict'], [self::ID + 2, 3, -1, null]],
            $settled['others'],
        );
        unset($begun);
    }

    public function testNextReturnsNullAfterItsTimeoutAndGoesOnAfterwards(): void
    {
        $client = $this->connect(static function (Peer $peer): array {
            $peer->welcome();
            $peer->settled(0);
            $peer->read();
            $peer->write(Peer::deliver([Peer::row('a')]));

            return $peer->settled(1)['acks'];
        });
        self::assertNull($client->next(0.0));
        self::assertNull($client->next(0.02));
        self::assertFalse($client->isFinished());
        $client->settle(1, \Qbus\Verdict::Retry, -1, 'anything, to wake the script');
        $client->next(20.0)->ack();
        $client->close();
        self::assertSame([self::ID], $this->result());
    }

    public function testADroppedMessageIsLoudAndRetried(): void
    {
        $client = $this->connect(static function (Peer $peer): array {
            $peer->welcome();
            $peer->write(Peer::deliver([Peer::row('a')]));

            return $peer->settled(1)['others'];
        });
        try {
            $client->next();
            self::fail('nobody noticed');
        } catch (MessageDropped) {
            $client->close();
        }
        self::assertSame([[self::ID, 1, -1, 'dropped without a verdict']], $this->result());
    }

    public function testTheEndOfTheProxyIsAnException(): void
    {
        $client = $this->connect(static function (Peer $peer): void {
            $peer->welcome();
            $peer->close();
        });
        $this->expectException(ConnectionLost::class);
        $client->next();
    }

    public function testTheEndOfTheProxyAfterABigBodyIsAnExceptionToo(): void
    {
        $client = $this->connect(static function (Peer $peer): void {
            $peer->welcome();
            $peer->write(Peer::deliver([Peer::row(\str_repeat('x', 1 << 20))]));
            $peer->settled(1);
            $peer->close();
        });
        $client->next()->ack();
        $this->expectException(ConnectionLost::class);
        $client->next(20.0) ?? self::fail('the end was not noticed');
    }

    public function testWhatTheProxySaysLastIsHeard(): void
    {
        try {
            $this->connect(static function (Peer $peer): void {
                $peer->welcome();
                $peer->send(71, ['code' => 'slow_worker', 'message' => 'it sleeps']);
                $peer->close();
            })->next();
            self::fail('nobody heard');
        } catch (ProxyError $error) {
            self::assertSame('slow_worker', $error->reason);
            self::assertStringContainsString('it sleeps', $error->getMessage());
        }
    }

    public function testARefusedHelloSaysWhy(): void
    {
        $this->expectException(ProxyError::class);
        $this->expectExceptionMessage('unknown_pipeline');
        $this->connect(static function (Peer $peer): void {
            $peer->read();
            $peer->send(71, ['code' => 'unknown_pipeline', 'message' => 'orders']);
        });
    }

    /** @dataProvider garbage */
    public function testGarbageIsAProtocolError(string $bytes): void
    {
        $this->expectException(ProtocolError::class);
        $this->connect(static function (Peer $peer) use ($bytes): void {
            $peer->welcome();
            $peer->write($bytes);
            $peer->readAll();
        })->next(20.0);
    }

    public static function garbage(): array
    {
        return [
            'a frame of a gigabyte' => ["\x48TTP/1.1 200 OK\r\n"],
            'not msgpack' => ["\0\0\0\1\x42\0\0\0\xc1"],
            'a byte too many' => ["\0\0\0\2\x42\0\0\0\x90\x90"],
            'a delivery that is a number' => [Peer::frame(66, 5)],
            'rows that are a string' => [Peer::frame(66, [0, 1, 1, 1, 'rows'])],
            'a row that is a number' => [Peer::frame(66, [0, 1, 1, 1, [5]])],
            'a row that is too short' => [Peer::frame(66, [0, 1, 1, 1, [['s', 1, 1, 1]]])],
            'a body that is a list' => [Peer::frame(66, [0, 1, 1, 1, [['s', 1, 1, 1, 'k', null, []]]])],
            'a streamed body of less than nothing' => [Peer::frame(66, [0, 1, 1, 1, [['s', 1, 1, 1, 'k', null, -5]]])],
            'a piece of a body that is a number' => [Peer::frame(72, 5)],
            'a cancellation of a name' => [Peer::frame(67, ['x', 1])],
        ];
    }

    public function testNobodyAtTheSocketIsConnectionLost(): void
    {
        foreach (['/nonexistent/qbus.sock', \str_repeat('x', 200)] as $path) {
            try {
                Client::connect('orders', $path);
                self::fail('connected to nothing');
            } catch (ConnectionLost $lost) {
                self::assertStringContainsString($path, $lost->getMessage());
            }
        }
    }

    public function testWithoutASocketInTheEnvironmentItSaysSo(): void
    {
        $this->expectException(ConnectionLost::class);
        $this->expectExceptionMessage('QBUS_SOCKET');
        Client::connect('orders');
    }

    private function connect(callable $script, int $credit = 0): Client
    {
        $this->proxy = Proxy::play($script);

        return Client::connect('orders', $this->proxy->path, $credit);
    }

    private function result(): mixed
    {
        return $this->proxy->result();
    }
}
