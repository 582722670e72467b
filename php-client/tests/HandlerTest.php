<?php
// SPDX-License-Identifier: MIT

declare(strict_types=1);

namespace Qbus\Tests;

use PHPUnit\Framework\TestCase;
use Qbus\AlreadySettled;
use Qbus\DeadlineExceeded;
use Qbus\DoNotRetry;
use Qbus\Message;
use Qbus\QbusException;
use Qbus\Reject;
use Qbus\Retry;
use Qbus\Testing\FakeProxy;
use Qbus\Testing\Settled;
use Qbus\Verdict;

final class HandlerTest extends TestCase
{
    /** @dataProvider handlers */
    public function testWhatAHandlerDoesIsAVerdict(callable $handler, Settled $expected): void
    {
        $proxy = new FakeProxy();
        self::assertEquals($expected, $proxy->handle($handler, $proxy->message('body')));
    }

    public static function handlers(): array
    {
        $throw = static fn (\Throwable $thrown) => static fn () => throw $thrown;
        $mine = new class ('no such customer') extends \DomainException implements DoNotRetry {
        };

        return [
            'return' => [static fn () => null, new Settled(1, Verdict::Ack)],
            'return something' => [static fn () => 42, new Settled(1, Verdict::Ack)],
            'return Reject' => [static fn () => new Reject('why'), new Settled(1, Verdict::Reject, null, 'why')],
            'throw Reject' => [$throw(new Reject('why')), new Settled(1, Verdict::Reject, null, 'why')],
            'throw' => [
                $throw(new \LogicException('x')),
                new Settled(1, Verdict::Retry, null, 'LogicException at ' . __FILE__ . ':' . (__LINE__ - 1) . ': x'),
            ],
            'throw Error' => [
                $throw(new \TypeError('x')),
                new Settled(1, Verdict::Retry, null, 'TypeError at ' . __FILE__ . ':' . (__LINE__ - 1) . ': x'),
            ],
            'throw Retry' => [$throw(new Retry()), new Settled(1, Verdict::Retry)],
            'throw Retry after' => [$throw(new Retry(5.0, 'busy')), new Settled(1, Verdict::Retry, 5.0, 'busy')],
            'return Retry' => [static fn () => new Retry(after: 0.5), new Settled(1, Verdict::Retry, 0.5)],
            'throw DoNotRetry' => [
                $throw($mine),
                new Settled(1, Verdict::Reject, null, 'DomainException@anonymous at ' . __FILE__ . ":{$mine->getLine()}: no such customer"),
            ],
            'throw DeadlineExceeded' => [
                $throw(new DeadlineExceeded('x')),
                new Settled(1, Verdict::Retry, null, 'deadline: x'),
            ],
            'ack itself' => [static fn (Message $m) => $m->ack(), new Settled(1, Verdict::Ack)],
            'retry itself' => [
                static fn (Message $m) => $m->retry(2, 'later'),
                new Settled(1, Verdict::Retry, 2.0, 'later'),
            ],
            'reject itself' => [static fn (Message $m) => $m->reject(), new Settled(1, Verdict::Reject)],
        ];
    }

    public function testThePlaceOfAThrowIsBounded(): void
    {
        $thrown = new \RuntimeException(\str_repeat('long ', 500));
        (new \ReflectionProperty(\Exception::class, 'file'))->setValue($thrown, '/srv/' . \str_repeat('deep/', 100) . 'App.php');
        $proxy = new FakeProxy();
        $settled = $proxy->handle(static fn () => throw $thrown, $proxy->message('body'));
        self::assertMatchesRegularExpression('~^RuntimeException at \.\.\.[a-z/]+/App\.php:\d+: long ~', $settled->reason);
        self::assertLessThan(160, \strpos($settled->reason, ': long'));
    }

    public function testASecondVerdictThrows(): void
    {
        $message = (new FakeProxy())->message();
        $message->ack();
        foreach (['ack', 'retry', 'reject'] as $verdict) {
            try {
                $message->$verdict();
                self::fail("{$verdict} after ack");
            } catch (AlreadySettled $error) {
                self::assertInstanceOf(QbusException::class, $error);
            }
        }
    }

