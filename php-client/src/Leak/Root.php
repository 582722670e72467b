<?php
// SPDX-License-Identifier: MIT

declare(strict_types=1);

namespace Qbus\Leak;

/**
 * One place that outlives a message, and how far the walk from it has come.
 *
 * @internal
 */
final class Root
{
    public readonly Path $path;

    /** Walks begun. One may need several looks. */
    public int $pass = 0;

    /** Whether there are objects that the current pass has met and not entered. */
    public bool $isBegun = false;

    /** @var list<Path> what the current pass has seen, those above before those below */
    public array $seen = [];

    /** @var array<int, Path> that grow, by number */
    public array $growing = [];

    /** @param \Closure(): mixed $read its value now */
    public function __construct(public readonly int $number, string $label, private readonly \Closure $read)
    {
        $this->path = new Path($label);
    }

    public function value(): mixed
    {
        return ($this->read)();
    }

    /** The pass has seen all. */
    public function record(): void
    {
        for ($i = \count($this->seen) - 1; $i >= 0; --$i) {
            $path = $this->seen[$i];
            $path->total += $path->bytes;
            if ($path->above !== null) {
                $path->above->total += (int) ($path->total * $path->factor);
            }
        }
        foreach ($this->seen as $path) {
            $path->record();
            if ($path->isGrowing()) {
                $this->growing[$path->number] = $path;
            } else {
                unset($this->growing[$path->number]);
            }
        }
        $this->seen = [];
    }

    /** @return list<Path> that grow, but for those below one that grows: its growth is theirs */
    public function accused(): array
    {
        $accused = [];
        foreach ($this->growing as $number => $path) {
            if ($path->pass + $path->period < $this->pass) {
                unset($this->growing[$number]); // it is not there any more
                continue;
            }
            for ($above = $path->above; $above !== null && !isset($this->growing[$above->number]); ) {
                $above = $above->above;
            }
            if ($above === null) {
                $accused[] = $path;
            }
        }

        return $accused;
    }
}
