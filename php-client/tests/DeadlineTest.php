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
use Qbus\Worker;

/** What a session says of deadlines and of the limits of parts, and what it waits for. */
final class DeadlineTest extends TestCase
{
    private const ID = Peer::FIRST_ID;
    private const SETTLE = 2;
    private const LIMIT = 7;
    private const UNLIMIT = 8;
    private const SYNC = 11;

    private ?Proxy $proxy = null;
    private string $mark;

    protected function setUp(): void
    {
        $this->mark = \sys_get_temp_dir() . '/qbus-mark-' . \bin2hex(\random_bytes(6));
    }

    protected function tearDown(): void
    {
        $this->proxy?->end();
        @\unlink($this->mark);
        \putenv('QBUS_TRANSPORT');
    }

    public static function transports(): array
    {
        return ['socket' => ['socket'], 'stream' => ['stream']];
    }

    /** @dataProvider transports */
    public function testAPartHasItsLimitAndItsResult(string $transport): void
    {
        $message = $this->message($transport);
        $seen = 0.0;
        $result = $message->within(5.0, static function () use ($message, &$seen): string {
            $seen = $message->remaining();
            $message->checkpoint();

            return 'done';
        });
        self::assertSame('done', $result);
        self::assertLessThanOrEqual(5.0, $seen);
        self::assertGreaterThan(5.0, $message->remaining());
        $message->ack();
        $words = $this->words();
        self::assertSame([self::LIMIT, self::UNLIMIT, self::SETTLE, 4], \array_column($words, 0));
        [$id, $level, $ms] = $words[0][1];
        self::assertSame([[self::ID, 1], [self::ID, 1]], [[$id, $level], $words[1][1]]);
        self::assertTrue(2000 < $ms && $ms <= 5000, "{$ms} ms are left of five seconds when it is said");
    }

    public function testPartsNestAndNoneEndsAfterTheOneAroundIt(): void
    {
        $message = $this->message('socket');
        $left = [];
        $message->within(5.0, static function () use ($message, &$left): void {
            $message->within(60.0, static function () use ($message, &$left): void {
                $message->within(1.0, static function () use ($message, &$left): void {
                    $left[] = $message->remaining();
                });
                $left[] = $message->remaining();
            });
        });
        $message->within(1000.0, static function () use ($message, &$left): void {
            $left[] = $message->remaining();
        });
        $message->ack();
        self::assertTrue($left[0] <= 1.0 && $left[1] > 1.0 && $left[1] <= 5.0 && $left[2] > 5.0 && $left[2] <= 30.0);
        $limits = \array_filter($this->words(), static fn ($frame) => $frame[0] === self::LIMIT);
        self::assertSame([1, 2, 3, 1], \array_column(\array_column($limits, 1), 1));
        $ms = \array_column(\array_column($limits, 1), 2);
        self::assertTrue($ms[0] <= 5000 && $ms[1] <= $ms[0] && $ms[2] <= 1000 && $ms[3] <= 30000, \implode(' ', $ms));
        self::assertTrue($ms[0] > 1000 && $ms[2] > 0, \implode(' ', $ms));
    }

    /** @dataProvider transports */
    public function testAPartThatTookTooLongHasFailedWhateverItReturned(string $transport): void
    {
        $message = $this->message($transport);
        try {
            $message->within(0.02, fn () => self::spin(0.03));
            self::fail('it took too long');
        } catch (DeadlineExceeded $exceeded) {
            self::assertNull($exceeded->getPrevious());
            self::assertFileExists($this->mark, 'the proxy has heard of the end of the part');
        }
        self::assertFalse($message->isCancelled());
        $message->ack();
        self::assertSame([self::LIMIT, self::UNLIMIT, self::SYNC, self::SETTLE, 4], \array_column($this->words(), 0));
    }

    public function testWhatAPartThrewTooLateIsTheCause(): void
    {
        $message = $this->message('socket');
        $own = new \LogicException('read error on connection');
        try {
            $message->within(0.02, static function () use ($own): void {
                self::spin(0.03);
                throw $own;
            });
            self::fail('it took too long');
        } catch (DeadlineExceeded $exceeded) {
            self::assertSame($own, $exceeded->getPrevious());
        }
        try {
            $message->within(5.0, static fn () => throw $own);
            self::fail('it threw');
        } catch (\LogicException $thrown) {
            self::assertSame($own, $thrown);
        }
        $message->ack();
        $this->words();
    }

