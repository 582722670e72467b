<?php
// SPDX-License-Identifier: MIT

declare(strict_types=1);

namespace Qbus\Tests;

use PHPUnit\Framework\TestCase;
use Qbus\Verdict;
use Qbus\Wire\Verdicts;

final class VerdictsTest extends TestCase
{
    public function testRunsThatTouchBecomeOne(): void
    {
        $verdicts = new Verdicts();
        foreach ([[30, 2], [12, 1], [10, 2], [13, 5], [40, 1]] as [$first, $count]) {
            $verdicts->addRun($first, $count);
        }
        self::assertSame([[10, 8, 30, 2, 40, 1], null, 7], $verdicts->take(7));
        self::assertTrue($verdicts->isEmpty());
        self::assertSame([[], null, 0], $verdicts->take(0));
    }

    public function testOtherVerdictsKeepTheirWordsAndReasonsAreCut(): void
    {
        $verdicts = new Verdicts();
        $verdicts->add(5, Verdict::Retry, 250, \str_repeat('r', 5000));
        $verdicts->add(6, Verdict::Release, -1, null);
        self::assertSame([[5, 1, 250, \str_repeat('r', 1024)], [6, 3, -1, null]], $verdicts->take(0)[1]);
    }

    /** @dataProvider kinds */
    public function testItIsFullBeforeAFrameWouldBeTooLong(callable $add): void
    {
        $verdicts = new Verdicts();
        for ($id = 1 << 62, $n = 0; !$verdicts->isFull(); $id += 2, ++$n) {
            $add($verdicts, $id);
        }
        $value = $verdicts->take(\PHP_INT_MAX);
        self::assertLessThan(65536, \strlen((new \MessagePack(false))->pack($value)));
        self::assertLessThan(16384, \count($value, \COUNT_RECURSIVE));
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
}
