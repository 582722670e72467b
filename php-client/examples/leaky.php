<?php
// SPDX-License-Identifier: MIT

declare(strict_types=1);

/*
 * A worker that leaks, to try out what docs/leaks.md says.
 *
 *     QBUS_SOCKET=/run/qbus/qbus.sock QBUS_LEAK_CHECK=10 php leaky.php
 */

namespace Shop;

use Qbus\Message;
use Qbus\Worker;

require \getenv('QBUS_AUTOLOAD') ?: __DIR__ . '/../autoload.php';

final class Dispatcher
{
    /** @var array<string, list<\Closure>> */
    private array $listeners = [];

    public function listen(string $event, \Closure $listener): void
    {
        $this->listeners[$event][] = $listener;
    }

    public function dispatch(string $event): void
    {
        foreach ($this->listeners[$event] ?? [] as $listener) {
            $listener();
        }
    }
}

final class Mailer
{
    public function __construct(public readonly string $to)
    {
    }

    public function send(): void
    {
    }
}

final class OrderHandler
{
    public function __construct(private readonly Dispatcher $dispatcher)
    {
    }

    public function __invoke(Message $message): void
    {
        // Each order adds a listener to a dispatcher that lives as long as the worker: this is the leak.
        $mailer = new Mailer("customer of {$message->body}");
        $this->dispatcher->listen('paid', static fn () => $mailer->send());
        $this->dispatcher->dispatch('paid');
    }
}

exit(Worker::connect()->on(\getenv('QBUS_PIPELINE') ?: 'orders', new OrderHandler(new Dispatcher()))->run());
