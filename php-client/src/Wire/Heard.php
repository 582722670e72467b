<?php
// SPDX-License-Identifier: MIT

declare(strict_types=1);

namespace Qbus\Wire;

use Qbus\ProtocolError;
use Qbus\ProxyError;

/**
 * What the proxy has said, word by word, but for deliveries.
 *
 * @internal
 */
final class Heard
{
    /** Pieces of bodies asked for and not come yet; the proxy allows a megabyte. */
    private const MAX_ASKED = 6;

    public bool $welcomed = false;
    public bool $draining = false;

    /** @var list<string> names by the proxy's numbers */
    public array $pipelines = [];

    /** @var array<string, int> milliseconds that a handler may take, by the pipeline's name */
    public array $timeouts = [];

    /** @var array<int, int> id => milliseconds */
    public array $extended = [];
    public int $nLate = 0;
    public int $nSynced = 0;

    /** @var array<int, \WeakReference<Body>> that wait for pieces, by id; one that nobody reads any more is dead */
    private array $bodies = [];
    private int $nAsked = 0;

    public function __construct(private readonly Inbox $inbox, private readonly Deadlines $deadlines)
    {
    }

    /** Whether this body may ask for a piece; if so it will hear it. */
    public function expect(Body $body): bool
    {
        if ($this->nAsked >= self::MAX_ASKED) {
            return false;
        }
        $this->bodies[$body->id] = \WeakReference::create($body);
        ++$this->nAsked;

        return true;
    }

    /** Takes every frame that is in the inbox, but for deliveries. */
    public function listen(): void
    {
        while (($frame = $this->inbox->nextControl()) !== null) {
            [$word, $value] = $frame;
            try {
                match ($word) {
                    Word::WELCOME => $this->hearWelcome($value),
                    Word::CANCEL => $this->deadlines->cancel($value[0]),
                    Word::EXTENDED => $this->hearExtended($value[0], $value[1]),
                    Word::LATE => $this->nLate += \count($value),
                    Word::DRAIN => $this->draining = true,
                    Word::CHUNK => $this->hearChunk($value),
                    Word::SYNCED => $this->nSynced = $value[0],
                    Word::ERROR => throw new ProxyError($value['code'] ?? '', $value['message'] ?? ''),
                };
            } catch (\TypeError $error) {
                throw new ProtocolError("a frame of word {$word} is malformed", 0, $error);
            }
        }
    }

    /** @param array<string, mixed> $welcome */
    private function hearWelcome(array $welcome): void
    {
        if (($welcome['protocol'] ?? 0) !== 1) {
            throw new ProtocolError('this proxy does not speak version 1');
        }
        $this->inbox->setLimits($welcome['max_frame'] ?? 65536, $welcome['max_message'] ?? 0);
        $this->pipelines = \array_column($welcome['pipelines'] ?? [], 'name');
        $this->timeouts = \array_column($welcome['pipelines'] ?? [], 'timeout_ms', 'name');
        $this->welcomed = true;
    }

    /** More time takes a CANCEL back that it crossed on its way. */
    private function hearExtended(int $id, int $ms): void
    {
        $this->extended[$id] = $ms;
        if ($ms > 0) {
            $this->deadlines->restore($id);
        }
    }

    /** @param array<int, mixed> $chunk */
    private function hearChunk(array $chunk): void
    {
        [$id, $offset, $bytes] = $chunk;
        $this->nAsked = \max(0, $this->nAsked - 1);
        ($this->bodies[$id] ?? null)?->get()?->hear($offset, $bytes);
        if ($this->nAsked === 0) {
            $this->bodies = [];
        }
    }
}
