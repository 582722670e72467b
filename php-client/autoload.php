<?php
// SPDX-License-Identifier: MIT

declare(strict_types=1);

/** Loads the classes of this package where Composer is not used. */
\spl_autoload_register(static function (string $class): void {
    if (\str_starts_with($class, 'Qbus\\')) {
        $file = __DIR__ . '/src/' . \strtr(\substr($class, 5), '\\', '/') . '.php';
        if (\is_file($file)) {
            require $file;
        }
    }
});
