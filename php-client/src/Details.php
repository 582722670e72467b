<?php
// SPDX-License-Identifier: MIT

declare(strict_types=1);

namespace Qbus;

/**
 * What only some handlers ask of a message: made of the row of the protocol when it is asked for the first time.
 *
 * @internal
 */
final class Details
{
    /** @param array<string, string> $headers */
    private function __construct(
        public readonly string $source,
        public readonly ?int $partition,
        public readonly ?int $offset,
        public readonly ?string $routingKey,
        public readonly ?int $deliveryTag,
        public readonly ?int $timestamp,
        public readonly array $headers,
    ) {
    }

    /** @param array<int, mixed> $row */
    public static function ofRow(array $row): self
    {
        [$source, $where, $receipt, $timestamp, , $headers] = $row;
        $timestamp = $timestamp < 0 ? null : $timestamp;
        $map = [];
        for ($i = 0, $n = \count($headers ?? []); $i + 1 < $n; $i += 2) {
            $map[$headers[$i]] = (string) $headers[$i + 1];
        }
        try {
            return \is_int($where)
                ? new self($source, $where, $receipt, null, null, $timestamp, $map)
                : new self($source, null, null, $where, $receipt, $timestamp, $map);
        } catch (\TypeError $error) {
            throw new ProtocolError('a delivery is malformed', 0, $error);
        }
    }
}
