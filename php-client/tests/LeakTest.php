<?php
// SPDX-License-Identifier: MIT

declare(strict_types=1);

namespace Qbus\Tests;

use PHPUnit\Framework\TestCase;
use Qbus\Leak\Survey;
use Qbus\Leak\Walk;

/** What keeps growing is named, what does not is not, and looking changes nothing. */
final class LeakTest extends TestCase
{
    private const SIX = [
        'App\Cache::$items',
        'App\Handler->dispatcher->listeners',
        'App\Visit::$last',
        'function App\handle() static $seen',
        'global $log',
        '{closure leaks.php:%d} use $caught',
    ];

    /** @dataProvider paces */
    public function testSixLeaksAmong50000ObjectsAreNamedWithin200MessagesAndNothingElseIs(int $every): void
    {
        $told = self::survey('leaky', $every, 200);
        $before = \strstr(\file_get_contents(__DIR__ . '/fixtures/leaks.php'), 'use (&$caught)', true);
        $line = 1 + \substr_count($before, "\n");
        $six = \array_map(static fn ($path) => \sprintf($path, $line), self::SIX);
        \sort($six);
        $named = \array_keys($told['named']);
        \sort($named);
        self::assertSame($six, $named);
        self::assertLessThanOrEqual(200, \max($told['named']));
        foreach ($told['rows'] as [$path, $looks, $grew, $bytes]) {
            self::assertGreaterThanOrEqual(12, $looks, $path);
            self::assertGreaterThanOrEqual($looks - 1, $grew, $path);
            // Every message leaves a string of about ten bytes at least.
            self::assertGreaterThan(10 * $looks * $every, $bytes, $path);
        }
    }

    public static function paces(): array
    {
        return ['every 5 messages' => [5], 'every 12 messages' => [12]];
    }

    public function test50000ObjectsThatChangeAndAreReplacedAreNotAccusedAndALookIsShort(): void
    {
        $told = self::survey('good', 5, 1000);
        self::assertSame([], $told['named']);
        // 20 ms and the collection of garbage.
        self::assertLessThan(40.0, $told['median']);
    }

    /** @dataProvider growths */
    public function testItIsNamed(string $path, callable $grow): void
    {
        $handler = new class () {
            public mixed $it = null;
        };
        $survey = new Survey([$handler]);
        for ($i = 0; $i < 32; ++$i) {
            $grow($handler, $i);
            $survey->look();
        }
        $paths = \array_column($survey->rows(), 0);
        self::assertContains(Walk::shown($handler::class) . $path, $paths, \implode("\n", $paths));
    }

    public static function growths(): array
    {
        $new = static fn (int $i) => (object) ['i' => $i];

        return [
            'an array under a key' => ['->it[\'new\']', static function (object $o, int $i): void {
                $o->it['old'] = 1;
                $o->it['new'][] = $i;
            }],
            'an array in the objects of an array' => ['->it[]->list', static function (object $o, int $i): void {
                $o->it ??= [(object) ['list' => []], (object) ['list' => []]];
                $o->it[$i % 2]->list[] = $i;
            }],
            'a string' => ['->it', static fn (object $o) => $o->it .= \str_repeat('x', 300)],
            'an object that is used as a map' => ['->it', static function (object $o, int $i): void {
                $o->it ??= new \stdClass();
                $o->it->{"key {$i}"} = $i;
            }],
            'an object storage' => ['->it', static function (object $o, int $i) use ($new): void {
                $o->it ??= new \SplObjectStorage();
                $o->it->attach($new($i));
            }],
            'a queue' => ['->it', static function (object $o, int $i) use ($new): void {
                $o->it ??= new \SplQueue();
                $o->it->enqueue($new($i));
            }],
            'a heap' => ['->it', static function (object $o, int $i): void {
                $o->it ??= new \SplMinHeap();
                $o->it->insert($i);
            }],
            'an array object whose class counts wrongly' => ['->it', static function (object $o, int $i): void {
                $o->it ??= new class () extends \ArrayObject {
                    public function count(): int
                    {
                        throw new \LogicException('the application is not asked');
                    }
                };
                $o->it[] = $i;
            }],
            'a list in an array object' => ['->it[\'list\']', static function (object $o, int $i): void {
                $o->it ??= new \ArrayObject();
                $o->it['list'] = \range(0, $i);
            }],
            'what closures capture' => ['->it', static function (object $o, int $i): void {
                $former = $o->it;
                $o->it = static fn () => [$i, $former];
            }],
            'a list longer than one look sees' => ['->it', static function (object $o, int $i): void {
                $o->it = \array_fill(0, 20_000 + $i, 1);
            }],
        ];
    }

