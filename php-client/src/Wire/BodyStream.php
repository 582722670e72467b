<?php
// SPDX-License-Identifier: MIT

declare(strict_types=1);

namespace Qbus\Wire;

use Qbus\Message;

/**
 * A message's body as a stream of PHP: read only, seekable, without a file behind it.
 *
 * PHP makes the objects of this class and calls the functions whose names begin with stream_.
 *
 * @internal
 */
final class BodyStream
{
    private const PROTOCOL = 'qbus-body';

    /** Bytes that PHP reads at once. */
    private const BUFFER = 32 << 10;

    /** @var resource|null set by PHP */
    public $context;

    private Message $message;
    private int $at = 0;

    /** @return resource */
    public static function open(Message $message)
    {
        if (!\in_array(self::PROTOCOL, \stream_get_wrappers(), true)) {
            \stream_wrapper_register(self::PROTOCOL, self::class);
        }
        $context = \stream_context_create([self::PROTOCOL => ['message' => $message]]);
        $stream = \fopen(self::PROTOCOL . "://{$message->id}", 'rb', false, $context);
        \stream_set_chunk_size($stream, self::BUFFER);

        return $stream;
    }

    public function stream_open(string $path, string $mode): bool
    {
        $options = $this->context === null ? [] : \stream_context_get_options($this->context);
        $message = $options[self::PROTOCOL]['message'] ?? null;
        if (!$message instanceof Message || !\in_array($mode, ['r', 'rb'], true)) {
            return false;
        }
        $this->message = $message;

        return true;
    }

    public function stream_read(int $n): string
    {
        $bytes = $this->message->read($this->at, $n);
        $this->at += \strlen($bytes);

        return $bytes;
    }

    public function stream_eof(): bool
    {
        return $this->at >= $this->message->size;
    }

    public function stream_tell(): int
    {
        return $this->at;
    }

    public function stream_seek(int $offset, int $whence): bool
    {
        $at = match ($whence) {
            \SEEK_CUR => $this->at + $offset,
            \SEEK_END => $this->message->size + $offset,
            default => $offset,
        };
        if ($at < 0 || $at > $this->message->size) {
            return false;
        }
        $this->at = $at;

        return true;
    }

    /** @return array<string, int> */
    public function stream_stat(): array
    {
        return ['mode' => 0100444, 'size' => $this->message->size];
    }

    /** There is nothing to set; PHP complains of a stream that does not say so. */
    public function stream_set_option(): bool
    {
        return false;
    }
}
