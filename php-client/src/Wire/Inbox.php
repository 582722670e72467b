<?php
// SPDX-License-Identifier: MIT

declare(strict_types=1);

namespace Qbus\Wire;

use Qbus\ProtocolError;

/**
 * Cuts the incoming bytes into frames and decodes them where they lie, without copying them out.
 *
 * Deliveries wait in the order in which they came; all other words overtake them. A body that is streamed past waiting
 * deliveries leaves nothing behind. Does no I/O.
 *
 * @internal
 */
final class Inbox
{
    public const HEADER = 8;

    /** A frame may be so long before the proxy says what is right. */
    private const MAX_GREETING = 1 << 20;

    /** Bytes of frames that are done with which may lie among waiting deliveries. */
    private const ROOM = 512 << 10;

    private string $bytes = '';

    /** Where the first frame begins that nobody has looked at. */
    private int $scanned = 0;

    /** @var array<int, int> begin => end of the payloads of DELIVER frames not taken yet, in order; others just look */
    public array $deliveries = [];

    /** Where $scanned makes it worth while to put waiting deliveries together. */
    private int $crowded = self::ROOM;

    private int $maxMessage = self::MAX_GREETING;

    private readonly \MessagePackUnpacker $unpacker;

    public function __construct(private int $maxFrame = 65536)
    {
        // false: the extension's default makes objects of classes that the sender names.
        $this->unpacker = new \MessagePackUnpacker(false);
    }

    public function setLimits(int $maxFrame, int $maxMessage): void
    {
        $this->maxFrame = $maxFrame;
        $this->maxMessage = \max($maxFrame, $maxMessage);
    }

    public function append(string $bytes): void
    {
        if ($this->deliveries === [] && $this->scanned > 0) {
            $this->bytes = \substr($this->bytes, $this->scanned);
            $this->scanned = 0;
        } elseif ($this->scanned > $this->crowded) {
            $this->gather();
        }
        if ($this->bytes === '') {
            $this->bytes = $bytes;
        } else {
            $this->bytes .= $bytes;
        }
    }

    /** Whether no more should be read ahead of the handler than is here already. */
    public function isFull(): bool
    {
        return \strlen($this->bytes) - (\array_key_first($this->deliveries) ?? $this->scanned) >= $this->maxFrame;
    }

    public function isEmpty(): bool
    {
        return $this->deliveries === [] && $this->scanned === \strlen($this->bytes);
    }

    /** The length, header and payload, of the frame that begins so; 0 when this is less than a header. */
    public function lengthOf(string $header): int
    {
        return \strlen($header) < self::HEADER ? 0 : ($this->header($header, 0) >> 8) + self::HEADER;
    }

    /** How many bytes the frame lacks that has begun to arrive; 0 when none has or its header is not whole. */
    public function missing(): int
    {
        $there = \strlen($this->bytes) - $this->scanned;

        if ($there < self::HEADER) {
            return 0;
        }

        return \max(0, ($this->header($this->bytes, $this->scanned) >> 8) + self::HEADER - $there);
    }

    /**
     * The next frame that is not a delivery, as [word, value].
     *
     * @return array{int, mixed}|null
     */
    public function nextControl(): ?array
    {
        while (\strlen($this->bytes) - $this->scanned >= self::HEADER) {
            $header = $this->header($this->bytes, $this->scanned);
            $begin = $this->scanned + self::HEADER;
            $end = $begin + ($header >> 8);
            if ($end > \strlen($this->bytes)) {
                return null;
            }
            $this->scanned = $end;
            $word = $header & 0xff;
            if ($word === Word::DELIVER) {
                $this->deliveries[$begin] = $end;
            } elseif ($word >= Word::WELCOME && $word <= Word::SYNCED) {
                return [$word, $this->decode($begin, $end)];
            }
        }

        return null;
    }

    /**
     * The value of the next DELIVER frame among those that nextControl() has passed.
     */
    public function nextDelivery(): mixed
    {
        if ($this->deliveries === []) {
            return null;
        }
        $begin = \array_key_first($this->deliveries);
        $end = $this->deliveries[$begin];
        unset($this->deliveries[$begin]);
        $value = $this->decode($begin, $end);
        if ($this->deliveries === [] && $this->scanned === \strlen($this->bytes)) {
            $this->bytes = '';
            $this->scanned = 0;
        }

        return $value;
    }

    /** Keeps nothing but waiting deliveries and what was not looked at. */
    private function gather(): void
    {
        $kept = '';
        $places = [];
        foreach ($this->deliveries as $begin => $end) {
            $at = \strlen($kept);
            $kept .= \substr($this->bytes, $begin, $end - $begin);
            $places[$at] = \strlen($kept);
        }
        $this->bytes = $kept . \substr($this->bytes, $this->scanned);
        $this->deliveries = $places;
        $this->scanned = \strlen($kept);
        $this->crowded = 2 * $this->scanned + self::ROOM;
    }

    /** The length of the payload and the word, as they lie in the first five bytes: length << 8 | word. */
    private function header(string $bytes, int $at): int
    {
        $header = \unpack('J', $bytes, $at)[1] >> 24 & 0xffffffffff;
        if ($header >> 8 > $this->maxMessage) {
            throw new ProtocolError('a frame of ' . ($header >> 8) . ' bytes');
        }

        return $header;
    }

    private function decode(int $begin, int $end): mixed
    {
        $offset = $begin;
        if ($this->unpacker->execute($this->bytes, $offset) && $offset === $end) {
            return $this->unpacker->data(); // which begins anew
        }
        $this->unpacker->reset();
        throw new ProtocolError('the payload of a frame is not exactly one msgpack value');
    }
}
