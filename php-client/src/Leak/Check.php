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
    private readonly Survey $survey;
    private int $left;

    /** @param array<array-key, callable> $handlers */
    private function __construct(private readonly Client $client, private readonly int $every, array $handlers)
    {
        $this->left = $every;
        $this->survey = new Survey($handlers);
    }

    /**
     * Null when the environment's QBUS_LEAK_CHECK does not ask for one.
     *
     * @param array<array-key, callable> $handlers
     */
    public static function fromEnvironment(Client $client, array $handlers = []): ?self
    {
        $every = (int) \getenv('QBUS_LEAK_CHECK');

        return $every > 0 ? new self($client, $every, $handlers) : null;
    }

    /** So many messages have their verdict. Nothing of them lives any more but what leaks. */
    public function settled(int $n = 1): void
    {
        $this->left -= $n;
        if ($this->left <= 0) {
            $this->left = $this->every;
            $this->client->sendVerdicts();
            $this->survey->look();
            $this->client->sendLeaks($this->survey->looks(), $this->survey->rows());
        }
    }
}
