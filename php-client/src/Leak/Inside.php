<?php
// SPDX-License-Identifier: MIT

declare(strict_types=1);

namespace Qbus\Leak;

use Qbus\Session;
use Qbus\Worker;

/**
 * What objects hold beside their properties: the elements of PHP's own containers, read without moving their cursors
 * and without running what a class of the application made of their methods.
 *
 * @internal
 */
final class Inside
{
    /** Longer ones are only counted: reading them makes a copy. */
    private const MAX_READ = 100_000;

    /** @var array<class-string, string|null> the class of PHP that it is made of; null: none of these */
    private static array $kinds = [];

    /** @var array<string, \ReflectionMethod> */
    private static array $methods = [];

    /** Whether the walk goes into it: not into the client itself, nor into itself. */
    public static function isOpen(object $object): bool
    {
        return !$object instanceof Session && !$object instanceof Worker && !$object instanceof Survey
            && !$object instanceof \UnitEnum;
    }

    /** @return array<string|int, mixed> by mangled names; a cast leaves no copy behind, but gives a list's elements */
    public static function properties(object $object): array
    {
        return $object instanceof \ArrayObject || $object instanceof \ArrayIterator
            ? \get_mangled_object_vars($object)
            : (array) $object;
    }

    /** @return array<mixed>|null null: it is no container */
    public static function elements(object $object): ?array
    {
        $class = $object::class;
        if (!\array_key_exists($class, self::$kinds)) {
            self::$kinds[$class] = self::kindOf($object);
        }
        $kind = self::$kinds[$class];
        if ($kind === null) {
            return null;
        }
        if ($kind === \WeakMap::class) {
            return self::valuesOf($object);
        }
        $n = self::call($kind, 'count', $object);

        return $n > self::MAX_READ ? \array_fill(0, $n, null) : self::read($kind, $object);
    }

    private static function kindOf(object $object): ?string
    {
        $kinds = [
            \SplObjectStorage::class, \SplDoublyLinkedList::class, \SplFixedArray::class, \SplHeap::class,
            \SplPriorityQueue::class, \ArrayObject::class, \ArrayIterator::class, \WeakMap::class,
        ];
        foreach ($kinds as $kind) {
            if ($object instanceof $kind) {
                return $kind;
            }
        }

        return null;
    }

    /** @return array<mixed> */
    private static function read(string $kind, object $object): array
    {
        return match ($kind) {
            \SplObjectStorage::class => self::call($kind, '__serialize', $object)[0],
            \SplDoublyLinkedList::class => self::call($kind, '__serialize', $object)[1],
            \SplFixedArray::class => self::call($kind, 'toArray', $object),
            \ArrayObject::class, \ArrayIterator::class => self::call($kind, 'getArrayCopy', $object),
            default => \array_values(\array_filter(self::call($kind, '__debugInfo', $object), '\is_array'))[0] ?? [],
        };
    }

    /** @return list<mixed> what a weak map holds is its values; its keys are held by others */
    private static function valuesOf(\WeakMap $map): array
    {
        $values = [];
        foreach ($map as $value) {
            $values[] = $value;
            if (\count($values) === self::MAX_READ) {
                break;
            }
        }

        return $values;
    }

    /** The method of PHP's class, whatever a class below made of it. */
    private static function call(string $class, string $method, object $object): mixed
    {
        return (self::$methods["{$class}::{$method}"] ??= new \ReflectionMethod($class, $method))->invoke($object);
    }
}