    public function testAnInnerEndGoesThroughAnOuterPartThatHasTimeLeft(): void
    {
        $message = $this->message('socket');
        $inner = null;
        try {
            $message->within(5.0, static function () use ($message, &$inner): void {
                try {
                    $message->within(0.02, static fn () => self::spin(0.03));
                } catch (DeadlineExceeded $inner) {
                    throw $inner;
                }
            });
            self::fail('it took too long');
        } catch (DeadlineExceeded $exceeded) {
            self::assertSame($inner, $exceeded);
        }
        $message->ack();
        self::assertCount(1, \array_filter($this->words(), static fn ($frame) => $frame[0] === self::SYNC));
    }

    public function testWhenBothAreOverTheInnerEndIsTheCauseOfTheOuter(): void
    {
        $message = $this->message('socket');
        try {
            $message->within(0.03, static fn () => $message->within(0.02, static fn () => self::spin(0.05)));
            self::fail('it took too long');
        } catch (DeadlineExceeded $exceeded) {
            self::assertInstanceOf(DeadlineExceeded::class, $exceeded->getPrevious());
        }
        $message->ack();
        $this->words();
    }

    public function testWithoutTimeOrAfterTheVerdictNoPartBegins(): void
    {
        $message = $this->message('socket');
        $never = static fn () => self::fail('it began');
        foreach ([0.0, -1.0] as $seconds) {
            try {
                $message->within($seconds, $never);
                self::fail('no time');
            } catch (DeadlineExceeded) {
            }
        }
        $message->ack();
        try {
            $message->within(1.0, $never);
            self::fail('it has its verdict');
        } catch (AlreadySettled) {
        }
        self::assertSame([self::SETTLE, 4], \array_column($this->words(), 0));
    }

    public function testThirtyTwoPartsNestAndNoMore(): void
    {
        $message = $this->message('socket');
        $deepest = 0;
        $nest = static function (int $level) use ($message, &$nest, &$deepest): void {
            $deepest = $level;
            $message->within(5.0, static fn () => $nest($level + 1));
        };
        try {
            $nest(0);
            self::fail('too deep');
        } catch (\LogicException) {
            self::assertSame(32, $deepest);
        }
        $message->ack();
        $words = $this->words();
        self::assertCount(32, \array_filter($words, static fn ($frame) => $frame[0] === self::LIMIT));
        self::assertCount(32, \array_filter($words, static fn ($frame) => $frame[0] === self::UNLIMIT));
    }

    public function testExtendInsideOfAPartMovesTheMessageAndNotThePart(): void
    {
        $this->play(static function (Peer $peer): void {
            $peer->welcome();
            $peer->write(Peer::deliver([Peer::row('a')]));
            [$peer->read(), $peer->read()];
            $peer->send(68, [self::ID, 90000]);
            $peer->readAll();
        });
        $client = Client::connect('orders', $this->proxy->path);
        $message = $client->next();
        $message->within(5.0, static function () use ($message): void {
            self::assertSame(90.0, $message->extend(90.0));
            self::assertLessThanOrEqual(5.0, $message->remaining());
        });
        self::assertGreaterThan(80.0, $message->remaining());
        $message->ack();
        $client->close();
        $this->proxy->result();
    }

    public function testAnExtensionTakesBackTheCancellationThatItCrossed(): void
    {
        $this->play(static function (Peer $peer): void {
            $peer->welcome();
            $peer->write(Peer::deliver([Peer::row('a')]));
            $peer->read();
            $peer->send(67, [self::ID, 5000]);
            $peer->send(68, [self::ID, 90000]);
            $peer->readAll();
        });
        $client = Client::connect('orders', $this->proxy->path);
        $message = $client->next();
        self::assertSame(90.0, $message->extend(90.0));
        $message->checkpoint();
        self::assertGreaterThan(80.0, $message->remaining());
        $message->ack();
        $client->close();
        $this->proxy->result();
    }

