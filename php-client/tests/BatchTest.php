<?php
// SPDX-License-Identifier: MIT

declare(strict_types=1);

namespace Qbus\Tests;

use PHPUnit\Framework\TestCase;
use Qbus\Message;
use Qbus\Reject;
use Qbus\Tests\Support\Peer;
use Qbus\Tests\Support\Proxy;
use Qbus\Worker;

/** Messages that are handled together. */
final class BatchTest extends TestCase
{
    private const ID = Peer::FIRST_ID;

    private ?Proxy $proxy = null;

    protected function tearDown(): void
    {
        $this->proxy?->end();
        \putenv('QBUS_TRANSPORT');
    }

    /**
     * @testWith ["socket"]
     *           ["stream"]
     */
    public function testMessagesComeTogetherAndThoseWithoutAVerdictAreAcked(string $transport): void
    {
        \putenv("QBUS_TRANSPORT={$transport}");
        $worker = $this->worker(static function (Peer $peer): array {
            $peer->write(Peer::deliver(self::rows('abcde')) . Peer::deliver(self::rows('fg'), self::ID + 5));

            return $peer->settled(7);
        });
        $batches = [];
        $worker->onBatch('orders', 3, 0.05, static function (array $messages) use (&$batches): void {
            $batches[] = \implode('', \array_map(static fn (Message $message) => $message->body, $messages));
            foreach ($messages as $message) {
                match ($message->body) {
                    'b' => $message->reject('why'),
                    'd' => $message->retry(2.0),
                    'e' => $message->ack(),
                    default => null,
                };
            }
        })->run();
        [$hello, $settled] = $this->proxy->result();
        self::assertSame(['abc', 'def', 'g'], $batches);
        self::assertSame([3, 1], [$hello['credit'], $hello['batches']]);
        self::assertSame([self::ID, self::ID + 2, self::ID + 5, self::ID + 6], $settled['acks']);
        self::assertSame([
            [self::ID + 1, 2, -1, 'why'],
            [self::ID + 3, 1, 2000, null],
            [self::ID + 4, 4, -1, null],
        ], $settled['others']);
    }

    public function testAnExceptionJudgesThoseWithoutAVerdict(): void
    {
        $worker = $this->worker(static function (Peer $peer): array {
            $peer->write(Peer::deliver(self::rows('abcd')));

            return $peer->settled(4);
        });
        $worker->onBatch('orders', 2, 0.05, static function (array $messages): void {
            $messages[0]->ack();
            throw $messages[0]->body === 'a' ? new \LogicException('broken') : new Reject('why');
        })->run();
        self::assertSame([
            [self::ID, 4, -1, null],
            [self::ID + 1, 1, -1, 'LogicException at ' . __FILE__ . ':' . (__LINE__ - 4) . ': broken'],
            [self::ID + 2, 4, -1, null],
            [self::ID + 3, 2, -1, 'why'],
        ], $this->proxy->result()[1]['others']);
    }

    public function testABatchIsNotKeptLongerThanItMayWait(): void
    {
        $worker = $this->worker(static function (Peer $peer): array {
            $peer->write(Peer::deliver(self::rows('a')));

            return $peer->settled(1);
        });
        $begin = \hrtime(true);
        $worker->onBatch('orders', 100, 0.1, static fn (array $messages) => self::assertCount(1, $messages))->run();
        self::assertGreaterThan(0.1, (\hrtime(true) - $begin) / 1e9);
        self::assertSame([self::ID], $this->proxy->result()[1]['acks']);
    }

    public function testAMessageOfAnotherPipelineEndsTheGatheringAndHasItsOwnHandler(): void
    {
        $worker = $this->worker(static function (Peer $peer): array {
            $peer->write(Peer::deliver(self::rows('ab')) . Peer::deliver(self::rows('x'), self::ID + 2, 30000, 1)
                . Peer::deliver(self::rows('c'), self::ID + 3));

            return $peer->settled(4);
        });
        $order = [];
        $worker->onBatch('orders', 10, 0.05, static function (array $messages) use (&$order): void {
            $order[] = \count($messages);
        })->on('mails', static function (Message $message) use (&$order): void {
            $order[] = $message->body;
        })->run();
        [$hello, $settled] = $this->proxy->result();
        self::assertSame([2, 'x', 1], $order);
        self::assertSame(['mails', 'orders'], $hello['pipelines']);
        self::assertSame(\range(self::ID, self::ID + 3), $settled['acks']);
    }