    public function testAListThatIsEmptiedInTimeIsNotAccusedForLong(): void
    {
        $handler = new class () {
            public array $list = [];
        };
        $survey = new Survey([$handler]);
        for ($i = 0, $accused = 0; $i < 100; ++$i) {
            $handler->list = $i % 7 === 0 ? [] : [...$handler->list, $i];
            $survey->look();
            $accused += \count(\preg_grep('/->list/', \array_column($survey->rows(), 0)));
        }
        self::assertSame(0, $accused);
    }

    public function testWhatStopsGrowingIsNotAccusedAnyMore(): void
    {
        $handler = new class () {
            public array $list = [];
        };
        $survey = new Survey([$handler]);
        $isAccused = static fn () => \preg_grep('/->list/', \array_column($survey->rows(), 0)) !== [];
        for ($i = 0; $i < 20; ++$i) {
            $handler->list[] = $i;
            $survey->look();
        }
        self::assertTrue($isAccused());
        for ($i = 0; $i < 6; ++$i) {
            $survey->look();
        }
        self::assertFalse($isAccused());
    }

    public function testKeysThatComeAndGoDoNotMakeTheSurveyItselfGrow(): void
    {
        $handler = new class () {
            public array $current = [];
        };
        $survey = new Survey([$handler]);
        $work = static function (int $n) use ($handler, $survey): void {
            for ($i = 0; $i < $n; ++$i) {
                $handler->current = ["order {$n} {$i}" => ['items' => [1, 2, 3]]];
                $survey->look();
            }
        };
        $work(200);
        $before = \memory_get_usage();
        $work(201);
        self::assertLessThan(64 << 10, \memory_get_usage() - $before);
    }

    public function testNothingIsKeptAliveByALook(): void
    {
        $handler = new class () {
            public array $list = [];
        };
        $survey = new Survey([$handler]);
        $handler->list = [(object) ['deep' => (object) []], static fn () => null];
        $references = [
            \WeakReference::create($handler->list[0]),
            \WeakReference::create($handler->list[0]->deep),
            \WeakReference::create($handler->list[1]),
        ];
        $survey->look();
        $handler->list = [];
        foreach ($references as $reference) {
            self::assertNull($reference->get());
        }
    }

    public function testLookingMovesNoCursorAndSplitsNoReference(): void
    {
        $handler = new class () {
            public \SplObjectStorage $storage;
            public \SplQueue $queue;
            public array $list = [1, 2, 3];
        };
        $handler->storage = new \SplObjectStorage();
        $handler->queue = new \SplQueue();
        foreach ([1, 2, 3] as $i) {
            $handler->storage->attach((object) ['i' => $i]);
            $handler->queue->enqueue($i);
        }
        $handler->storage->rewind();
        $handler->storage->next();
        $handler->queue->rewind();
        $handler->queue->next();
        \next($handler->list);
        $alias = &$handler->list[0];
        (new Survey([$handler]))->look();
        $alias = 7;
        self::assertSame(2, $handler->storage->current()->i);
        self::assertSame(2, $handler->queue->current());
        self::assertSame(2, \current($handler->list));
        self::assertSame(7, $handler->list[0]);
    }

    /** @return array{named: array<string, int>, rows: list<array{string, int, int, int}>, median: float} */
    private static function survey(string $what, int $every, int $n): array
    {
        $command = [\PHP_BINARY, __DIR__ . '/fixtures/survey.php', $what, (string) $every, (string) $n];
        $process = \proc_open($command, [1 => ['pipe', 'w']], $pipes);
        $told = \stream_get_contents($pipes[1]);
        self::assertSame(0, \proc_close($process), $told);

        return \json_decode($told, true, flags: \JSON_THROW_ON_ERROR);
    }
}
