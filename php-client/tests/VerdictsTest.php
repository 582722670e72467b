<?php
// SPDX-License-Identifier: MIT

declare(strict_types=1);

namespace Qbus\Tests;

use PHPUnit\Framework\TestCase;
use Qbus\Verdict;
use Qbus\Wire\Inbox;
use Qbus\Wire\Verdicts;
use Qbus\Wire\Word;

final class VerdictsTest extends TestCase
{
    public function testRunsThatTouchBecomeOne(): void
    {
        $verdicts = new Verdicts();
        foreach ([[30, 2], [12, 1], [10, 2], [13, 5], [40, 1]] as [$first, $count]) {
            $verdicts->addRun($first, $count);
        }
        self::assertSame([[10, 8, 30, 2, 40, 1], null, 7], self::value($verdicts->take(7)));
        self::assertSame('', $verdicts->take(0));
    }

    /** @dataProvider runs */
    public function testOneRunHasItsFrameWithOrWithoutAPacker(int $first, int $count, int $memory): void
    {
        $verdicts = new Verdicts();
        $verdicts->addRun($first, 1);
        if ($count > 1) {
            $verdicts->addRun($first + 1, $count - 1);
        }
        self::assertSame([[$first, $count], null, $memory], self::value($verdicts->take($memory)));
        self::assertSame('', $verdicts->take($memory));
    }

    public static function runs(): array
    {
        return [
            'one' => [1, 1, 0],
            'the longest that is short' => [(1 << 40) + 1, 127, 0xffffffff],
            'one more' => [(1 << 40) + 1, 128, 0xffffffff],
            'more memory' => [(1 << 40) + 1, 1, 1 << 32],
            'many' => [(1 << 40) + 1, 500, 2 << 20],
            'the most that a frame may have' => [\PHP_INT_MAX - (1 << 20), 1 << 20, \PHP_INT_MAX],
        ];
    }

    public function testARunThatEndedWaitsForTheOneThatGrows(): void
    {
        $verdicts = new Verdicts();
        $verdicts->addRun(10, 2);
        $verdicts->addRun(20, 1);
        $verdicts->addRun(21, 4);
        self::assertSame(10, $verdicts->firstAck());
        $verdicts->addRun(25, 1);
        self::assertSame([[10, 2, 20, 6], null, 0], self::value($verdicts->take(0)));
        $verdicts->addRun(26, 1);
        self::assertSame([[26, 1], null, 0], self::value($verdicts->take(0)));
    }

    public function testOtherVerdictsKeepTheirWordsAndReasonsAreCut(): void
    {
        $verdicts = new Verdicts();
        $verdicts->add(5, Verdict::Retry, 250, \str_repeat('r', 5000));
        $verdicts->add(6, Verdict::Release, -1, null);
        self::assertSame([[5, 1, 250, \str_repeat('r', 1024)], [6, 3, -1, null]], self::value($verdicts->take(0))[1]);
    }

    /** @dataProvider kinds */
    public function testItIsFullBeforeAFrameWouldBeTooLong(callable $add): void
    {
        $verdicts = new Verdicts();
        for ($id = 1 << 62, $n = 0; !$verdicts->isFull(); $id += 2, ++$n) {
            $add($verdicts, $id);
        }
        $frame = $verdicts->take(\PHP_INT_MAX);
        self::assertLessThan(65536, \strlen($frame));
        self::assertLessThan(16384, \count(self::value($frame), \COUNT_RECURSIVE));
    }

    public static function kinds(): array
    {
        $long = \str_repeat('x', 2000);

        return [
            'acks' => [static fn (Verdicts $v, int $id) => $v->addRun($id, 1)],
            'releases' => [static fn (Verdicts $v, int $id) => $v->add($id, Verdict::Release, -1, null)],
            'reasons' => [static fn (Verdicts $v, int $id) => $v->add($id, Verdict::Reject, -1, $long)],
        ];
    }

    /** @return array<int, mixed> of a frame that is one SETTLE and no more */
    private static function value(string $frame): array
    {
        $inbox = new Inbox();
        // The words of a worker are none that an inbox knows: it is said to be LATE, whose value is an array too.
        self::assertSame(Word::SETTLE, \ord($frame[4]));
        $frame[4] = \chr(Word::LATE);
        $inbox->append($frame);
        $value = $inbox->nextControl()[1];
        self::assertTrue($inbox->isEmpty());

        return $value;
    }
}