    public function testAnExtensionIsNeverLessThanNothingNorMoreThanAnInteger(): void
    {
        $this->play(static function (Peer $peer): array {
            $peer->welcome();
            $peer->write(Peer::deliver([Peer::row('a')]));
            $asked = [];
            for ($i = 0; $i < 3; ++$i) {
                $asked[] = $peer->read()[1];
                $peer->send(68, [self::ID, 90000]);
            }
            $peer->readAll();

            return $asked;
        });
        $client = Client::connect('orders', $this->proxy->path);
        $message = $client->next();
        foreach ([-1.0, 0.0, \INF] as $seconds) {
            self::assertSame(90.0, $message->extend($seconds));
        }
        $message->retry(\INF);
        $client->close();
        self::assertSame([[self::ID, 0], [self::ID, 0], [self::ID, 10 ** 12]], $this->proxy->result());
    }

    public function testALimitGoesBehindTheVerdictsThatWait(): void
    {
        $this->play($this->listen([Peer::row('a'), Peer::row('b')]));
        $client = Client::connect('orders', $this->proxy->path);
        [$first, $second] = [$client->next(), $client->next()];
        $first->ack();
        $second->within(5.0, static fn () => null);
        $second->ack();
        $client->close();
        $words = \array_column($this->proxy->result(), 0);
        self::assertSame([self::SETTLE, self::LIMIT, self::UNLIMIT, self::SETTLE, 4], $words);
    }

    /** @dataProvider transports */
    public function testTheNextMessageBeginsWhenTheProxyKnowsOfTheEndOfOneThatTookTooLong(string $transport): void
    {
        \putenv("QBUS_TRANSPORT={$transport}");
        $this->play($this->listen([Peer::row('long'), Peer::row('short')], 30, 2));
        $begun = [];
        Worker::connect($this->proxy->path)->on('orders', function (Message $message) use (&$begun): void {
            $begun[$message->body] = \is_file($this->mark);
            $message->body === 'long' && self::spin(0.04);
        })->run();
        $words = $this->proxy->result();
        self::assertSame(['long' => false, 'short' => true], $begun);
        self::assertSame([self::SETTLE, self::SYNC, self::SETTLE], \array_slice(\array_column($words, 0), 0, 3));
        self::assertSame([self::ID, 1], $words[0][1][0], 'a return is a run, which the proxy may not believe');
    }

    /** @dataProvider transports */
    public function testAnAckThatIsSaidWhenTheTimeIsOverIsMeant(string $transport): void
    {
        $message = $this->message($transport, 30);
        self::spin(0.04);
        $message->ack();
        self::assertFileExists($this->mark);
        $words = $this->words();
        self::assertSame([self::SETTLE, self::SYNC, 4], \array_column($words, 0));
        self::assertSame([[], [[self::ID, 4, -1, null]]], \array_slice($words[0][1], 0, 2));
    }

    public function testAnAckThatIsSaidInTimeIsOneOfARunAndNobodyWaits(): void
    {
        $message = $this->message('socket');
        $message->ack();
        $words = $this->words();
        self::assertSame([self::SETTLE, 4], \array_column($words, 0));
        self::assertSame([self::ID, 1], $words[0][1][0]);
    }

    public function testACancellationThatIsSeenEndsTheTimeWhateverTheClockSays(): void
    {
        $this->play(static function (Peer $peer): array {
            $peer->welcome();
            $peer->write(Peer::deliver([Peer::row('a')]) . Peer::frame(67, [self::ID, 5000]));
            $settle = $peer->read();
            $peer->send(73, ($sync = $peer->read())[1]);
            $peer->send(70, []);
            $peer->readAll();

            return [$settle, $sync[0]];
        });
        Worker::connect($this->proxy->path)->on('orders', static function (Message $message): void {
            self::until(static fn () => $message->isCancelled());
        })->run();
        [$settle, $sync] = $this->proxy->result();
        self::assertSame([self::SETTLE, [self::ID, 1], self::SYNC], [$settle[0], $settle[1][0], $sync]);
    }

    /** @dataProvider cancellations */
    public function testWhatTookMoreThanHalfOfItsTimeLooksForACancellation(bool $isSent, array $expected): void
    {
        $this->play(static function (Peer $peer) use ($isSent): array {
            $peer->welcome();
            $peer->write(Peer::deliver([Peer::row('a')], self::ID, 2000));
            [$peer->read(), $peer->read()];
            if ($isSent) { // not before the handler runs: it lies in the socket when the handler returns
                $peer->send(67, [self::ID, 5000]);
            }
            $peer->send(70, []);

            return \array_column($peer->readAll(), 0);
        });
        Worker::connect($this->proxy->path)->on('orders', static function (Message $message): void {
            $message->within(1.0, static fn () => null);
            self::spin(1.1);
        })->run();
        self::assertSame($expected, $this->proxy->result());
    }

