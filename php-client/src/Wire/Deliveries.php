<?php
// SPDX-License-Identifier: MIT

declare(strict_types=1);

namespace Qbus\Wire;

use Qbus\ProtocolError;

/**
 * The deliveries of the current frame, what they have in common, and how far they have been given out.
 *
 * @internal
 */
final class Deliveries
{
    /** @var list<array<int, mixed>> */
    public array $rows = [];

    /** The first row that nobody has begun. */
    public int $row = 0;
    public int $nRows = 0;
    public int $firstId = 0;
    public string $pipeline = '';
    public int $attempt = 1;

    /** Nanoseconds that each handler may take. */
    public int $timeout = 0;

    public function __construct(private readonly Inbox $inbox)
    {
    }

    /**
     * Takes the next frame out of the inbox in place of this one; whether there was one with a row.
     *
     * @param list<string> $pipelines names by the proxy's numbers
     */
    public function open(array $pipelines): bool
    {
        while (($value = $this->inbox->nextDelivery()) !== null) {
            try {
                [$pipeline, $this->firstId, $this->attempt, $remainingMs, $rows] = $value;
                $this->pipeline = $pipelines[$pipeline] ?? null;
                $this->timeout = $remainingMs * 1_000_000;
                $this->nRows = \count($rows);
                $this->rows = $rows;
                $this->row = 0;
            } catch (\TypeError $error) {
                $this->clear();
                throw new ProtocolError('a DELIVER frame is malformed', 0, $error);
            }
            if ($this->nRows > 0) {
                return true;
            }
        }

        return false;
    }

    public function clear(): void
    {
        $this->rows = [];
        $this->row = $this->nRows = 0;
    }

    /** Whether all have been begun. */
    public function isEmpty(): bool
    {
        return $this->row === $this->nRows;
    }
}
