<?php
// SPDX-License-Identifier: MIT

declare(strict_types=1);

namespace Qbus\Leak;

/**
 * Look after look at what outlives a message, and what of it keeps growing. A look works for LOOK microseconds at most,
 * the collection of garbage not counted; what it did not get to see comes first in the next.
 *
 * @internal
 */
final class Survey
{
    private const LOOK = 20_000;

    /** Microseconds that one root may take before the others had their turn. */
    private const TURN = 2_000;

    private const MAX_ROWS = 32;
    private const MAX_NAME = 256;

    private readonly Roots $roots;
    private readonly Walk $walk;
    private int $looks = 0;

    /** The root with which the next look begins. */
    private int $next = 0;

    /** @param array<array-key, callable> $handlers */
    public function __construct(array $handlers = [])
    {
        $this->roots = new Roots($handlers);
        $this->walk = new Walk();
    }

    public function looks(): int
    {
        return $this->looks;
    }

    public function look(): void
    {
        \gc_collect_cycles();
        $until = Walk::now() + self::LOOK;
        $this->roots->find();
        $begun = $this->walkEach($until);
        while ($begun !== [] && Walk::now() < $until) {
            $root = \array_shift($begun);
            if (!$this->walk->go($root, $until)) {
                $begun[] = $root;
            }
        }
        ++$this->looks;
    }

    /**
     * What keeps growing, the most first.
     *
     * @return list<array{string, int, int, int}> path, looks, in how many of them it grew, bytes
     */
    public function rows(): array
    {
        $rows = [];
        foreach ($this->roots->list as $root) {
            foreach ($root->accused() as $path) {
                $name = \substr($path->name(), 0, self::MAX_NAME);
                $rows[$name] ??= [$name, $path->looks(), $path->grew(), \max(0, $path->growth())];
            }
        }
        \usort($rows, static fn (array $a, array $b): int => $b[3] <=> $a[3]);

        return \array_slice($rows, 0, self::MAX_ROWS);
    }

    /** @return list<Root> those that need more than one turn */
    private function walkEach(int $until): array
    {
        $begun = [];
        $n = \count($this->roots->list);
        for ($left = $n; $left > 0 && ($now = Walk::now()) < $until; --$left) {
            $root = $this->roots->list[$this->next];
            $this->next = ($this->next + 1) % $n;
            if (!$this->walk->go($root, \min($until, $now + self::TURN))) {
                $begun[] = $root;
            }
        }

        return $begun;
    }
}