    public static function cancellations(): array
    {
        return [
            'one came' => [true, [self::SETTLE, self::SYNC, 4]],
            'none came' => [false, [self::SETTLE, 4]],
        ];
    }

    /**
     * The ack of a short message waits while the next one's handler runs: for the proxy it is the short one that takes
     * so long, and it is that one which it takes for broken.
     */
    public function testAMessageIsNotBlamedForTheNextWhileItsAckWaits(): void
    {
        $rows = [...\array_fill(0, 40, Peer::row('short')), Peer::row('long')];
        $this->play(static function (Peer $peer) use ($rows): array {
            $peer->welcome();
            $others = [];
            // An ack waits only when the machine lets the long one begin within a moment of it: nearly always.
            for ($id = self::ID; $others === [] && $id < self::ID + 50 * \count($rows); $id += \count($rows)) {
                $peer->write(Peer::deliver($rows, $id, 20));
                $others = $peer->settled(\count($rows))['others'];
            }
            $peer->send(70, []);
            $peer->readAll();

            return [$others, $id - 1];
        });
        Worker::connect($this->proxy->path)->on('orders', static function (Message $message): void {
            $message->body === 'long' && self::spin(0.03);
        })->run();
        [$others, $long] = $this->proxy->result();
        self::assertCount(2, $others);
        self::assertLessThan($long, $others[0][0]);
        self::assertSame([4, -1, null], \array_slice($others[0], 1));
        self::assertSame([$long, 1, -1, 'deadline: it returned after its time'], $others[1]);
    }

    public function testHelloSaysWhetherTheSignalHasAHandler(): void
    {
        foreach ([[\SIG_DFL, 0], [\SIG_IGN, 0], [static fn () => null, 1]] as [$handler, $expected]) {
            \pcntl_signal(\SIGUSR1, $handler);
            $this->play(static fn (Peer $peer) => [$peer->welcome(), $peer->readAll()]);
            Client::connect('orders', $this->proxy->path)->close();
            [$hello] = $this->proxy->result();
            self::assertSame([$expected, 0], [$hello['signals'], $hello['batches']]);
        }
        \pcntl_signal(\SIGUSR1, \SIG_DFL);
        $this->play(static fn (Peer $peer) => [$peer->welcome(), $peer->send(70, []), $peer->readAll()]);
        Worker::connect($this->proxy->path)->on('orders', static fn () => null)->run();
        self::assertSame(1, $this->proxy->result()[0]['signals']);
    }

    private function play(callable $script): void
    {
        $this->proxy = Proxy::play($script);
    }

    /** A script that sends these rows, makes the mark before it answers a SYNC, and returns what it heard. */
    private function listen(array $rows, int $remainingMs = 30000, int $nVerdicts = \PHP_INT_MAX): callable
    {
        return function (Peer $peer) use ($rows, $remainingMs, $nVerdicts): array {
            $peer->welcome();
            $peer->write(Peer::deliver($rows, self::ID, $remainingMs));
            for ($heard = [], $n = 0; ($frame = $peer->read()) !== null; ) {
                $heard[] = $frame;
                if ($frame[0] === self::SYNC) {
                    \touch($this->mark);
                    $peer->send(73, $frame[1]);
                } elseif ($frame[0] === self::SETTLE) {
                    $n += \count(Peer::ids($frame[1][0])) + \count($frame[1][1] ?? []);
                    $n >= $nVerdicts && $peer->send(70, []);
                }
            }

            return $heard;
        };
    }

    private Client $client;

    private function message(string $transport, int $remainingMs = 30000): Message
    {
        \putenv("QBUS_TRANSPORT={$transport}");
        $this->play($this->listen([Peer::row('a')], $remainingMs));
        $this->client = Client::connect('orders', $this->proxy->path);

        return $this->client->next();
    }

    /** Everything that the client said after HELLO. */
    private function words(): array
    {
        $this->client->close();

        return $this->proxy->result();
    }

    private static function spin(float $seconds): void
    {
        for ($until = \hrtime(true) + $seconds * 1e9; \hrtime(true) < $until; ) {
        }
    }

    private static function until(callable $condition): void
    {
        for ($giveUp = \hrtime(true) + 20_000_000_000; !$condition() && \hrtime(true) < $giveUp; ) {
        }
    }
}
