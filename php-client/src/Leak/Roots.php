<?php
// SPDX-License-Identifier: MIT

declare(strict_types=1);

namespace Qbus\Leak;

/**
 * The places that outlive a message: the handlers, static properties of classes, static variables of functions and
 * methods, globals. Classes, functions and globals that appear later are found later.
 *
 * @internal
 */
final class Roots
{
    private const MAX_ROOTS = 20_000;

    /** @var list<Root> */
    public array $list = [];

    private int $nClasses = 0;
    private int $nFunctions = 0;

    /** @var array<string, true> */
    private array $globals = [
        '_GET' => true, '_POST' => true, '_COOKIE' => true, '_FILES' => true, '_SERVER' => true, '_ENV' => true,
        '_REQUEST' => true, '_SESSION' => true, 'argv' => true, 'argc' => true,
    ];

    /** Where this package lies; what it keeps itself is left out. */
    private readonly string $own;

    /** @param array<array-key, callable> $handlers */
    public function __construct(array $handlers)
    {
        $this->own = \dirname(__DIR__) . '/';
        foreach ($handlers as $handler) {
            if (\is_array($handler) && \is_object($handler[0])) {
                $handler = $handler[0];
            }
            if (\is_object($handler)) {
                $this->add(Walk::nameOf($handler), static fn () => $handler);
            }
        }
    }

    public function find(): void
    {
        $classes = \get_declared_classes();
        for (; $this->nClasses < \count($classes); ++$this->nClasses) {
            $this->addClass($classes[$this->nClasses]);
        }
        if ($this->nFunctions < \count($functions = \get_defined_functions()['user'])) {
            foreach (\array_slice($functions, $this->nFunctions) as $name) {
                $this->addFunction($name);
            }
            $this->nFunctions = \count($functions);
        }
        foreach (\array_diff_key($GLOBALS, $this->globals) as $name => $_) {
            $this->globals[$name] = true;
            $this->add("global \${$name}", static fn () => $GLOBALS[$name] ?? null);
        }
    }

    private function add(string $label, \Closure $read): void
    {
        if (\count($this->list) < self::MAX_ROOTS) {
            $this->list[] = new Root(\count($this->list) + 1, $label, $read);
        }
    }

    private function addClass(string $name): void
    {
        $class = new \ReflectionClass($name);
        if ($class->isInternal() || \str_starts_with((string) $class->getFileName(), $this->own)) {
            return;
        }
        $shown = Walk::shown($name);
        foreach ($class->getProperties(\ReflectionProperty::IS_STATIC) as $property) {
            if ($property->class === $name) {
                $this->add("{$shown}::\${$property->name}", static fn () => self::valueOf($property));
            }
        }
        foreach ($class->getMethods() as $method) {
            if ($method->class === $name) {
                $this->addStatics($method, "{$shown}::{$method->name}()");
            }
        }
    }

    private function addFunction(string $name): void
    {
        $function = new \ReflectionFunction($name);
        if (!\str_starts_with((string) $function->getFileName(), $this->own)) {
            $this->addStatics($function, "function {$function->name}()");
        }
    }

    private function addStatics(\ReflectionFunctionAbstract $function, string $label): void
    {
        foreach (\array_keys($function->getStaticVariables()) as $name) {
            $this->add("{$label} static \${$name}", static fn () => $function->getStaticVariables()[$name] ?? null);
        }
    }

    private static function valueOf(\ReflectionProperty $property): mixed
    {
        return $property->isInitialized() ? $property->getValue() : null;
    }
}