    public function testAnExceptionAfterAVerdictDoesNotChangeIt(): void
    {
        $proxy = new FakeProxy();
        $message = $proxy->message();
        try {
            $proxy->handle(static function (Message $m): void {
                $m->ack();
                throw new \LogicException('afterwards');
            }, $message);
            self::fail('the test should hear of it');
        } catch (\LogicException) {
            self::assertSame(Verdict::Ack, $proxy->verdictOf($message)->verdict);
        }
    }

    public function testAMessageOfKafkaHasItsPlace(): void
    {
        $message = (new FakeProxy())->message('{}', key: 'k', timestamp: 1700000000000, source: 'orders', attempt: 2);
        self::assertSame(['{}', 'k'], [$message->body, $message->key]);
        self::assertSame(['orders', 2], [$message->source, $message->attempt]);
        self::assertSame([0, $message->id], [$message->partition, $message->offset]);
        self::assertSame([null, null], [$message->routingKey, $message->deliveryTag]);
        self::assertSame(1700000000000, $message->timestamp);
        self::assertTrue(isset($message->offset));
        self::assertFalse(isset($message->routingKey));
    }

    public function testAMessageOfAmqpHasItsPlace(): void
    {
        $message = (new FakeProxy())->message('{}', routingKey: 'mail.send');
        self::assertSame([null, null], [$message->partition, $message->offset]);
        self::assertSame(['mail.send', $message->id], [$message->routingKey, $message->deliveryTag]);
        self::assertNull($message->timestamp);
        self::assertNull($message->key);
    }

    public function testOfRepeatedHeadersTheLastOneWinsAndAllCanBeHad(): void
    {
        $message = (new FakeProxy())->message(headers: ['via' => ['a', 'b'], 'type' => 'order']);
        self::assertSame(['via' => 'b', 'type' => 'order'], $message->headers);
        self::assertSame(['a', 'b'], $message->headerValues('via'));
        self::assertSame([], $message->headerValues('none'));
    }

    /** @dataProvider bodies */
    public function testABodyIsReadAsAStreamWhetherItIsStreamedOrNot(bool $streamed): void
    {
        $body = \str_repeat("a line of some length\n", 20000);
        $proxy = new FakeProxy();
        $message = $proxy->message($body, streamed: $streamed);
        self::assertSame([\strlen($body), $streamed], [$message->size, $message->isStreamed()]);
        $stream = $message->stream();
        self::assertSame("a line of some length\n", \fgets($stream));
        self::assertSame(\strlen($body), \fstat($stream)['size']);
        self::assertSame(0, \fseek($stream, -12, \SEEK_END));
        self::assertSame("some length\n", \fread($stream, 100));
        self::assertTrue(\feof($stream));
        self::assertSame(-1, \fseek($stream, 1, \SEEK_END));
        self::assertTrue(\rewind($stream));
        self::assertTrue(\stream_get_contents($stream) === $body);
        self::assertFalse(@\fwrite($stream, 'x'));
        self::assertTrue($message->body === $body);
        self::assertTrue(isset($message->body));
        $message->ack();
        self::assertTrue($message->body === $body);
        $this->expectException(AlreadySettled::class);
        \fread($message->stream(), 1);
    }

    /** @dataProvider bodies */
    public function testAStreamEndsWithTheDeadline(bool $streamed): void
    {
        $proxy = new FakeProxy();
        $message = $proxy->message('body', timeout: 0.0, streamed: $streamed);
        self::assertEquals(
            new Settled(1, Verdict::Retry, null, 'deadline: message 1 of test is past its deadline'),
            $proxy->handle(static fn (Message $m) => \fread($m->stream(), 10), $message),
        );
    }

    public static function bodies(): array
    {
        return ['whole' => [false], 'streamed' => [true]];
    }