    public function testAllHaveTheTimeOfTheFirstAndTheWaitingIsPartOfIt(): void
    {
        $worker = $this->worker(static function (Peer $peer): array {
            $peer->write(Peer::deliver(self::rows('ab'), self::ID, 5000));

            return $peer->settled(2);
        });
        $left = [];
        $worker->onBatch('orders', 3, 0.1, static function (array $messages) use (&$left): void {
            foreach ($messages as $message) {
                $left[] = $message->remaining();
            }
        })->run();
        $this->proxy->result();
        self::assertEqualsWithDelta($left[0], $left[1], 1.0);
        self::assertLessThanOrEqual(4.9, \max($left));
    }

    /** A call that was broken spoils all that is held, also what lies here and was not begun. */
    public function testAfterABatchThatTookTooLongTheRestIsHandedBack(): void
    {
        $worker = $this->worker(static function (Peer $peer): array {
            $peer->write(Peer::deliver(self::rows('abc'), self::ID, 30));
            $settled = $peer->settled(3);

            return $settled + ['syncs' => $peer->nSyncs];
        });
        $worker->onBatch('orders', 2, 0.01, static function (): void {
            for ($until = \hrtime(true) + 50_000_000; \hrtime(true) < $until; ) {
            }
        })->run();
        $settled = $this->proxy->result()[1];
        self::assertSame([[self::ID, self::ID + 1], 1], [$settled['acks'], $settled['syncs']]);
        self::assertSame([[self::ID + 2, 3, -1, null]], $settled['others']);
    }

    public function testASignalHandsBackWhatIsGathered(): void
    {
        $runner = \posix_getpid();
        $worker = $this->worker(static function (Peer $peer) use ($runner): array {
            $peer->write(Peer::deliver(self::rows('m'), self::ID, 30000, 1)
                . Peer::deliver(self::rows('ab'), self::ID + 1));
            $peer->settled(1);
            \posix_kill($runner, \SIGTERM);

            return $peer->settled(2);
        }, false);
        $worker->on('mails', static fn () => null)
            ->onBatch('orders', 10, 20.0, static fn () => self::fail('it began'))->run();
        $others = $this->proxy->result()[1]['others'];
        self::assertSame([[self::ID + 1, 3, -1, null], [self::ID + 2, 3, -1, null]], $others);
    }

    public function testABatchThatWaitsAsLongAsItMayTakeIsRefused(): void
    {
        $worker = $this->worker(static fn (Peer $peer) => $peer->readAll());
        $this->expectException(\LogicException::class);
        $this->expectExceptionMessage('a batch of orders would wait 30 s, and its handler_timeout is 30 s');
        $worker->onBatch('orders', 10, 30.0, static fn () => null)->run();
    }

    /**
     * @testWith [0, 1.0]
     *           [1, -1.0]
     */
    public function testABatchOfNothingIsRefused(int $size, float $wait): void
    {
        $this->expectException(\LogicException::class);
        Worker::connect('/nonexistent')->onBatch('orders', $size, $wait, static fn () => null);
    }

    /** @return list<array<int, mixed>> */
    private static function rows(string $bodies): array
    {
        return \array_map(static fn ($body) => Peer::row($body), \str_split($bodies));
    }

    /** Its proxy plays this script behind the greeting, then drains; the result is HELLO and the script's. */
    private function worker(callable $script, bool $drains = true): Worker
    {
        $this->proxy = Proxy::play(static function (Peer $peer) use ($script, $drains): array {
            $hello = $peer->welcome();
            $result = $script($peer);
            $drains && $peer->send(70, []);
            $peer->readAll();

            return [$hello, $result];
        });

        return Worker::connect($this->proxy->path);
    }
}
