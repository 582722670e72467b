<?php
// SPDX-License-Identifier: MIT

declare(strict_types=1);

namespace Qbus\Wire;

use Qbus\DeadlineExceeded;
use Qbus\Message;
use Qbus\Session;

/**
 * A body that stays in the proxy and is read from there piece by piece. Holds the piece at hand and the next one.
 *
 * @internal
 */
final class Body
{
    /** Bytes asked for at once. */
    private const PIECE = 128 << 10;

    /** The whole of it, once somebody wanted that. */
    public ?string $whole = null;

    // The piece at hand and where it begins.
    private string $bytes = '';
    private int $at = 0;

    /** @var array<int, string|null> what was asked for, by offset; null: it has not come yet */
    private array $asked = [];

    public function __construct(
        private readonly Session $session,
        public readonly int $id,
        public readonly int $size,
    ) {
        if ($size < 0) {
            throw new \TypeError('a body of a negative size');
        }
    }

    /**
     * At most $n bytes from $offset on; '' only at the end.
     *
     * @throws DeadlineExceeded when the message's time is over before they come
     */
    public function read(int $offset, int $n, Message $message): string
    {
        if ($offset >= $this->size) {
            return '';
        }
        if ($offset < $this->at || $offset >= $this->at + \strlen($this->bytes)) {
            $this->load($offset, $message);
        }

        return \substr($this->bytes, $offset - $this->at, $n);
    }

    /** What the proxy answered; null: it has taken the delivery back. */
    public function hear(int $offset, ?string $bytes): void
    {
        if (\array_key_exists($offset, $this->asked)) {
            $this->asked[$offset] = $bytes ?? '';
        }
    }

    /** Makes the piece that begins there the one at hand. */
    private function load(int $offset, Message $message): void
    {
        $isNext = $offset === $this->at + \strlen($this->bytes);
        $ahead = $offset + self::PIECE;
        $this->bytes = '';
        $this->at = $offset;
        $this->forgetAllBut($offset, $ahead);
        for (;;) {
            $message->checkpoint();
            $this->ask($offset);
            if ($isNext) {
                $this->ask($ahead);
            }
            // Any of these may have brought it.
            if (isset($this->asked[$offset])) {
                break;
            }
            $this->session->await($message->deadline());
        }
        $this->bytes = $this->asked[$offset];
        unset($this->asked[$offset]);
        if ($this->bytes === '') {
            throw new DeadlineExceeded("message {$this->id} was taken back by the proxy");
        }
    }

    private function ask(int $offset): void
    {
        if ($offset >= $this->size || \array_key_exists($offset, $this->asked)) {
            return;
        }
        // Before it is asked for: the answer may come at once.
        $this->asked[$offset] = null;
        if (!$this->session->ask($this, $offset, self::PIECE)) {
            unset($this->asked[$offset]);
        }
    }

    /** Pieces that came for somebody who reads elsewhere by now. */
    private function forgetAllBut(int $offset, int $ahead): void
    {
        foreach ($this->asked as $at => $bytes) {
            if ($bytes !== null && $at !== $offset && $at !== $ahead) {
                unset($this->asked[$at]);
            }
        }
    }
}
