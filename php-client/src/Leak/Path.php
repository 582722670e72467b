<?php
// SPDX-License-Identifier: MIT

declare(strict_types=1);

namespace Qbus\Leak;

/**
 * One way to values that outlive a message, and how their size went from look to look. All elements of a list are one
 * path, and so are all objects of one class that hang on each other, as the nodes of a chain do.
 *
 * Holds numbers and names, never a value.
 *
 * @internal
 */
final class Path
{
    /** Looks remembered. */
    private const WINDOW = 30;

    /** Looks without which nobody is accused: a size that rises and falls by chance hardly sets 11 records in 12, or
     * 20 in 30. */
    private const ENOUGH = 12;

    /** Ways on from one path that have names of their own: keys that come and go must not make new ones for ever. */
    private const MAX_BELOW = 64;

    /** Paths in all; beyond it what is new is counted where it hangs. Numbers of paths have 17 bits. */
    private const MAX_PATHS = 100_000;

    /** Steps from a root; what lies deeper is counted where the depth ends. */
    private const MAX_DEPTH = 12;

    public readonly int $number;

    /** The pass of its root that saw it last; what it saw: size rises when something grows, bytes are its own. */
    public int $pass = 0;
    public int $size = 0;
    public int $bytes = 0;

    /** Bytes with all that hangs below. */
    public int $total = 0;

    /** Of a long list one piece is seen in a pass: how many passes see all of it, and how many times more there is. */
    public int $period = 1;
    public float $factor = 1.0;

    private static int $n = 0;

    /** Whether its size is that of strings, which vary more than numbers of things do. */
    private bool $isText = false;

    /** @var array<string|int, self> by what leads there, as PHP names it */
    private array $below = [];

    /** @var array<int, self> */
    private array $pieces = [];

    /** @var array<string|int, array<string, self>> the same for objects, and by their class */
    private array $objects = [];
    private int $depth = 0;

    // How it went: the largest size, a bit for each look (1: a new record), the looks in all, the totals of the last.
    private int $most = -1;
    private int $records = 0;
    private int $looks = -1;
    private int $quiet = 0;

    /** @var list<int> */
    private array $totals = [];

    public function __construct(
        public readonly string $label,
        public readonly ?self $above = null,
        private string $class = '',
    ) {
        $this->number = ++self::$n;
        if ($above !== null) {
            $this->depth = $above->depth + 1;
            $this->period = $above->period;
        }
    }

    /** The path of an array or a string that is found here under this name. */
    public function to(string|int $key, string $label): self
    {
        return $this->below[$key] ?? (\count($this->below) < self::MAX_BELOW
            ? $this->below[$key] = $this->make($label, '')
            : $this->below[''] ??= $this->make('[]', ''));
    }

    /** The path of an object of this class. A class that is on the way here already is that path again. */
    public function toObject(string|int $key, string $class, string $label): self
    {
        $path = $this->objects[$key][$class] ?? null;
        if ($path !== null) {
            return $path;
        }
        if (\count($this->objects) >= self::MAX_BELOW) {
            [$key, $label] = ['', '[]'];
        }
        for ($path = $this; $path !== null && $path->class !== $class; $path = $path->above);

        return $this->objects[$key][$class] ??= $path ?? $this->make($label, $class);
    }

    /** The path of one of the $n pieces of a long list; it has no name of its own. */
    public function toPiece(int $piece, int $n, float $factor): self
    {
        $path = $this->pieces[$piece] ??= $this->make('', $this->class);
        if ($path !== $this) {
            $path->period = $this->period * $n;
            $path->factor = $factor;
        }

        return $path;
    }

    /** It is an object of this class that begins here. */
    public function is(string $class): void
    {
        $this->class = $class;
    }

    /** It holds a string of so many bytes. */
    public function addText(int $length): void
    {
        $this->isText = true;
        $this->size += $length;
    }

    public function name(): string
    {
        return $this->above?->name() . $this->label;
    }

    /** A pass is over: what it saw becomes a part of the history. */
    public function record(): void
    {
        $isRecord = $this->size > $this->most;
        if ($isRecord || ++$this->quiet >= self::WINDOW) {
            $this->most = $this->size;
            $this->quiet = 0;
        }
        if ($this->looks >= 0) {
            $this->records = ($this->records << 1 | (int) $isRecord) & ((1 << self::WINDOW) - 1);
        }
        ++$this->looks;
        if ($this->records === 0) {
            $this->totals = [$this->total];
        } elseif (\array_push($this->totals, $this->total) > self::WINDOW + 1) {
            \array_shift($this->totals);
        }
    }

    public function isGrowing(): bool
    {
        if ($this->records === 0 || $this->looks < ($this->isText ? self::WINDOW : self::ENOUGH)) {
            return false;
        }
        $isKnown = !$this->isText && $this->looks >= self::WINDOW;

        return $isKnown ? $this->grew() * 3 >= self::WINDOW * 2 : $this->grew() * 9 >= $this->looks() * 8;
    }

    /** Looks, and in how many of them it grew, of the last that are remembered. */
    public function looks(): int
    {
        return \min($this->looks, self::WINDOW);
    }

    public function grew(): int
    {
        return \substr_count(\decbin($this->records), '1');
    }

    /** By how much, in those looks. */
    public function growth(): int
    {
        return $this->totals[\count($this->totals) - 1] - $this->totals[0];
    }

    private function make(string $label, string $class): self
    {
        return $this->depth < self::MAX_DEPTH && self::$n < self::MAX_PATHS ? new self($label, $this, $class) : $this;
    }
}
