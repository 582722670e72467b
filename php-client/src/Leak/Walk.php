<?php
// SPDX-License-Identifier: MIT

declare(strict_types=1);

namespace Qbus\Leak;

/**
 * Walks from a root through all that hangs on it, and measures it by path. No code of the application runs by it, and
 * nothing is kept alive by it: between two looks it knows objects by weak references only.
 *
 * Each object belongs to the root that met it first, so a container that everybody knows is walked once and its growth
 * has one name. It goes to another when two passes of its owner have not met it.
 *
 * @internal
 */
final class Walk
{
    /** Elements of a list that one pass sees; those of a longer one are seen piece by piece, up to so many pieces. */
    private const PIECE = 2000;
    private const MAX_PIECES = 100;

    /** Arrays in arrays; also what ends the walk of one that holds a reference to itself. */
    private const MAX_NESTED = 8;

    /** An array with no more elements has a path for each, by its key. */
    private const MAX_NAMED = 32;

    /** Strings that are long enough to be watched one by one. */
    private const LONG = 256;

    /** Objects remembered, at about 70 bytes; beyond it new ones are not entered until others are gone. */
    private const MAX_MARKS = 250_000;

    // A mark: number of the owner, its pass, whether the object is still to be entered in that pass, and as what path.
    private const OWNER = 42;
    private const PASS = 18;
    private const PASS_MASK = (1 << self::OWNER - self::PASS) - 1;
    private const AHEAD = 1 << 17;
    private const PATH_MASK = self::AHEAD - 1;

    /** Objects entered between two looks at the clock. */
    private const STRIDE = 32;

    /** @var \WeakMap<object, int> marks: all that is kept of objects, as a second weak reference to each would cost more */
    private readonly \WeakMap $marks;

    /** @var array<int, Path> of objects, by number */
    private array $known = [];

    /** @var array<int, Root> */
    private array $roots = [];
    private Root $root;

    /** @var list<object> to be entered, and the paths of each */
    private array $objects = [];

    /** @var list<Path> */
    private array $paths = [];

    /** Elements looked at since the last look at the clock. */
    private int $work = 0;

    public function __construct()
    {
        $this->marks = new \WeakMap();
    }

    /** Begins a pass from this root, or goes on with it, until all is seen or now() passes $until; whether all is. */
    public function go(Root $root, int $until): bool
    {
        $this->root = $this->roots[$root->number] = $root;
        if ($root->isBegun) {
            $this->resume();
        } else {
            ++$root->pass;
            $this->begin($root->value());
        }
        $entered = $this->enterAll($until);
        $root->isBegun = $entered < \count($this->objects);
        if ($root->isBegun) {
            $this->suspend($entered);
        } else {
            $root->record();
        }
        $this->objects = $this->paths = [];

        return !$root->isBegun;
    }

    /** Microseconds that this process has worked: a busy machine makes nobody see less. */
    public static function now(): int
    {
        $used = \getrusage();

        return ($used['ru_utime.tv_sec'] + $used['ru_stime.tv_sec']) * 1_000_000
            + $used['ru_utime.tv_usec'] + $used['ru_stime.tv_usec'];
    }

    /** What a path that begins with this object is called. */
    public static function nameOf(object $object): string
    {
        if (!$object instanceof \Closure) {
            return self::shown($object::class);
        }
        $function = new \ReflectionFunction($object);

        return $function->isInternal() || !\str_contains($function->name, '{closure')
            ? "closure of {$function->name}()"
            : '{closure ' . \basename((string) $function->getFileName()) . ":{$function->getStartLine()}}";
    }

    /** A class without a name has one that tells a file, behind a zero byte. */
    public static function shown(string $class): string
    {
        $end = \strpos($class, "\0");

        $file = \strtok(\basename(\substr($class, $end ?: 0)), '$');

        return $end === false ? $class : \substr($class, 0, $end) . " {$file}";
    }

    private function begin(mixed $value): void
    {
        $path = $this->root->path;
        $this->see($path);
        if (\is_object($value)) {
            $path->is($value::class);
            $this->meet($value, $path, $path);
        } elseif (\is_array($value)) {
            $this->measureArray($value, $path, 0);
        } elseif (\is_string($value)) {
            $path->addText(\strlen($value));
            $path->bytes += \strlen($value);
        }
    }

    private function resume(): void
    {
        foreach ($this->marks as $object => $mark) {
            if (($mark & self::AHEAD) !== 0 && $mark >> self::OWNER === $this->root->number) {
                $this->objects[] = $object;
                $this->paths[] = $this->known[$mark & self::PATH_MASK];
            }
        }
        foreach ($this->objects as $object) {
            $this->marks[$object] &= ~self::AHEAD;
        }
    }

    private function suspend(int $entered): void
    {
        for ($i = $entered; $i < \count($this->objects); ++$i) {
            $this->known[$this->paths[$i]->number] = $this->paths[$i];
            $this->marks[$this->objects[$i]] |= self::AHEAD | $this->paths[$i]->number;
        }
    }

    /** How many of the objects were entered before the time was over. */
    private function enterAll(int $until): int
    {
        $this->work = 0;
        for ($i = 0; $i < \count($this->objects); ++$i) {
            if ($this->work++ >= self::STRIDE) {
                if (self::now() >= $until) {
                    return $i;
                }
                $this->work = 0;
            }
            $this->enter($this->objects[$i], $this->paths[$i]);
        }

        return $i;
    }

