<?php
// SPDX-License-Identifier: MIT

declare(strict_types=1);

namespace Qbus\Tests;

use PHPUnit\Framework\TestCase;
use Qbus\ProtocolError;
use Qbus\Tests\Support\Peer;
use Qbus\Wire\Inbox;

final class InboxTest extends TestCase
{
    public function testAFrameCutAtAnyByteComesOutWhole(): void
    {
        $deliver = Peer::deliver([Peer::row('body')]);
        $bytes = Peer::frame(67, [5, 100]) . $deliver . Peer::frame(70, ['reason' => 'x']);
        for ($cut = 0; $cut <= \strlen($bytes); ++$cut) {
            $inbox = new Inbox();
            $seen = [];
            foreach ([\substr($bytes, 0, $cut), \substr($bytes, $cut)] as $part) {
                $inbox->append($part);
                while (($frame = $inbox->nextControl()) !== null) {
                    $seen[] = $frame;
                }
            }
            self::assertSame([[67, [5, 100]], [70, ['reason' => 'x']]], $seen, "cut at {$cut}");
            self::assertSame('body', $inbox->nextDelivery()[4][0][6], "cut at {$cut}");
            self::assertNull($inbox->nextDelivery());
        }
    }

    public function testBytesThatComeSinglyMakeFrames(): void
    {
        $inbox = new Inbox();
        $bodies = [];
        foreach (\str_split(\str_repeat(Peer::frame(69, [7]) . Peer::deliver([Peer::row('b')]), 20)) as $byte) {
            $inbox->append($byte);
            $inbox->nextControl();
            if (($delivery = $inbox->nextDelivery()) !== null) {
                $bodies[] = $delivery[4][0][6];
            }
        }
        self::assertSame(\array_fill(0, 20, 'b'), $bodies);
    }

    public function testDeliveriesKeepTheirOrderAndOtherWordsOvertakeThem(): void
    {
        $inbox = new Inbox();
        foreach (['a', 'b', 'c'] as $i => $body) {
            $inbox->append(Peer::deliver([Peer::row($body)]));
            $inbox->append(Peer::frame(67, [$i, 0]));
        }
        foreach ([0, 1, 2] as $i) {
            self::assertSame([67, [$i, 0]], $inbox->nextControl());
        }
        foreach (['a', 'b', 'c'] as $body) {
            self::assertSame($body, $inbox->nextDelivery()[4][0][6]);
        }
    }

    public function testAnUnknownWordIsSkippedWithoutALook(): void
    {
        $inbox = new Inbox();
        $inbox->append(\pack('NCCn', 3, 99, 7, 7) . "\xc1\xc1\xc1" . Peer::frame(3, 'x') . Peer::frame(69, [1]));
        self::assertSame([69, [1]], $inbox->nextControl());
        self::assertNull($inbox->nextControl());
    }

    /** @dataProvider garbage */
    public function testWhatIsNotExactlyOneValueIsRefused(string $bytes): void
    {
        $inbox = new Inbox();
        $inbox->append($bytes);
        $this->expectException(ProtocolError::class);
        $inbox->nextControl();
        $inbox->nextDelivery();
    }

    public static function garbage(): array
    {
        $framed = static fn (int $word, string $payload) => \pack('NCCn', \strlen($payload), $word, 0, 0) . $payload;

        return [
            'a byte too many' => [$framed(69, "\x91\x01\x00")],
            'a byte too few' => [$framed(69, "\x92\x01")],
            'a value that runs into the next frame' => [$framed(69, "\x92\x01") . $framed(69, "\x91\x01")],
            'no value' => [$framed(69, '')],
            'a byte that msgpack never uses' => [$framed(66, "\xc1")],
            'a delivery with a byte too many' => [$framed(66, "\x90\x00")],
            'an array that claims four billion elements' => [$framed(66, "\xdd\xff\xff\xff\xff")],
            'another protocol' => ["HTTP/1.1 400 Bad Request\r\n\r\n"],
        ];
    }

    public function testNoObjectIsMadeOfBytes(): void
    {
        $inbox = new Inbox();
        $payload = "\x82\xc0\xa8ArrayObj\xa1a\x01";
        $inbox->append(\pack('NCCn', \strlen($payload), 70, 0, 0) . $payload);
        self::assertIsArray($inbox->nextControl()[1]);
    }

    public function testWhatPassesWaitingDeliveriesLeavesNothingBehind(): void
    {
        $inbox = new Inbox();
        $inbox->append(Peer::deliver([Peer::row('a')]) . Peer::deliver([Peer::row('b')]));
        $inbox->nextControl();
        self::assertSame('a', $inbox->nextDelivery()[4][0][6]);
        $inbox->append(Peer::deliver([Peer::row('c')]));
        $inbox->nextControl();
        $piece = Peer::frame(72, [7, 0, \str_repeat('x', 100_000)]);
        $before = \memory_get_usage();
        for ($i = 0; $i < 200; ++$i) {
            $inbox->append(\substr($piece, 0, 50_000));
            self::assertNull($inbox->nextControl());
            $inbox->append(\substr($piece, 50_000));
            self::assertSame(72, $inbox->nextControl()[0]);
        }
        self::assertLessThan(4 << 20, \memory_get_usage() - $before);
        $inbox->append(Peer::deliver([Peer::row('d')]));
        $inbox->nextControl();
        foreach (['b', 'c', 'd'] as $body) {
            self::assertSame($body, $inbox->nextDelivery()[4][0][6]);
        }
        self::assertTrue($inbox->isEmpty());
    }

    public function testItTellsHowManyBytesAFrameLacks(): void
    {
        $inbox = new Inbox();
        $frame = Peer::frame(70, ['reason' => 'x']);
        self::assertSame(0, $inbox->missing());
        $inbox->append(\substr($frame, 0, 10));
        self::assertSame(\strlen($frame) - 10, $inbox->missing());
        $inbox->append(\substr($frame, 10));
        self::assertSame(0, $inbox->missing());
    }

    public function testItIsFullWhenAFramesWorthWaits(): void
    {
        $inbox = new Inbox(1000);
        self::assertFalse($inbox->isFull());
        $inbox->append(Peer::deliver([Peer::row(\str_repeat('x', 1000))]));
        $inbox->nextControl();
        self::assertTrue($inbox->isFull());
        $inbox->nextDelivery();
        self::assertFalse($inbox->isFull());
    }
}
