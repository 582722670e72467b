<?php
// SPDX-License-Identifier: MIT

declare(strict_types=1);

namespace Qbus\Leak;

use Qbus\Client;

/**
 * Counts the messages of a worker and has a look every so many of them, between two messages.
 *
 * @internal
 */
final class Check
{
    private int $left;
    private int $looks = 0;

    private function __construct(private readonly Client $client, private readonly int $every)
    {
        $this->left = $every;
    }

    /** Null when the environment's QBUS_LEAK_CHECK does not ask for one. */
    public static function fromEnvironment(Client $client): ?self
    {
        $every = (int) \getenv('QBUS_LEAK_CHECK');

        return $every > 0 ? new self($client, $every) : null;
    }

    /** So many messages have their verdict. Nothing of them lives any more but what leaks. */
    public function settled(int $n = 1): void
    {
        $this->left -= $n;
        if ($this->left <= 0) {
            $this->left = $this->every;
            $this->look();
        }
    }

    private function look(): void
    {
        $this->client->sendVerdicts();
        \gc_collect_cycles();
        $this->client->sendLeaks(++$this->looks, []);
    }
}