    private function see(Path $path): void
    {
        if ($path->pass !== $this->root->pass) {
            $path->pass = $this->root->pass;
            $path->size = $path->bytes = $path->total = 0;
            $this->root->seen[] = $path;
        }
    }

    /** Whether the object is this root's, and new in this pass; it is now. */
    private function claim(object $object): bool
    {
        $mark = $this->marks[$object] ?? 0;
        if ($mark === 0 && \count($this->marks) >= self::MAX_MARKS) {
            return false;
        }
        if ($mark !== 0) {
            $owner = $this->roots[$mark >> self::OWNER];
            $pass = $mark >> self::PASS & self::PASS_MASK;
            if ($owner === $this->root ? $pass === $owner->pass : $pass + 1 >= $owner->pass) {
                return false;
            }
        }
        $this->marks[$object] = $this->root->number << self::OWNER | $this->root->pass << self::PASS;

        return true;
    }

    /** @param Path|null $path where it belongs; null: below $from, by $key */
    private function meet(object $object, ?Path $path, Path $from, string|int $key = '', string $label = ''): void
    {
        if (!$this->claim($object)) {
            return;
        }
        if ($path === null) {
            $isClosure = $object instanceof \Closure;
            $class = $isClosure ? self::nameOf($object) : $object::class;
            $path = $from->toObject($key, $class, $label === '' ? self::labelOf($key) : $label);
        }
        $this->see($path);
        $this->objects[] = $object;
        $this->paths[] = $path;
    }

    private function enter(object $object, Path $path): void
    {
        ++$path->size;
        $path->bytes += 56;
        if ($object instanceof \Closure) {
            $this->enterClosure($object, $path);

            return;
        }
        if (!Inside::isOpen($object)) {
            return;
        }
        $values = Inside::properties($object);
        $path->size += \count($values);
        $path->bytes += 16 * \count($values);
        $this->work += \count($values) >> 3;
        foreach ($values as $key => $value) {
            if (\is_object($value)) {
                $this->meet($value, null, $path, $key);
            } elseif (\is_array($value)) {
                if ($value !== []) {
                    $this->measureArray($value, $path->to($key, self::labelOf($key)), 0);
                }
            } elseif (\is_string($value)) {
                $this->measureString($value, $path, $key, '');
            }
        }
        if (($elements = Inside::elements($object)) !== null) {
            $this->measureArray($elements, $path, 0);
        }
    }

    private function enterClosure(\Closure $closure, Path $path): void
    {
        $path->bytes += 264;
        $function = new \ReflectionFunction($closure);
        $used = $function->getClosureUsedVariables();
        foreach ($function->getStaticVariables() as $name => $value) {
            $label = (\array_key_exists($name, $used) ? ' use $' : ' static $') . $name;
            if (\is_object($value)) {
                $this->meet($value, null, $path, $name, $label);
            } elseif (\is_array($value) && $value !== []) {
                $this->measureArray($value, $path->to($name, $label), 0);
            } elseif (\is_string($value)) {
                $this->measureString($value, $path, $name, $label);
            }
        }
        $bound = $function->getClosureThis();
        if ($bound !== null) {
            $this->meet($bound, null, $path, 'this', '->$this');
        }
    }

    private function measureString(string $value, Path $path, string|int $key, string $label): void
    {
        $length = \strlen($value);
        if ($length >= self::LONG) {
            $path = $path->to($key, $label === '' ? self::labelOf($key) : $label);
            $this->see($path);
            $path->addText($length);
        }
        $path->bytes += $length > 1 ? $length + 24 : 0;
    }

    /** @param array<mixed> $array */
    private function measureArray(array $array, Path $path, int $nested): void
    {
        $n = \count($array);
        $this->see($path);
        $path->size += $n;
        $path->bytes += 56 + $n * (\array_is_list($array) ? 16 : 36);
        if ($nested === self::MAX_NESTED) {
            return;
        }
        $isNamed = $n <= self::MAX_NAMED;
        if ($n > self::PIECE) {
            $nPieces = \min(self::MAX_PIECES, \intdiv($n + self::PIECE - 1, self::PIECE));
            $piece = $this->root->pass % $nPieces;
            $array = \array_slice($array, $piece * self::PIECE, self::PIECE, true);
            $path = $path->toPiece($piece, $nPieces, $n / \count($array));
            $this->see($path);
        }
        $this->work += \count($array) >> 3;
        foreach ($array as $key => $value) {
            if (\is_object($value) || \is_array($value) || \is_string($value)) {
                $this->measureElement($value, $path, $isNamed && \is_string($key) ? $key : 0, $nested);
            }
        }
    }

    /** @param string|int $key 0: one of a list */
    private function measureElement(object|array|string $value, Path $path, string|int $key, int $nested): void
    {
        $label = $key === 0 ? '[]' : "['{$key}']";
        $key = "[{$key}"; // an object that is an array too has properties of the same names
        if (\is_object($value)) {
            $this->meet($value, null, $path, $key, $label);
        } elseif (\is_string($value)) {
            $this->measureString($value, $path, $key, $label);
        } elseif ($value !== []) {
            $this->measureArray($value, $path->to($key, $label), $nested + 1);
        }
    }

    /** A property: private and protected ones have their class in front, between zero bytes. */
    private static function labelOf(string|int $key): string
    {
        $end = \strrpos((string) $key, "\0");

        return '->' . ($end === false ? $key : \substr($key, $end + 1));
    }
}