    public function testNobodyOpensABodyByName(): void
    {
        (new FakeProxy())->message('body')->stream();
        self::assertFalse(@\fopen('qbus-body://1', 'rb'));
    }

    public function testAMessageCannotBeChanged(): void
    {
        $message = (new FakeProxy())->message();
        $this->expectException(\LogicException::class);
        $message->offset = 5;
    }

    public function testATypoInAPropertyIsLoud(): void
    {
        $this->expectException(\LogicException::class);
        (new FakeProxy())->message()->ofset;
    }

    public function testTheClockEndsAMessage(): void
    {
        $message = (new FakeProxy())->message(timeout: 0.0);
        self::assertTrue($message->isCancelled());
        self::assertSame(0.0, $message->remaining());
        $this->expectException(DeadlineExceeded::class);
        $message->checkpoint();
    }

    public function testACancellationEndsThatMessageOnly(): void
    {
        $proxy = new FakeProxy();
        [$first, $second] = [$proxy->message(), $proxy->message()];
        $proxy->cancel($first);
        self::assertTrue($first->isCancelled());
        self::assertSame(0.0, $first->remaining());
        self::assertFalse($second->isCancelled());
        self::assertGreaterThan(10.0, $second->remaining());
    }

    public function testExtendMovesTheDeadline(): void
    {
        $message = (new FakeProxy())->message(timeout: 5.0);
        self::assertSame(60.0, $message->extend(60.0));
        self::assertGreaterThan(30.0, $message->remaining());
    }

    public function testExtendThrowsWhenNothingIsGranted(): void
    {
        $proxy = new FakeProxy();
        $proxy->limitExtension(0.0);
        $this->expectException(DeadlineExceeded::class);
        $proxy->message()->extend(60.0);
    }

    public function testExtendAfterTheVerdictThrows(): void
    {
        $message = (new FakeProxy())->message();
        $message->ack();
        $this->expectException(AlreadySettled::class);
        $message->extend(1.0);
    }

    public function testAPartOfAHandlerHasItsLimit(): void
    {
        $proxy = new FakeProxy();
        $message = $proxy->message();
        self::assertSame(7, $message->within(1.0, static fn () => 7));
        $own = new \RuntimeException('read error on connection');
        try {
            $message->within(1.0, static function () use ($proxy, $message, $own): void {
                $proxy->cancel($message);
                throw $own;
            });
            self::fail('it was cancelled');
        } catch (DeadlineExceeded $exceeded) {
            self::assertSame($own, $exceeded->getPrevious());
        }
    }

    public function testAPartThatIsOverTimeFailsTheMessageForThatReason(): void
    {
        $proxy = new FakeProxy();
        $slow = static fn (Message $m) => $m->within(0.001, static fn () => \usleep(2000));
        $settled = $proxy->handle($slow, $proxy->message());
        self::assertSame(Verdict::Retry, $settled->verdict);
        self::assertSame('deadline: a part of message 1 of test took longer than 0.001 s', $settled->reason);
    }

    public function testABatchHasAVerdictForEach(): void
    {
        $proxy = new FakeProxy();
        $batch = [$proxy->message('a'), $proxy->message('b'), $proxy->message('c')];
        $settled = $proxy->handleBatch(static fn (array $messages) => $messages[1]->reject('why'), $batch);
        self::assertEquals(
            [new Settled(1, Verdict::Ack), new Settled(2, Verdict::Reject, null, 'why'), new Settled(3, Verdict::Ack)],
            $settled,
        );
    }

    public function testABatchThatThrowsIsJudgedButForWhatHasItsVerdict(): void
    {
        $proxy = new FakeProxy();
        $settled = $proxy->handleBatch(static function (array $messages): void {
            $messages[0]->ack();
            throw new \LogicException('x');
        }, [$proxy->message('a'), $proxy->message('b')]);
        $reason = 'LogicException at ' . __FILE__ . ':' . (__LINE__ - 2) . ': x';
        self::assertEquals(
            [new Settled(1, Verdict::Ack), new Settled(2, Verdict::Retry, null, $reason)],
            $settled,
        );
    }
}
